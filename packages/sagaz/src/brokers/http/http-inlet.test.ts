import { createServer, request as ask } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { describe, expect, onTestFinished, test } from "vitest";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import type { ReceivedMessage } from "../../ports/broker.ts";
import { HttpInlet } from "./index.ts";
import type { HttpInletOptions, HttpRequest } from "./index.ts";

const headers = { "ce-id": "1", "ce-type": "order.placed", "content-type": "application/json" };

async function open(options: HttpInletOptions = {}) {
  const inlet = new HttpInlet(options);
  await inlet.start();
  onTestFinished(() => inlet.stop());
  const subscribe = async ({ acks = true, group = "g", unackedMax = 10 } = {}) => {
    const messages: ReceivedMessage[] = [];
    const handle = (some: readonly ReceivedMessage[]) => {
      messages.push(...some);
      if (acks) queueMicrotask(() => subscription.ack(some));
    };
    const subscription = await inlet.subscribe({ group, topics: ["orders"], unackedMax, handle });
    return { messages, subscription };
  };
  const receive = (body: unknown = "{}", some: HttpRequest["headers"] = headers) =>
    inlet.receive("orders", { headers: some, body });
  return { inlet, subscribe, receive };
}

test("what is acknowledged is answered with 202, and was handed over with its envelope", async () => {
  const { subscribe, receive } = await open();
  const { messages } = await subscribe();
  const more = {
    ...headers,
    "Ce-Subject": "gr%C3%B6%C3%9Fe%205",
    "correlation-id": "100% of it",
    traceparent: ["a", "b"],
    authorization: "Bearer secret",
    cookie: "secret",
  };
  expect(await receive('{"a":1}', more)).toEqual({ status: 202, headers: {}, body: "" });
  const [message] = messages;
  expect(message).toMatchObject({ topic: "orders", key: "größe 5" });
  expect(message?.headers).toEqual({
    ce_id: "1",
    ce_type: "order.placed",
    ce_subject: "größe 5",
    "content-type": "application/json",
    "correlation-id": "100% of it",
    traceparent: "a, b",
  });
  expect(new TextDecoder().decode(message?.payload)).toBe('{"a":1}');
});

test.each<[string, unknown, string]>([
  ["a text", '{"a":1}', '{"a":1}'],
  ["bytes", new TextEncoder().encode("bytes"), "bytes"],
  ["a value that a framework has parsed", { a: 1 }, '{"a":1}'],
  ["null", null, "null"],
])("a body may be %s", async (_, body, payload) => {
  const { subscribe, receive } = await open();
  const { messages } = await subscribe();
  expect(await receive(body, new Headers(headers))).toMatchObject({ status: 202 });
  expect(new TextDecoder().decode(messages[0]?.payload)).toBe(payload);
});

test("a body as arrayBuffer() answers it is taken as the bytes that it is", async () => {
  const { subscribe, receive } = await open();
  const { messages } = await subscribe();
  const { buffer } = new Uint8Array(new TextEncoder().encode('{"a":1}'));
  expect(await receive(buffer)).toMatchObject({ status: 202 });
  expect(new TextDecoder().decode(messages[0]?.payload)).toBe('{"a":1}');
});

test.each<[string, () => unknown]>([
  ["nobody has parsed", () => undefined],
  ["is a stream of the web's", () => new Blob(["{}"]).stream()],
  ["is a stream of Node's", () => Readable.from(["{}"])],
  ["is a blob", () => new Blob(["{}"])],
])("a body that %s is not taken for an empty one: its sender keeps it", async (_, body) => {
  const { inlet, subscribe } = await open();
  const { messages } = await subscribe();
  const answer = await inlet.receive("orders", { headers, body: body() });
  expect(answer).toMatchObject({
    status: 503,
    body: expect.stringContaining("not handed in whole") as string,
  });
  expect(messages).toEqual([]);
});

test("what has no id, or no type, is a bad request", async () => {
  const { subscribe, receive } = await open();
  const { messages } = await subscribe();
  for (const lacking of [{ "ce-id": "1" }, { "ce-type": "t" }, {}])
    expect(await receive("{}", lacking)).toMatchObject({ status: 400 });
  expect(messages).toEqual([]);
});

test("what is not acknowledged within answerMs is answered with 503; it goes on, and who asks again joins it", async () => {
  const { subscribe, receive } = await open({ answerMs: 20 });
  const { messages, subscription } = await subscribe({ acks: false });
  expect(await receive()).toMatchObject({ status: 503, headers: { "retry-after": "1" } });
  const again = receive();
  subscription.ack(messages);
  expect(await again).toMatchObject({ status: 202 });
  expect(messages).toHaveLength(1);
});

