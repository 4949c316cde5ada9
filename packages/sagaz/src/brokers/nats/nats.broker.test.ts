import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { inspect } from "node:util";
import * as nats from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startFaultProxy } from "../../../../../tools/servers/fault-proxy.ts";
import { findNats, startNats, type NatsOptions } from "../../../../../tools/servers/nats.ts";
import type { TestBroker } from "../../../../../tools/servers/scratch-broker.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import type { BrokerMessage, MessageBroker, ReceivedMessage, Subscription } from "../../ports/broker.ts";
import { brokerRules } from "../../testing/index.ts";
import type { OpenBroker } from "../../testing/index.ts";
import { createBroker } from "../create.ts";
import { NatsBroker, type NatsBrokerOptions, type NatsConnection } from "./index.ts";

/** The server's own limit is 1 MiB. */
const tooLarge = "x".repeat(1_100_000);

/** One server of our own for all tests: rules kill it. */
let shared: TestBroker | undefined;
let missing = "";

beforeAll(async () => {
  const found = await findNats({ own: true });
  if ("missing" in found) missing = found.missing;
  else shared = await startNats(found);
});
afterAll(() => shared?.stop());

/** How long a test waits for what must happen: beside busy neighbours it may take long. */
const patiently = { timeout: 30_000 };

type Skip = (reason: string) => never;
type Options = Partial<NatsBrokerOptions<nats.NodeConnectionOptions>>;

function serverOr(skip: Skip): TestBroker {
  return shared ?? skip(missing);
}

/** A server with settings of its own, for one test. */
async function ownServer(skip: Skip, options: NatsOptions): Promise<TestBroker> {
  const found = await findNats({ own: true });
  if ("missing" in found) return skip(found.missing);
  const server = await startNats(found, options);
  onTestFinished(() => server.stop());
  return server;
}

function connectTo(servers: string, options: Options = {}): MessageBroker {
  return new NatsBroker({ nats, connection: { servers }, leaseMs: 500, answerTimeoutMs: 2_000, ...options });
}

/** A started broker that is stopped when the test has finished. */
async function started(url: string, options: Options = {}): Promise<MessageBroker> {
  const broker = connectTo(url, options);
  onTestFinished(() => broker.stop());
  await broker.start();
  return broker;
}

/** A plain connection beside the broker, to ask JetStream. */
async function plain(servers: string) {
  const connection = await nats.connect({ servers });
  onTestFinished(() => connection.close());
  const ask = async (what: string, body: object = {}) => {
    const answer = await connection.request(`$JS.API.${what}`, JSON.stringify(body));
    return answer.json<Record<string, unknown>>();
  };
  return { connection, ask };
}

function fresh(what: string): string {
  return `${what}-${crypto.randomUUID()}`;
}

function toOpen(server: TestBroker): OpenBroker {
  return async () => {
    const cleanups: (() => Promise<void>)[] = [];
    const stream = fresh("stream");
    const admin = await nats.connect({ servers: server.url });
    // Only these topics have a place.
    const config = { name: stream, subjects: [`${stream}.known.>`], storage: "file" };
    await admin.request(`$JS.API.STREAM.CREATE.${stream}`, JSON.stringify(config));
    await admin.close();
    const toBroker = (url: string) => {
      // Long, so that nobody loses its lease because it, or the server, has not got its turn for a while.
      const broker = connectTo(url, { stream, leaseMs: 5_000 });
      cleanups.push(() => broker.stop());
      return broker;
    };
    const broker = toBroker(server.url);
    await broker.start();
    let isAway = false;
    return {
      broker,
      another: () => toBroker(server.url),
      topic: async () => `known.topic * > ${crypto.randomUUID()}`,
      refused: (topic, key) => ({ topic, key, headers: {}, payload: tooLarge }),
      unknownTopic: () => fresh("unknown"),
      outage: {
        begin: async () => {
          isAway = true;
          await server.kill();
        },
        end: async () => {
          isAway = false;
          await server.restart();
        },
      },
      crash: async () => {
        const proxy = await startFaultProxy(server.url);
        const mortal = toBroker(proxy.through(server.url));
        cleanups.push(() => proxy.stop());
        await mortal.start();
        return { broker: mortal, die: async () => proxy.cut() };
      },
      close: async () => {
        if (isAway) await server.restart();
        for (const cleanup of cleanups) await cleanup();
      },
    };
  };
}

