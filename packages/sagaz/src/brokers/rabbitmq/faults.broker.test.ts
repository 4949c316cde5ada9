import { writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import path from "node:path";
import { inspect } from "node:util";
import { connect } from "amqplib";
import { afterAll, beforeAll, expect, onTestFinished, test as plainTest } from "vitest";
import { findRabbitMQ, startRabbitMQ } from "../../../../../tools/servers/rabbitmq.ts";
import { makeScratchFolder, removeScratchFolder } from "../../../../../tools/servers/scratch-folder.ts";
import type { TestBroker } from "../../../../../tools/servers/scratch-broker.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import type { MessageBroker, ReceivedMessage } from "../../ports/broker.ts";
import { createBroker } from "../create.ts";
import { RabbitMQBroker, type RabbitMQBrokerOptions } from "./index.ts";
import { deliveriesMax } from "./topology.ts";

const bytesMax = 200_000;
/** The clerk may write to topics that begin with "open". */
const definitions = {
  vhosts: [{ name: "/" }],
  users: ["guest", "clerk"].map((name) => ({ name, password: name, tags: "" })),
  permissions: ["guest", "clerk"].map((user) => ({
    user,
    vhost: "/",
    configure: ".*",
    write: ".*",
    read: ".*",
  })),
  topic_permissions: [{ user: "clerk", vhost: "/", exchange: "sagaz", write: "^open", read: ".*" }],
};

const found = await findRabbitMQ({ own: true });
let server: TestBroker;
let folder: string;

beforeAll(async () => {
  if ("missing" in found) return;
  folder = await makeScratchFolder("definitions");
  const file = path.join(folder, "definitions.json");
  await writeFile(file, JSON.stringify(definitions), { mode: 0o644 });
  server = await startRabbitMQ(found, { settings: { max_message_size: bytesMax, load_definitions: file } });
});

afterAll(async () => {
  if ("missing" in found) return;
  await server.stop();
  await removeScratchFolder(folder);
});

function test(name: string, body: () => Promise<void>): void {
  plainTest(name, async ({ skip }) => {
    if ("missing" in found) return skip(found.missing);
    await body();
  });
}

interface Wanted extends Partial<RabbitMQBrokerOptions> {
  readonly url?: string;
}

async function openBroker({ url = server.url, ...options }: Wanted = {}): Promise<RabbitMQBroker> {
  const broker = new RabbitMQBroker({ connect: (socket) => connect(url, socket), ...options });
  onTestFinished(() => broker.stop());
  await broker.start();
  return broker;
}

/** A connection of the driver's, to look behind the broker's back. */
async function openChannel() {
  const connection = await connect(server.url);
  onTestFinished(() => connection.close());
  return connection.createChannel();
}

/** Receives and acknowledges; answers the list that grows. */
async function listen(broker: MessageBroker, group: string, ...topics: string[]): Promise<ReceivedMessage[]> {
  const all: ReceivedMessage[] = [];
  const subscription = await broker.subscribe({
    group,
    topics,
    unackedMax: 100,
    handle: (messages) => {
      all.push(...messages);
      setImmediate(() => subscription.ack(messages));
    },
  });
  return all;
}

/** Lets others have their turn. */
const breathe = () => new Promise((resolve) => setImmediate(resolve));
const toMessage = (topic: string, key: string, payload: string | Uint8Array, headers = {}) => ({
  topic,
  key,
  headers,
  payload,
});
const textsOf = (messages: readonly ReceivedMessage[]) => messages.map(({ payload }) => String(payload));
const codesOf = (answers: Awaited<ReturnType<MessageBroker["publish"]>>) =>
  answers.map((answer) => answer?.code);

test("the driver's own connections fit, and a URL is enough", async () => {
  const broker = await createBroker(server.url);
  onTestFinished(() => broker.stop());
  await broker.start();
  const got = await listen(broker, "g", "by.url");
  expect(await broker.publish([toMessage("by.url", "k", "hello")])).toEqual([undefined]);
  await expect.poll(() => textsOf(got)).toEqual(["hello"]);
});

test("a refused login is said without the password", async () => {
  const broker = await createBroker(server.url.replace("guest:guest", "guest:s3cret"));
  const error = await broker.start().catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE", retryable: true });
  expect(String(error)).toContain("Login was refused");
  expect(inspect(error, { depth: 9 })).not.toContain("s3cret");
  await broker.stop();
});

test("a virtual host that is not there is named as what is wrong", async () => {
  const broker = await createBroker(`${server.url}/nowhere`);
  const error = await broker.start().catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE" });
  expect(String(error)).toContain("virtual host");
  await broker.stop();
});

test("a server that is killed amid publishing has all that it has confirmed, in order, when it is back", async () => {
  const broker = await openBroker();
  // The second topic is there for the identity of the first one's queue: see `declareQueue`.
  const got = await listen(broker, "g", "killed", "killed.later");
  const confirmed: string[] = [];
  const end = new AbortController();
  const publishers = Array.from({ length: 5 }, async (_, key) => {
    for (let n = 0, left: string[] = []; !end.signal.aborted || left.length > 0; n++) {
      if (left.length === 0) left = Array.from({ length: 20 }, (__, i) => `${key}/${n}/${i}`);
      const answers = await broker.publish(left.map((text) => toMessage("killed", `${key}`, text)));
      confirmed.push(...left.filter((__, i) => answers[i] === undefined));
      left = left.filter((__, i) => answers[i] !== undefined);
      await breathe(); // in an outage the answer is there at once
    }
  });
  await waitUntil("publishing is in full swing", () => confirmed.length > 500);
  await server.kill();
  const before = confirmed.length;
  await server.restart();
  await waitUntil("it is published again", () => confirmed.length > before + 500, { withinMs: 60_000 });
  end.abort();
  await Promise.all(publishers);
  await waitUntil("all has come", () => new Set(textsOf(got)).size >= confirmed.length, { withinMs: 60_000 });
  const firsts = [...new Set(textsOf(got))];
  for (let key = 0; key < 5; key++) {
    const ofKey = (texts: readonly string[]) => texts.filter((text) => text.startsWith(`${key}/`));
    expect(ofKey(firsts)).toEqual(ofKey(confirmed));
  }
});

test("a frozen server is noticed in time, and does not outlast its thaw", async () => {
  const broker = await openBroker({ answerTimeoutMs: 500, connectTimeoutMs: 500 });
  const got = await listen(broker, "g", "frozen");
  expect(await broker.publish([toMessage("frozen", "k", "before")])).toEqual([undefined]);
  await server.pause();
  const answers = await broker.publish([
    toMessage("frozen", "k", "in doubt"),
    toMessage("frozen", "k", "held"),
  ]);
  expect(codesOf(answers)).toEqual(["SAGAZ_BROKER_UNAVAILABLE", "SAGAZ_BROKER_HELD_BACK"]);
  expect(await broker.health()).toMatchObject({ isUp: false });
  await expect(openBroker({ connectTimeoutMs: 500 })).rejects.toMatchObject({
    code: "SAGAZ_BROKER_UNAVAILABLE",
  });
  await server.resume();
  await waitUntil("it publishes", async () => {
    const [answer] = await broker.publish([toMessage("frozen", "k", "after")]);
    return answer === undefined;
  });
  await expect.poll(() => textsOf(got), { timeout: 20_000 }).toContain("after");
  await expect.poll(() => broker.health()).toEqual({ isUp: true });
});

test("a stop lets publishing finish, but not for ever", async () => {
  const broker = await openBroker();
  await listen(broker, "g", "stopped");
  const batch = Array.from({ length: 1_000 }, (_, n) => toMessage("stopped", `${n % 100}`, `${n}`));
  const finished = broker.publish(batch);
  await broker.stop();
  expect(codesOf(await finished)).toEqual(batch.map(() => undefined));
  await broker.start();
  await server.pause();
  onTestFinished(() => server.resume());
  const unfinished = broker.publish(batch.slice(0, 150));
  await broker.stop();
  const [unavailable, heldBack] = ["SAGAZ_BROKER_UNAVAILABLE", "SAGAZ_BROKER_HELD_BACK"];
  const codes = batch.slice(0, 150).map((_, n) => (n < 100 ? unavailable : heldBack));
  expect(codesOf(await unfinished)).toEqual(codes);
});

test("a stop leaves nothing behind that would keep the process alive, also when the server does not answer", async () => {
  const open = new Set<object>();
  const broker = await openBroker({
    answerTimeoutMs: 500,
    connect: async (options) => {
      const connection = await connect(server.url, options);
      const { stream } = (connection as unknown as { connection: { stream: Socket } }).connection;
      open.add(connection).add(stream);
      connection.on("close", () => open.delete(connection)); // its heartbeats have ended
      stream.on("close", () => open.delete(stream));
      return connection;
    },
  });
  await listen(broker, "g", "left");
  expect(open.size).toBe(4);
  await server.pause();
  try {
    await broker.stop();
    await waitUntil("both connections are closed", () => open.size === 0);
  } finally {
    await server.resume();
  }
});

test("a connection to receive by that cannot be had is an outage, and tried anew the next time", async () => {
  let connections = 0;
  const broker = new RabbitMQBroker({
    connect: async (options) => {
      connections += 1;
      if (connections === 2) throw new Error("no more connections");
      return connect(server.url, options);
    },
  });
  onTestFinished(() => broker.stop());
  await broker.start();
  await expect(listen(broker, "g", "second")).rejects.toThrow(/no more connections/);
  expect(await broker.health()).toEqual({ isUp: true });
  await listen(broker, "g", "second");
});

test("a message that is too large, or has no room for its names, is refused; all others get through", async () => {
  const broker = await openBroker();
  const got = await listen(broker, "g", "sizes");
  const small = Array.from({ length: 300 }, (_, n) => toMessage("sizes", `key-${n % 100}`, `small ${n}`));
  const bad = [
    toMessage("sizes", "large", new Uint8Array(bytesMax + 1)),
    toMessage("sizes", "headers", "h", { big: "x".repeat(70_000) }),
    toMessage("t".repeat(256), "topic", "t"),
    toMessage("sizes", "also large", new Uint8Array(bytesMax * 2)),
  ];
  // The first time the server says so, by closing the channel under all of them; from then on it is known.
  for (let round = 1; round <= 2; round++) {
    const answers = await broker.publish([...small.slice(0, 150), ...bad, ...small.slice(150)]);
    expect(codesOf(answers)).toEqual([
      ...small.slice(0, 150).map(() => undefined),
      ...bad.map(() => "SAGAZ_MESSAGE_REFUSED"),
      ...small.slice(150).map(() => undefined),
    ]);
  }
  await expect.poll(() => new Set(textsOf(got)).size).toBe(small.length);
  expect(await broker.publish([toMessage("sizes", "k", new Uint8Array(bytesMax))])).toEqual([undefined]);
});

test("a topic that this user may not write to is refused; all others get through", async () => {
  const got = await listen(await openBroker(), "g", "open.door", "closed.door");
  const clerk = await openBroker({ url: server.url.replace("guest:guest", "clerk:clerk") });
  const answers = await clerk.publish([
    ...Array.from({ length: 20 }, (_, n) => toMessage("open.door", `key-${n}`, `before ${n}`)),
    toMessage("closed.door", "k", "forbidden"),
    toMessage("closed.door", "k", "after it"),
    ...Array.from({ length: 20 }, (_, n) => toMessage("open.door", `key-${n}`, `after ${n}`)),
  ]);
  const others = Array.from({ length: 20 }, () => undefined);
  expect(codesOf(answers)).toEqual([...others, "SAGAZ_MESSAGE_REFUSED", "SAGAZ_BROKER_HELD_BACK", ...others]);
  await expect.poll(() => new Set(textsOf(got)).size).toBe(40);
});

test("an unroutable message is told from one that has its very id", async () => {
  const broker = await openBroker();
  const got = await listen(broker, "g", "twins");
  const twin = { ce_id: "one and the same" };
  const answers = await broker.publish([
    toMessage("twins", "a", "1", twin),
    toMessage("nobody", "b", "2", twin),
    toMessage("twins", "c", "3", twin),
    toMessage("nobody", "d", "4", twin),
  ]);
  expect(codesOf(answers)).toEqual([undefined, "SAGAZ_UNKNOWN_TOPIC", undefined, "SAGAZ_UNKNOWN_TOPIC"]);
  await expect.poll(() => textsOf(got)).toEqual(["1", "3"]);
});

test("a message that kills its receiver each time is put aside, and what follows it goes on", async () => {
  const broker = await openBroker();
  let handed = 0;
  const take = async () => {
    const before = handed;
    const wanted = { group: "g", topics: ["poison"], unackedMax: 1 };
    const subscription = await broker.subscribe({
      ...wanted,
      handle: (messages) => (handed += messages.length),
    });
    if (handed === 0)
      await broker.publish([toMessage("poison", "k", "deadly"), toMessage("poison", "k", "good")]);
    await waitUntil("it is handed over", () => handed > before);
    await subscription.stop();
  };
  for (let deliveries = 0; deliveries <= deliveriesMax; deliveries++) await take();
  expect(handed).toBe(deliveriesMax + 1);
  const got = await listen(broker, "g", "poison");
  await expect.poll(() => textsOf(got)).toEqual(["good"]);
  const channel = await openChannel();
  const aside = await waitUntil("it is put aside", () => channel.get("sagaz-dead-letters/g/poison"));
  expect(String(aside.content)).toBe("deadly");
  expect(aside.properties.headers).toMatchObject({
    "sagaz-key": "k",
    "x-first-death-reason": "delivery_limit",
  });
});

test("a full queue is an outage of its topic, which says nothing about its neighbours", async () => {
  const broker = await openBroker();
  await listen(broker, "g", "roomy");
  const channel = await openChannel();
  await channel.assertQueue("full", { maxLength: 1, overflow: "reject-publish" });
  await channel.bindQueue("full", "sagaz", "full");
  const publish = async () =>
    codesOf(
      await broker.publish([
        ...["1", "2", "3"].map((text) => toMessage("full", "k", text)),
        toMessage("roomy", "k", "1"),
      ]),
    );
  // RabbitMQ may take one or two more than the queue has room for before it notices.
  await waitUntil("it is full", async () => (await publish())[0] !== undefined);
  const heldBack = "SAGAZ_BROKER_HELD_BACK";
  expect(await publish()).toEqual(["SAGAZ_BROKER_UNAVAILABLE", heldBack, heldBack, undefined]);
});

test("a member that stops has given back all that it had before the next one begins", async () => {
  const broker = await openBroker();
  const wanted = { group: "g", topics: ["relay.race"], unackedMax: 5 };
  const first: ReceivedMessage[] = [];
  const one = await broker.subscribe({ ...wanted, handle: (messages) => void first.push(...messages) });
  const got = await listen(broker, "g", "relay.race");
  const texts = Array.from({ length: 20 }, (_, n) => String(n));
  await broker.publish(texts.map((text) => toMessage("relay.race", "k", text)));
  await expect.poll(() => textsOf(first)).toEqual(texts.slice(0, 5));
  one.ack(first.slice(0, 2));
  await expect.poll(() => textsOf(first)).toEqual(texts.slice(0, 7));
  await one.stop();
  await expect.poll(() => textsOf(got)).toEqual(texts.slice(2));
});

test("a queue that is deleted under a subscription is made again", async () => {
  const broker = await openBroker();
  const got = await listen(broker, "g", "deleted");
  const channel = await openChannel();
  await channel.deleteQueue("sagaz/g/deleted");
  await waitUntil("it is there again", async () => {
    const [answer] = await broker.publish([toMessage("deleted", "k", "again")]);
    return answer === undefined;
  });
  await expect.poll(() => textsOf(got)).toContain("again");
});

test("a queue that somebody else has made otherwise is not taken", async () => {
  const channel = await openChannel();
  await channel.assertQueue("sagaz/g/other", { durable: false });
  const broker = await openBroker();
  const error = await listen(broker, "g", "other").catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE" });
  expect(String(error)).toContain("inequivalent arg");
  await expect(listen(broker, "g", "other.*")).rejects.toMatchObject({ code: "SAGAZ_INVALID_OPTION" });
  expect(await broker.health()).toEqual({ isUp: true });
});

test("a server that is short of memory is an outage to those who publish, and to nobody else", async () => {
  if ("missing" in found) return;
  const short = await startRabbitMQ(found, { settings: { "vm_memory_high_watermark.absolute": "1MB" } });
  onTestFinished(() => short.stop());
  const broker = await openBroker({ url: short.url, answerTimeoutMs: 1_000 });
  await listen(broker, "g", "short");
  const publish = async () => codesOf(await broker.publish([toMessage("short", "k", "1")]));
  expect(await publish()).toEqual(["SAGAZ_BROKER_UNAVAILABLE"]);
  await waitUntil("it is told", async () => {
    await publish();
    return (await broker.health()).detail === "low on memory";
  });
  await listen(broker, "other", "short");
});