test("with unackedMax waiting the next one is answered with 503", async () => {
  const { subscribe, receive } = await open();
  const { messages, subscription } = await subscribe({ acks: false, unackedMax: 1 });
  const first = receive();
  await waitUntil("it is there", () => messages.length === 1);
  expect(await receive("{}", { ...headers, "ce-id": "2" })).toMatchObject({ status: 503 });
  subscription.ack(messages);
  expect(await first).toMatchObject({ status: 202 });
});

test("every group gets it, and only when all have acknowledged it is it taken", async () => {
  const { subscribe, receive } = await open({ answerMs: 20 });
  const one = await subscribe();
  const other = await subscribe({ group: "other", acks: false });
  expect(await receive()).toMatchObject({ status: 503 });
  other.subscription.ack(other.messages);
  expect(one.messages).toHaveLength(1);
});

test("nobody there, not yet, or not any more: 503", async () => {
  const { inlet, subscribe, receive } = await open();
  expect(await receive()).toMatchObject({ status: 503 });
  const { messages, subscription } = await subscribe({ acks: false });
  const cut = receive();
  await waitUntil("it is there", () => messages.length === 1);
  await subscription.stop();
  expect(await cut).toMatchObject({ status: 503 });
  subscription.ack(messages); // too late, and no harm
  expect(await receive()).toMatchObject({ status: 503 });
  await inlet.stop();
  await expect(subscribe()).rejects.toThrow("SAGAZ_STOPPED");
});

test("before its start it takes no subscription, and says so", async () => {
  const inlet = new HttpInlet();
  const handle = () => {};
  const subscribing = inlet.subscribe({ group: "g", topics: ["t"], unackedMax: 1, handle });
  await expect(subscribing).rejects.toThrow("SAGAZ_NOT_STARTED");
  expect(await inlet.health()).toMatchObject({ isUp: false });
  await inlet.start();
  expect(await inlet.health()).toEqual({ isUp: true });
});

test.each(["answerMs", "bodyBytesMax"])("%s is a number from 1 on", (option) => {
  expect(() => new HttpInlet({ [option]: 0.5 })).toThrow(new RegExp(`HttpInlet.*${option}`));
});

describe("as a listener of node:http", () => {
  async function serve(options: HttpInletOptions = {}) {
    const { inlet, subscribe } = await open(options);
    const { messages } = await subscribe();
    const server = createServer(inlet.listener("orders"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    return { messages, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
  }

  test("it answers what receive() answers", async () => {
    const { messages, url } = await serve();
    const response = await fetch(url, { method: "POST", headers, body: '{"a":"ö"}' });
    expect(response.status).toBe(202);
    expect(new TextDecoder().decode(messages[0]?.payload)).toBe('{"a":"ö"}');
  });

  test("only POST, and no more than bodyBytesMax", async () => {
    const { messages, url } = await serve({ bodyBytesMax: 10 });
    const got = await fetch(url);
    expect([got.status, got.headers.get("allow")]).toEqual([405, "POST"]);
    const posted = await fetch(url, { method: "POST", headers, body: "12345678901" });
    expect(posted.status).toBe(413);
    const much = await fetch(url, { method: "POST", headers, body: "x".repeat(5_000_000) });
    expect(much.status).toBe(413);
    expect(messages).toEqual([]);
  });

  test("a sender that is cut off in the middle of its body leaves nothing", async () => {
    const { messages, url } = await serve();
    const cut = ask(url, { method: "POST", headers: { ...headers, "content-length": "100" } });
    cut.on("error", () => {});
    cut.write("half", () => cut.destroy());
    await new Promise((resolve) => cut.once("close", resolve));
    expect((await fetch(url, { method: "POST", headers, body: "whole" })).status).toBe(202);
    expect(messages.map(({ payload }) => new TextDecoder().decode(payload))).toEqual(["whole"]);
  });
});

test("a parsed body that is too large is answered with 413 too", async () => {
  const { receive } = await open({ bodyBytesMax: 10 });
  expect(await receive({ text: "longer than that" })).toMatchObject({ status: 413 });
});

test("a body that a framework has made of something else than JSON is answered with 400", async () => {
  const { subscribe, receive } = await open();
  const { messages } = await subscribe();
  const cycle: Record<string, unknown> = {};
  cycle["itself"] = cycle;
  for (const body of [cycle, { amount: 1n }]) expect(await receive(body)).toMatchObject({ status: 400 });
  expect(messages).toEqual([]);
});