for (const rule of brokerRules) test(rule.name, async ({ skip }) => rule.check(toOpen(serverOr(skip))));

function toMessage(topic: string, text: string, key = "k"): BrokerMessage {
  return { topic, key, headers: {}, payload: text };
}

function codesOf(answers: Awaited<ReturnType<MessageBroker["publish"]>>): readonly (string | undefined)[] {
  return [...new Set(answers.map((answer) => answer?.code))];
}

/** A subscription that keeps what comes, and acknowledges it unless told otherwise. */
async function listen(broker: MessageBroker, topic: string, { group = "g", acks = true } = {}) {
  const messages: ReceivedMessage[] = [];
  const all: string[] = [];
  const subscription: Subscription = await broker.subscribe({
    group,
    topics: [topic],
    unackedMax: 10_000,
    handle: (come) => {
      messages.push(...come);
      all.push(...come.map(({ payload }) => Buffer.from(payload).toString()));
      if (acks) subscription.ack(come);
    },
  });
  const texts = () => [...all];
  const hasAll = (wanted: readonly string[]) =>
    waitUntil(
      `all of ${wanted.length} messages have come`,
      () => {
        const come = new Set(all);
        return wanted.every((text) => come.has(text));
      },
      { withinMs: 30_000 },
    );
  return {
    messages,
    texts,
    hasAll,
    ack: (some = messages) => subscription.ack(some),
    stop: () => subscription.stop(),
  };
}

function numbers(count: number): readonly string[] {
  return Array.from({ length: count }, (_, n) => String(n));
}

