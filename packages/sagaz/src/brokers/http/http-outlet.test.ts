import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { answering, HttpDestination } from "../../../../../tools/servers/http-destination.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { isSagaError } from "../../core/errors.ts";
import type { SagaError } from "../../core/errors.ts";
import { InMemoryBroker } from "../memory/index.ts";
import { HttpOutlet } from "./index.ts";
import type { HttpOutletOptions } from "./index.ts";

async function openDestination(...answer: Parameters<typeof HttpDestination.open>) {
  const destination = await HttpDestination.open(...answer);
  onTestFinished(() => destination.kill());
  return destination;
}

async function open({ origin }: { readonly origin: string }, options: Partial<HttpOutletOptions> = {}) {
  const outlet = new HttpOutlet({ destinations: { [origin]: {} }, ...options });
  await outlet.start();
  onTestFinished(() => outlet.stop());
  const post = async (url: string, payload: string | Uint8Array = "{}", key = "k") => {
    const [answer] = await outlet.publish([{ topic: url, key, headers: { ce_id: "1" }, payload }]);
    return answer;
  };
  return { outlet, post };
}

test("the payload is the body, and the envelope is the headers, as CloudEvents has them in HTTP", async () => {
  const destination = await openDestination();
  const { outlet } = await open(destination);
  const headers = {
    ce_specversion: "1.0",
    ce_id: "the first",
    ce_subject: 'größe "5" 100%',
    "content-type": "application/json",
    "correlation-id": "größe 5 %",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    host: "elsewhere.example.com",
    "content-length": "3",
    "x-more": "as it is",
  };
  const topic = `${destination.origin}/commands?of=all`;
  expect(await outlet.publish([{ topic, key: "k", headers, payload: '{"a":"ö"}' }])).toEqual([undefined]);
  const [posted] = destination.posted;
  expect(posted).toMatchObject({ path: "/commands?of=all", body: '{"a":"ö"}' });
  expect(posted?.headers).toMatchObject({
    "ce-specversion": "1.0",
    "ce-id": "the%20first",
    "ce-subject": "gr%C3%B6%C3%9Fe%20%225%22%20100%25",
    "content-type": "application/json",
    "correlation-id": "gr%C3%B6%C3%9Fe 5 %25",
    traceparent: headers.traceparent,
    host: new URL(destination.origin).host,
    "content-length": "10",
    "x-more": "as it is",
  });
});

test("bytes go as they are", async () => {
  const destination = await openDestination();
  const { post } = await open(destination);
  expect(await post(`${destination.origin}/`, new TextEncoder().encode("bytes"))).toBeUndefined();
  expect(destination.posted[0]?.body).toBe("bytes");
});

test.each([
  [200, undefined],
  [204, undefined],
  [301, "SAGAZ_MESSAGE_REFUSED"],
  [307, "SAGAZ_MESSAGE_REFUSED"],
  [400, "SAGAZ_MESSAGE_REFUSED"],
  [401, "SAGAZ_MESSAGE_REFUSED"],
  [404, "SAGAZ_MESSAGE_REFUSED"],
  [408, "SAGAZ_DESTINATION_UNAVAILABLE"],
  [413, "SAGAZ_MESSAGE_REFUSED"],
  [425, "SAGAZ_DESTINATION_UNAVAILABLE"],
  [429, "SAGAZ_DESTINATION_UNAVAILABLE"],
  [500, "SAGAZ_DESTINATION_UNAVAILABLE"],
  [503, "SAGAZ_DESTINATION_UNAVAILABLE"],
])("an answer of %i is %s", async (status, code) => {
  const other = await openDestination();
  const destination = await openDestination(answering(status, { location: `${other.origin}/` }));
  const { post } = await open(destination, {
    destinations: { [destination.origin]: {}, [other.origin]: {} },
  });
  const answer = await post(`${destination.origin}/`);
  expect(answer?.code).toBe(code);
  expect(answer?.retryable).toBe(code === undefined ? undefined : code === "SAGAZ_DESTINATION_UNAVAILABLE");
  expect(destination.posted).toHaveLength(1);
  expect(other.posted).toHaveLength(0); // nobody followed
});

test.each([
  ["7", 7_000],
  ["0", 0],
  [new Date(Date.now() - 60_000).toUTCString(), 0],
  ["soon", undefined],
])("Retry-After: %s", async (retryAfter, retryAfterMs) => {
  const destination = await openDestination(answering(503, { "retry-after": retryAfter }));
  const { post } = await open(destination);
  expect((await post(`${destination.origin}/`))?.details["retryAfterMs"]).toBe(retryAfterMs);
});

test("Retry-After with a date yet to come is the time until then", async () => {
  const at = new Date(Date.now() + 3_600_000).toUTCString();
  const destination = await openDestination(answering(429, { "retry-after": at }));
  const { post } = await open(destination);
  const told = (await post(`${destination.origin}/`))?.details["retryAfterMs"];
  expect(told).toBeGreaterThan(3_500_000);
  expect(told).toBeLessThanOrEqual(3_600_000);
});