describe("publishing", () => {
  test("what was acknowledged survives kill -9 in the middle of it, in order", async ({ skip }) => {
    const server = await ownServer(skip, {});
    const broker = await started(server.url);
    const accepted: string[][] = [[], [], []];
    let killed: Promise<void> | undefined;
    for (let call = 0; call < 200 || !killed; call++) {
      const texts = Array.from({ length: 99 }, (_, n) => `${n % 3}/${call}/${n}`);
      const publishing = broker.publish(texts.map((text) => toMessage("t", text, text.charAt(0))));
      if (call === 50) killed = server.kill();
      const answers = await publishing;
      for (const [n, text] of texts.entries()) if (!answers[n]) accepted[n % 3]!.push(text);
      if (answers.some((answer) => answer)) break;
    }
    await killed;
    expect(accepted.flat().length).toBeGreaterThanOrEqual(4_950);
    await server.restart();
    const receiver = await waitUntil("a subscription begins", () =>
      listen(broker, "t").catch(() => undefined),
    );
    await receiver.hasAll(accepted.flat());
    for (const [key, texts] of accepted.entries()) {
      const come = receiver.texts().filter((text) => text.startsWith(`${key}/`));
      expect(come.slice(0, texts.length)).toEqual(texts);
    }
  });

  test("a stream that is full is an outage: of each key a prefix is accepted", async ({ skip }) => {
    const server = serverOr(skip);
    const stream = fresh("stream");
    const { ask } = await plain(server.url);
    const config = { name: stream, subjects: [`${stream}.>`], max_msgs: 5, discard: "new" };
    await ask(`STREAM.CREATE.${stream}`, config);
    const broker = await started(server.url, { stream });
    const messages = ["a", "b", "a", "b", "a", "b", "a", "b"].map((key, n) => toMessage("t", String(n), key));
    const codes = (await broker.publish(messages)).map((answer) => answer?.code);
    expect(codes.filter((code) => code === undefined)).toHaveLength(5);
    for (const first of [0, 1]) {
      const ofKey = codes.filter((_, n) => n % 2 === first);
      const bad = ofKey.findIndex((code) => code);
      expect(ofKey[bad]).toBe("SAGAZ_BROKER_UNAVAILABLE");
      expect(ofKey.slice(bad + 1).every((code) => code === "SAGAZ_BROKER_HELD_BACK")).toBe(true);
    }
    await ask(`STREAM.PURGE.${stream}`);
    expect(codesOf(await broker.publish([toMessage("t", "later")]))).toEqual([undefined]);
  });

  test("an event that is sent again after a lost answer is kept once; another event is not taken for it", async ({
    skip,
  }) => {
    const server = serverOr(skip);
    const stream = fresh("stream");
    const proxy = await startFaultProxy(server.url);
    const broker = await started(proxy.through(server.url), { stream });
    onTestFinished(() => proxy.stop());
    const toEvent = (topic: string, source: string) => {
      return { ...toMessage(topic, `${topic} ${source}`), headers: { ce_id: "1", ce_source: source } };
    };
    const events = [toEvent("t", "shop"), toEvent("t", "bank"), toEvent("u", "shop")];
    const hit = proxy.dropRepliesOnce("HPUB");
    expect((await broker.publish(events.slice(0, 1)))[0]?.code).toBe("SAGAZ_BROKER_UNAVAILABLE");
    await hit;
    await expect.poll(async () => codesOf(await broker.publish(events)), patiently).toEqual([undefined]);
    const { ask } = await plain(server.url);
    expect(await ask(`STREAM.INFO.${stream}`)).toMatchObject({ state: { messages: 3 } });
  });

  test("a header that cannot be written is refused, and no others", async ({ skip }) => {
    const broker = await started(serverOr(skip).url);
    const topic = fresh("topic");
    const bad = { ...toMessage(topic, "bad", "bad"), headers: { "a name": "x" } };
    const answers = await broker.publish([bad, toMessage(topic, "good")]);
    expect(answers.map((answer) => answer?.code)).toEqual(["SAGAZ_MESSAGE_REFUSED", undefined]);
  });

  test("more than may be under way at a time arrives in order", async ({ skip }) => {
    const broker = await started(serverOr(skip).url);
    const topic = fresh("topic");
    const receiver = await listen(broker, topic);
    const big = "x".repeat(900_000);
    const texts = [...numbers(2_500), ...numbers(30).map((n) => `${n} ${big}`)];
    const messages = texts.map((text, n) => toMessage(topic, text, `key-${n % 1_250}`));
    expect(codesOf(await broker.publish(messages))).toEqual([undefined]);
    await receiver.hasAll(texts);
    expect(receiver.messages).toHaveLength(texts.length);
  });

  test("a server that has frozen is an outage, and not for ever", async ({ skip }) => {
    const server = await ownServer(skip, {});
    const broker = await started(server.url, { answerTimeoutMs: 300 });
    await server.pause();
    const answers = await broker.publish([toMessage("t", "1"), toMessage("t", "2")]);
    expect(answers.map((answer) => answer?.code)).toEqual([
      "SAGAZ_BROKER_UNAVAILABLE",
      "SAGAZ_BROKER_HELD_BACK",
    ]);
    await expect(connectTo(server.url, { answerTimeoutMs: 300 }).start()).rejects.toMatchObject({
      code: "SAGAZ_BROKER_UNAVAILABLE",
    });
    await server.resume();
    await expect
      .poll(async () => codesOf(await broker.publish([toMessage("t", "3")])), patiently)
      .toEqual([undefined]);
    expect(await broker.health()).toEqual({ isUp: true });
  });

  test("a stop lets what is under way finish", async ({ skip }) => {
    const broker = await started(serverOr(skip).url);
    const publishing = broker.publish(numbers(3_000).map((n) => toMessage(fresh("topic"), n, n)));
    await broker.stop();
    expect(codesOf(await publishing)).toEqual([undefined]);
  });
});

describe("starting", () => {
  test.for([{ token: "t0/ken" }, { user: "shop", password: "s3 cret" }])(
    "a URL carries the login",
    async (login, { skip }) => {
      const server = await ownServer(skip, { login });
      const broker = await createBroker(server.url);
      onTestFinished(() => broker.stop());
      await broker.start();
      expect(await broker.health()).toEqual({ isUp: true });
    },
  );

  test("a wrong password is told without the password, and so is none", async ({ skip }) => {
    const server = await ownServer(skip, { login: { user: "shop", password: "s3cret" } });
    const servers = `127.0.0.1:${server.port}`;
    await started(servers, { connection: { servers, user: "shop", pass: "s3cret" } });
    for (const login of [{}, { user: "shop", pass: "n0tSecret" }]) {
      const broker = connectTo(servers, { connection: { servers, ...login } });
      const error = await broker.start().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE" });
      expect(String(error)).toMatch(/authorization/i);
      expect(inspect([error, broker], { depth: 9, showHidden: true })).not.toContain("n0tSecret");
    }
  });

  test("a server that takes connections and says nothing leaves no socket behind", async ({ skip }) => {
    const server = await ownServer(skip, {});
    const sockets: Socket[] = [];
    const onSocket = (message: unknown) => void sockets.push((message as { socket: Socket }).socket);
    subscribe("net.client.socket", onSocket);
    onTestFinished(() => void unsubscribe("net.client.socket", onSocket));
    await server.pause();
    const starting = connectTo(server.url, { answerTimeoutMs: 300 }).start();
    await expect(starting).rejects.toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE" });
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true]);
    await server.resume();
  });

  test("a server without JetStream says what it lacks", async ({ skip }) => {
    const server = await ownServer(skip, { hasJetStream: false });
    const error = await connectTo(server.url)
      .start()
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE" });
    expect(String(error)).toContain("JetStream must be on");
  });

  test("streams that cannot be made are told", async ({ skip }) => {
    const broker = connectTo(serverOr(skip).url, { stream: fresh("stream"), replicas: 3 });
    const error = await broker.start().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE" });
    expect(String(error)).toContain("replicas");
  });

  test("streams are made with what was asked for, and then left as they are", async ({ skip }) => {
    const server = serverOr(skip);
    const stream = fresh("stream");
    await started(server.url, { stream, keepMs: 3_600_000 });
    await Promise.all([started(server.url, { stream }), started(server.url, { stream, keepMs: 1_000 })]);
    const { ask } = await plain(server.url);
    expect(await ask(`STREAM.INFO.${stream}`)).toMatchObject({
      config: { subjects: [`${stream}.>`], max_age: 3_600e9, storage: "file", num_replicas: 1 },
    });
    expect(await ask(`STREAM.INFO.KV_${stream}-groups`)).toMatchObject({
      config: { max_msgs_per_subject: 1 },
    });
  });

  test("a subscription that is still beginning ends with its broker", async ({ skip }) => {
    const server = serverOr(skip);
    const topic = fresh("topic");
    const broker = await started(server.url);
    const beginning = listen(broker, topic).catch((thrown: unknown) => thrown);
    await broker.stop();
    expect(await beginning).toMatchObject({ code: "SAGAZ_STOPPED" });
  });
});

describe("a group", () => {
  test("gets what others have published, as well as it can", async ({ skip }) => {
    const server = serverOr(skip);
    const broker = await started(server.url);
    const topic = fresh("topic");
    const receiver = await listen(broker, topic);
    const { connection } = await plain(server.url);
    connection.publish(`sagaz.${topic}`, "p");
    await expect.poll(() => receiver.messages.length, patiently).toBe(1);
    expect({ ...receiver.messages[0], payload: String(Buffer.from(receiver.messages[0]!.payload)) }).toEqual({
      topic,
      key: "",
      headers: {},
      payload: "p",
    });
  });

  test("goes on when its topics are more than it may have unacknowledged", async ({ skip }) => {
    const broker = await started(serverOr(skip).url);
    const topics = numbers(5).map((n) => fresh(`topic.${n}`));
    const come: string[] = [];
    const subscription: Subscription = await broker.subscribe({
      group: "g",
      topics,
      unackedMax: 2,
      handle: (messages) => {
        come.push(...messages.map(({ topic }) => topic));
        subscription.ack(messages);
      },
    });
    await broker.publish(topics.flatMap((topic) => [toMessage(topic, "1"), toMessage(topic, "2")]));
    await expect.poll(() => [...come].sort(), patiently).toEqual(topics.flatMap((topic) => [topic, topic]));
  });

  test("goes on where it was when its consumer vanishes at the server", async ({ skip }) => {
    const server = serverOr(skip);
    const stream = fresh("stream");
    const broker = await started(server.url, { stream });
    const receiver = await listen(broker, "t");
    const { ask } = await plain(server.url);
    for (const round of numbers(5)) {
      const texts = numbers(200).map((n) => `${round}/${n}`);
      await broker.publish(texts.map((text) => toMessage("t", text)));
      const { consumers } = (await ask(`CONSUMER.NAMES.${stream}`)) as { consumers: string[] | null };
      for (const name of consumers ?? []) await ask(`CONSUMER.DELETE.${stream}.${name}`);
      await receiver.hasAll(texts);
    }
    expect(receiver.texts()).toEqual([...new Set(receiver.texts())]);
  });

  test("gets again what was lost on the way to it", async ({ skip }) => {
    const server = serverOr(skip);
    let sent = 0;
    const connect = async (settings?: nats.NodeConnectionOptions): Promise<NatsConnection> => {
      const connection: NatsConnection = await nats.connect(settings);
      const subscribe = connection.subscribe.bind(connection);
      connection.subscribe = (subject, { callback }) =>
        subscribe(subject, {
          callback: (error, message) => {
            const isHandedOut = message.reply?.startsWith("$JS.ACK") ?? false;
            if (!isHandedOut || sent++ !== 3) callback(error, message);
          },
        });
      return connection;
    };
    const broker = await started(server.url, { nats: { connect, headers: nats.headers } });
    const topic = fresh("topic");
    const receiver = await listen(broker, topic);
    await broker.publish(numbers(10).map((n) => toMessage(topic, n)));
    await receiver.hasAll(numbers(10));
    expect(receiver.texts()).toEqual(numbers(10));
  });

  test("begins anew when the stream was made anew", async ({ skip }) => {
    const server = serverOr(skip);
    const stream = fresh("stream");
    const before = await started(server.url, { stream });
    const one = await listen(before, "t");
    await before.publish(numbers(10).map((n) => toMessage("t", n)));
    await one.hasAll(numbers(10));
    await before.stop();
    const { ask } = await plain(server.url);
    await ask(`STREAM.DELETE.${stream}`);
    const after = await started(server.url, { stream });
    await after.publish([toMessage("t", "first")]);
    const two = await listen(after, "t");
    await two.hasAll(["first"]);
  });

  test("goes on when the stream is gone while it is used: it is made again, and that is an outage", async ({
    skip,
  }) => {
    const server = serverOr(skip);
    const stream = fresh("stream");
    const broker = await started(server.url, { stream });
    const receiver = await listen(broker, "t");
    await broker.publish(numbers(10).map((n) => toMessage("t", n)));
    await receiver.hasAll(numbers(10));
    const { ask } = await plain(server.url);
    await ask(`STREAM.DELETE.${stream}`);
    const again = () => broker.publish([toMessage("t", "again")]);
    expect((await again())[0]?.code).toBe("SAGAZ_BROKER_UNAVAILABLE");
    await expect.poll(async () => codesOf(await again()), patiently).toEqual([undefined]);
    await receiver.hasAll(["again"]);
  });
});