describe("what does not come", () => {
  test("nobody listens: an outage", async () => {
    const destination = await openDestination();
    const { post } = await open(destination);
    await destination.kill();
    const answer = await post(`${destination.origin}/`);
    expect(answer?.code).toBe("SAGAZ_DESTINATION_UNAVAILABLE");
    expect(answer?.message).toContain("ECONNREFUSED");
  });

  test("an answer takes longer than timeoutMs: an outage", async () => {
    const destination = await openDestination(() => {});
    const { post } = await open(destination, { timeoutMs: 50 });
    expect((await post(`${destination.origin}/`))?.message).toContain("no answer within 50 ms");
  });

  test("a connection is taken, and nothing is ever said: an outage", async () => {
    const hole = createServer(() => {});
    await new Promise<void>((resolve) => hole.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void hole.close());
    const origin = `http://127.0.0.1:${(hole.address() as AddressInfo).port}`;
    const { post } = await open({ origin }, { timeoutMs: 50 });
    expect((await post(`${origin}/`))?.message).toContain("no answer within 50 ms");
  });

  test("a connection ends before the answer: an outage", async () => {
    const destination = await openDestination((_, response) => response.destroy());
    const { post } = await open(destination);
    expect((await post(`${destination.origin}/`))?.code).toBe("SAGAZ_DESTINATION_UNAVAILABLE");
  });

  test("a taken message's answer may go on for ever: it is taken all the same", async () => {
    const destination = await openDestination((_, response) => response.writeHead(200).write("x"));
    const { post } = await open(destination, { timeoutMs: 1_000 });
    expect(await post(`${destination.origin}/`)).toBeUndefined();
  });

  test("what stop() cuts off is an outage", async () => {
    const destination = await openDestination(() => {});
    const { outlet, post } = await open(destination);
    const posting = post(`${destination.origin}/`);
    await waitUntil("it is asked", () => destination.posted.length === 1);
    await outlet.stop();
    expect((await posting)?.message).toContain("the outlet was stopped");
    await expect(post(`${destination.origin}/`)).rejects.toThrow("SAGAZ_STOPPED");
  });

  test("what waits for its turn when stop() is called is not sent any more", async () => {
    const destination = await openDestination(() => {});
    const { outlet, post } = await open(destination, { requestsMax: 1 });
    const posting = ["a", "b"].map((key) => post(`${destination.origin}/`, "{}", key));
    await waitUntil("it is asked", () => destination.posted.length === 1);
    await outlet.stop();
    for (const one of await Promise.all(posting))
      expect(one).toMatchObject({ code: "SAGAZ_DESTINATION_UNAVAILABLE" });
    expect(destination.posted).toHaveLength(1);
  });
});

test("of an answer answerBytesMax bytes are read, and the beginning is told", async () => {
  const chunks = { written: 0 };
  const destination = await openDestination((_, response) => {
    response.writeHead(400);
    const write = () => {
      while (chunks.written < 1_000 && response.write(`no ${"x".repeat(65_536)}`)) chunks.written += 1;
      if (chunks.written >= 1_000) response.end();
    };
    response.on("drain", write);
    write();
  });
  const { post } = await open(destination, { answerBytesMax: 4 });
  const answer = await post(`${destination.origin}/`);
  expect(answer?.message).toMatch(/it answers 400: no x$/);
  expect(chunks.written).toBeLessThan(1_000);
});

test("requestsMax are under way at most; the others wait for their turn", async () => {
  const waiting: (() => void)[] = [];
  const destination = await openDestination((_, response) => void waiting.push(() => response.end()));
  const { outlet } = await open(destination, { requestsMax: 2 });
  const messages = Array.from({ length: 5 }, (_, n) => {
    return { topic: `${destination.origin}/${n}`, key: "k", headers: {}, payload: "{}" };
  });
  const published = outlet.publish(messages);
  for (let n = 0; n < 5; n++) {
    await waitUntil("one is asked", () => waiting.length > 0);
    waiting.shift()?.();
  }
  expect(await published).toEqual(messages.map(() => undefined));
  expect(destination.atOnceMost).toBe(2);
});

test("of a URL and key each waits for the one before, and none goes after one that was not taken", async () => {
  const destination = await openDestination(({ body }, response) => {
    response.writeHead(body === "2" ? 400 : 202).end();
  });
  const { outlet } = await open(destination);
  const toMessage = (key: string, payload: string) => {
    return { topic: `${destination.origin}/`, key, headers: {}, payload };
  };
  const answers = await outlet.publish([
    toMessage("a", "1"),
    toMessage("a", "2"),
    toMessage("b", "4"),
    toMessage("a", "3"),
  ]);
  const codes = answers.map((answer) => answer?.code);
  expect(codes).toEqual([undefined, "SAGAZ_MESSAGE_REFUSED", undefined, "SAGAZ_BROKER_HELD_BACK"]);
  expect(destination.posted.map(({ body }) => body).sort()).toEqual(["1", "2", "4"]);
});

describe("destinations", () => {
  test("an origin that is not named is not posted to", async () => {
    const destination = await openDestination();
    const { post } = await open({ origin: "https://elsewhere.example.com" });
    const answer = await post(`${destination.origin}/path?token=secret`);
    expect(answer?.code).toBe("SAGAZ_UNKNOWN_DESTINATION");
    expect(answer?.message).toContain(`${destination.origin}/path`);
    expect(answer?.message).not.toContain("secret");
    expect(destination.posted).toEqual([]);
  });

  test("get the headers that are given for them, made anew each time if they are made", async () => {
    const destination = await openDestination();
    let n = 0;
    const headers = async () => ({ authorization: `Bearer ${++n}`, "content-type": "application/x" });
    const { post } = await open(destination, { destinations: { [destination.origin]: { headers } } });
    await post(`${destination.origin}/`);
    await post(`${destination.origin}/`);
    expect(destination.posted.map((one) => one.headers.authorization)).toEqual(["Bearer 1", "Bearer 2"]);
    expect(destination.posted[0]?.headers["content-type"]).toBe("application/x");
  });

  test("whose headers cannot be made, or never are, are away; no value is told", async () => {
    const destination = await openDestination();
    const tell = async (headers: () => Promise<Record<string, string>>) => {
      const destinations = { [destination.origin]: { headers } };
      const { post } = await open(destination, { destinations, timeoutMs: 50 });
      const answer = await post(`${destination.origin}/`);
      expect(answer?.code).toBe("SAGAZ_DESTINATION_UNAVAILABLE");
      return answer?.message;
    };
    expect(await tell(() => Promise.reject(new Error("no token")))).toContain("no token");
    expect(await tell(() => new Promise(() => {}))).toContain("no answer within 50 ms");
    const told = await tell(async () => ({ authorization: "Bearer secret\n2" }));
    expect(told).toContain('its header "authorization" holds what no header can');
    expect(told).not.toContain("secret");
    expect(destination.posted).toEqual([]);
  });

  test.each(["inventory.example.com", "https://inventory.example.com/", "https://u:secret@a.b", "ftp://a.b"])(
    "%s is no origin",
    (origin) => {
      const thrown = caught(() => new HttpOutlet({ destinations: { [origin]: {} } }));
      expect(thrown?.code).toBe("SAGAZ_INVALID_OPTION");
      expect(thrown?.message).not.toContain("secret");
    },
  );
});

test.each(["timeoutMs", "requestsMax", "answerBytesMax"])("%s is a number from 1 on", (option) => {
  const thrown = caught(() => new HttpOutlet({ destinations: {}, [option]: 0 }));
  expect(thrown?.message).toMatch(new RegExp(`HttpOutlet.*${option}`));
});

describe("beside a broker", () => {
  test("topics go there, and URLs are posted to", async () => {
    const destination = await openDestination();
    const broker = new InMemoryBroker();
    const { outlet } = await open(destination, { broker });
    const got: string[] = [];
    const handle = (messages: readonly { topic: string }[]) =>
      void got.push(...messages.map((one) => one.topic));
    await broker.subscribe({ group: "g", topics: ["orders"], unackedMax: 10, handle });
    const toMessage = (topic: string) => ({ topic, key: "k", headers: {}, payload: "{}" });
    const url = `${destination.origin}/`;
    expect(await outlet.publish([toMessage("orders"), toMessage(url)])).toEqual([undefined, undefined]);
    await waitUntil("it has come", () => got.length === 1);
    expect(destination.posted).toHaveLength(1);
    expect(outlet.name).toBe("HTTP and memory");
    expect(await outlet.health()).toEqual({ isUp: true });
    broker.goAway();
    expect(await outlet.health()).toMatchObject({ isUp: false });
    const answers = await outlet.publish([toMessage("orders"), toMessage(url)]);
    expect(answers.map((answer) => answer?.code)).toEqual(["SAGAZ_BROKER_UNAVAILABLE", undefined]);
  });

  test("without one a topic is refused", async () => {
    const { outlet, post } = await open({ origin: "https://a.example.com" });
    expect((await post("orders"))?.code).toBe("SAGAZ_UNKNOWN_TOPIC");
    expect(await outlet.health()).toEqual({ isUp: true });
  });
});

test("before its start it takes nothing, and says so", async () => {
  const outlet = new HttpOutlet({ destinations: {} });
  await expect(outlet.publish([])).rejects.toThrow("SAGAZ_NOT_STARTED");
  expect(await outlet.health()).toMatchObject({ isUp: false });
  await outlet.stop();
  await outlet.start();
  expect(await outlet.publish([])).toEqual([]);
  await outlet.stop();
});

function caught(call: () => unknown): SagaError | undefined {
  try {
    call();
  } catch (error) {
    if (isSagaError(error)) return error;
    throw error;
  }
  return undefined;
}