describe("a lease", () => {
  test("goes to another when its holder is cut off, and the former one hands over nothing more", async ({
    skip,
  }) => {
    const server = serverOr(skip);
    const topic = fresh("topic");
    const proxy = await startFaultProxy(server.url);
    onTestFinished(() => proxy.stop());
    const former = await started(proxy.through(server.url), { leaseMs: 3_000, answerTimeoutMs: 20_000 });
    const broker = await started(server.url, { leaseMs: 3_000 });
    const one = await listen(former, topic, { acks: false });
    await broker.publish([toMessage(topic, "1")]);
    await one.hasAll(["1"]);
    const two = await listen(broker, topic);
    proxy.blackHole("toClient");
    // While it is waiting for one: it is on its way to the former holder.
    await broker.publish([toMessage(topic, "2")]);
    await two.hasAll(["1", "2"]);
    // What the server has sent to the former one arrives now, and what that one says is heard.
    proxy.heal();
    one.ack();
    await broker.publish([toMessage(topic, "3")]);
    await two.hasAll(["3"]);
    await expect.poll(() => former.health(), patiently).toEqual({ isUp: true });
    expect(one.texts()).toEqual(["1"]);
    expect(two.texts()).toEqual(["1", "2", "3"]);
    await two.stop();
    await broker.publish([toMessage(topic, "4")]);
    await one.hasAll(["4"]);
    expect(one.texts()).toEqual(["1", "4"]);
  });

  test("that was lost to another is lost to its acknowledgements as well", async ({ skip }) => {
    const server = serverOr(skip);
    const broker = await started(server.url, { leaseMs: 60_000 });
    const topic = fresh("topic");
    const receiver = await listen(broker, topic, { acks: false });
    await broker.publish([toMessage(topic, "1")]);
    await receiver.hasAll(["1"]);
    const { connection } = await plain(server.url);
    const write = (reader: string | null) =>
      connection.request(`$KV.sagaz-groups.g.${topic}`, JSON.stringify({ reader, place: 0 }));
    await write("another");
    receiver.ack();
    await receiver.stop();
    await write(null);
    const next = await listen(broker, topic);
    await next.hasAll(["1"]);
  });
});
