import { inspect } from "node:util";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startFaultProxy } from "../../../../../tools/servers/fault-proxy.ts";
import { findRedis, startRedis, type RedisOptions } from "../../../../../tools/servers/redis.ts";
import type { TestBroker } from "../../../../../tools/servers/scratch-broker.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import type { BrokerMessage, MessageBroker, ReceivedMessage, Subscription } from "../../ports/broker.ts";
import { brokerRules, toTitle, unmetNeeds } from "../../testing/index.ts";
import type { BrokerNeed, OpenBroker } from "../../testing/index.ts";
import { createBroker } from "../create.ts";
import { RedisBroker, type RedisBrokerOptions, type RedisClient, type RedisSettings } from "./index.ts";

const provided: readonly BrokerNeed[] = ["outage", "crash", "refused"];
const messageBytesMax = 1_000_000;

/** One server of our own for all tests: rules kill it. */
let shared: TestBroker | undefined;
let missing = "";

beforeAll(async () => {
  const found = await findRedis({ own: true });
  if ("missing" in found) missing = found.missing;
  else shared = await startRedis(found, { appendfsync: "always" });
});
afterAll(() => shared?.stop());

/** How long a test waits for what must happen: beside busy neighbours it may take long. */
const patiently = { timeout: 30_000 };

type Skip = (reason: string) => never;

function serverOr(skip: Skip): TestBroker {
  return shared ?? skip(missing);
}

/** A server with settings of its own, for one test. */
async function ownServer(skip: Skip, options: RedisOptions): Promise<TestBroker> {
  const found = await findRedis({ own: true });
  if ("missing" in found) return skip(found.missing);
  const server = await startRedis(found, options);
  onTestFinished(() => server.stop());
  return server;
}

function connectTo(url: string, options: Partial<RedisBrokerOptions> = {}): RedisBroker {
  const client = new Redis(url, { lazyConnect: true });
  return new RedisBroker({ client, leaseMs: 500, answerTimeoutMs: 2_000, messageBytesMax, ...options });
}

/** A started broker that is stopped when the test has finished. */
async function started(url: string, options: Partial<RedisBrokerOptions> = {}): Promise<RedisBroker> {
  const broker = connectTo(url, options);
  onTestFinished(() => broker.stop());
  await broker.start();
  return broker;
}

/** A plain client beside the broker. */
function plain(url: string): Redis {
  const client = new Redis(url);
  onTestFinished(() => client.disconnect());
  return client;
}

function toOpen(server: TestBroker): OpenBroker {
  return async () => {
    const cleanups: (() => Promise<void>)[] = [];
    const another = () => {
      // Nobody loses its lease because it, or the server, has not got its turn for a while: only who dies has a short one.
      const broker = connectTo(server.url, { leaseMs: 10_000 });
      cleanups.push(() => broker.stop());
      return broker;
    };
    const broker = another();
    await broker.start();
    let isAway = false;
    return {
      broker,
      another,
      topic: async () => `topic ${crypto.randomUUID()}`,
      refused: (topic, key) => ({ topic, key, headers: {}, payload: "x".repeat(messageBytesMax) }),
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
        const mortal = connectTo(proxy.through(server.url));
        cleanups.push(
          () => mortal.stop(),
          () => proxy.stop(),
        );
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

const met = brokerRules.filter((rule) => unmetNeeds(rule, provided).length === 0);

for (const rule of met) test(rule.name, async ({ skip }) => rule.check(toOpen(serverOr(skip))));

test("what Redis has no such thing as is declared: it makes a topic that it does not know", () => {
  const left = brokerRules.filter((rule) => !met.includes(rule));
  expect(left.map((rule) => toTitle(rule, unmetNeeds(rule, provided)))).toEqual([
    "publish: a topic that does not exist is said so, and its neighbours get through (skipped: needs unknownTopic)",
  ]);
});

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
    const server = await ownServer(skip, { appendfsync: "always" });
    const broker = await started(server.url);
    const accepted: string[] = [];
    let killed: Promise<void> | undefined;
    for (let call = 0; call < 200 || !killed; call++) {
      const texts = Array.from({ length: 100 }, (_, n) => `${call}/${n}`);
      const publishing = broker.publish(texts.map((text) => toMessage("t", text)));
      if (call === 50) killed = server.kill();
      const answers = await publishing;
      accepted.push(...texts.filter((_, n) => answers[n] === undefined));
      if (answers.some((answer) => answer)) break;
    }
    await killed;
    expect(accepted.length).toBeGreaterThanOrEqual(5_000);
    await server.restart();
    const receiver = await waitUntil("a subscription begins", () =>
      listen(broker, "t").catch(() => undefined),
    );
    await receiver.hasAll(accepted);
    expect(receiver.texts().slice(0, accepted.length)).toEqual(accepted);
  });

  test("more than fits into one go arrives in order", async ({ skip }) => {
    const broker = await started(serverOr(skip).url);
    const topic = crypto.randomUUID();
    const receiver = await listen(broker, topic);
    const big = "x".repeat(900_000);
    const texts = [...numbers(2_500), ...numbers(10).map((n) => `${big}${n}`)];
    expect(codesOf(await broker.publish(texts.map((text) => toMessage(topic, text))))).toEqual([undefined]);
    await receiver.hasAll(texts);
    expect(receiver.texts()).toEqual(texts);
  });

  test("a portion follows only when the one before was accepted", async ({ skip }) => {
    const server = serverOr(skip);
    const topic = crypto.randomUUID();
    const client = new Redis(server.url, { lazyConnect: true });
    let appends = 0;
    const duplicate = (settings: RedisSettings) => {
      const copy: RedisClient = client.duplicate(settings);
      const call = copy.call.bind(copy);
      copy.call = (...args) => {
        const isAppend = String(args[1]).includes("XADD");
        return isAppend && appends++ === 1 ? Promise.reject(new Error("lost")) : call(...args);
      };
      return copy;
    };
    const broker = await started(server.url, { client: { duplicate } as RedisClient });
    const answers = await broker.publish(numbers(3_500).map((n) => toMessage(topic, n)));
    expect(answers.findIndex((answer) => answer)).toBe(1_000);
    expect(codesOf(answers.slice(1_000))).toEqual(["SAGAZ_BROKER_UNAVAILABLE"]);
    expect(await plain(server.url).xlen(`sagaz:topic:${topic}`)).toBe(1_000);
  });

  test("a lost answer counts as an outage, though the messages were accepted", async ({ skip }) => {
    const server = serverOr(skip);
    const topic = crypto.randomUUID();
    const proxy = await startFaultProxy(server.url);
    const broker = await started(proxy.through(server.url));
    onTestFinished(() => proxy.stop());
    const hit = proxy.dropRepliesOnce("XADD");
    expect(codesOf(await broker.publish([toMessage(topic, "a"), toMessage(topic, "b")]))).toEqual([
      "SAGAZ_BROKER_UNAVAILABLE",
    ]);
    await hit;
    expect(await plain(server.url).xlen(`sagaz:topic:${topic}`)).toBe(2);
  });

  test("a server that has frozen is an outage, and not for ever", async ({ skip }) => {
    const server = await ownServer(skip, {});
    const broker = await started(server.url, { answerTimeoutMs: 300 });
    await server.pause();
    expect(codesOf(await broker.publish([toMessage("t", "1")]))).toEqual(["SAGAZ_BROKER_UNAVAILABLE"]);
    await expect(connectTo(server.url, { answerTimeoutMs: 300 }).start()).rejects.toMatchObject({
      code: "SAGAZ_BROKER_UNAVAILABLE",
    });
    await server.resume();
    await expect.poll(() => broker.health(), patiently).toEqual({ isUp: true });
    expect(codesOf(await broker.publish([toMessage("t", "2")]))).toEqual([undefined]);
  });

  test("a full memory is an outage for all of a topic; who reads makes room", async ({ skip }) => {
    const server = await ownServer(skip, { settings: { "maxmemory-policy": "noeviction" } });
    const broker = await started(server.url);
    const admin = plain(server.url);
    const publish = () => broker.publish(numbers(1_000).map((n) => toMessage("t", n.padEnd(1_000))));
    for (let call = 0; call < 10; call++) expect(codesOf(await publish())).toEqual([undefined]);
    const used = Number(/used_memory:(\d+)/.exec(await admin.info("memory"))?.[1]);
    await admin.config("SET", "maxmemory", used);
    const answers = await publish();
    expect(codesOf(answers)).toEqual(["SAGAZ_BROKER_UNAVAILABLE"]);
    expect(String(answers[0])).toContain("maxmemory");
    expect(await admin.xlen("sagaz:topic:t")).toBe(10_000);
    await listen(broker, "t");
    await expect.poll(async () => codesOf(await publish()), patiently).toEqual([undefined]);
  });

  test("a replica is an outage, until it is a primary", async ({ skip }) => {
    const server = await ownServer(skip, {});
    const broker = await started(server.url);
    const admin = plain(server.url);
    await admin.replicaof("127.0.0.1", "1");
    const [answer] = await broker.publish([toMessage("t", "1")]);
    expect(answer).toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE" });
    expect(String(answer)).toContain("READONLY");
    await admin.replicaof("NO", "ONE");
    await expect
      .poll(async () => codesOf(await broker.publish([toMessage("t", "1")])), patiently)
      .toEqual([undefined]);
  });

  test("a topic in whose place something else is refuses its messages, and no others", async ({ skip }) => {
    const server = serverOr(skip);
    const broker = await started(server.url);
    const [bad, good] = [crypto.randomUUID(), crypto.randomUUID()];
    await plain(server.url).set(`sagaz:topic:${bad}`, "something else");
    const answers = await broker.publish([
      toMessage(bad, "1"),
      toMessage(good, "2"),
      toMessage(bad, "3", "other"),
    ]);
    expect(answers.map((answer) => answer?.code)).toEqual([
      "SAGAZ_MESSAGE_REFUSED",
      undefined,
      "SAGAZ_MESSAGE_REFUSED",
    ]);
    await expect(listen(broker, bad)).rejects.toMatchObject({ code: "SAGAZ_UNKNOWN_TOPIC" });
  });

  test("a stop lets what is under way finish", async ({ skip }) => {
    const broker = await started(serverOr(skip).url);
    const topic = crypto.randomUUID();
    const publishing = broker.publish(numbers(5_000).map((n) => toMessage(topic, n)));
    await broker.stop();
    expect(codesOf(await publishing)).toEqual([undefined]);
  });
});

test("a subscription that is still beginning ends with its broker", async ({ skip }) => {
  const server = serverOr(skip);
  const topic = crypto.randomUUID();
  const broker = await started(server.url);
  const beginning = listen(broker, topic).catch((thrown: unknown) => thrown);
  await broker.stop();
  expect(await beginning).toMatchObject({ code: "SAGAZ_STOPPED" });
  const next = await started(server.url, { leaseMs: 60_000 });
  await next.publish([toMessage(topic, "1")]);
  await (await listen(next, topic)).hasAll(["1"]);
});

test("a wrong password is told without the password, and so is none", async ({ skip }) => {
  const server = await ownServer(skip, { password: "s3cret" });
  const right = await createBroker(server.url);
  onTestFinished(() => right.stop());
  await right.start();
  for (const password of ["", ":n0tSecret@"]) {
    const broker = connectTo(`redis://${password}127.0.0.1:${server.port}`);
    const error = await broker.start().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE" });
    expect(String(error)).toMatch(/WRONGPASS|NOAUTH/);
    expect(inspect([error, broker], { depth: 9, showHidden: true })).not.toContain("n0tSecret");
  }
});

describe("a group", () => {
  test("gets what others have put into the stream, as well as it can", async ({ skip }) => {
    const server = serverOr(skip);
    const broker = await started(server.url);
    const topic = crypto.randomUUID();
    const admin = plain(server.url);
    await admin.xadd(`sagaz:topic:${topic}`, "*", "some", "thing");
    await admin.xadd(`sagaz:topic:${topic}`, "*", "key", "k", "headers", "no JSON", "payload", "p");
    const receiver = await listen(broker, topic);
    await expect.poll(() => receiver.messages.length, patiently).toBe(2);
    expect(receiver.messages).toEqual([
      { topic, key: "", headers: {}, payload: Buffer.from("") },
      { topic, key: "k", headers: {}, payload: Buffer.from("p") },
    ]);
  });

  test.for([
    ["null", {}],
    ["[1]", { 0: "1" }],
    ['{"ce_id":5,"ok":true,"no":null,"nor":{"a":1}}', { ce_id: "5", ok: "true" }],
  ] as const)(
    "gets headers that are no texts, %s, as the texts that can be made of them",
    async (given, { skip }) => {
      const server = serverOr(skip);
      const broker = await started(server.url);
      const topic = crypto.randomUUID();
      const [headers, expected] = given;
      await plain(server.url).xadd(
        `sagaz:topic:${topic}`,
        "*",
        "key",
        "k",
        "headers",
        headers,
        "payload",
        "p",
      );
      const receiver = await listen(broker, topic);
      await expect.poll(() => receiver.messages.length, patiently).toBe(1);
      expect(receiver.messages[0]?.headers).toEqual(expected);
    },
  );

  test("goes on when its topics are more than it may have unacknowledged", async ({ skip }) => {
    const broker = await started(serverOr(skip).url);
    const topics = numbers(5).map((n) => `${n}-${crypto.randomUUID()}`);
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

  test("that was removed under its reader is made again, and has its place again", async ({ skip }) => {
    const server = serverOr(skip);
    const broker = await started(server.url);
    const topic = crypto.randomUUID();
    const stream = `sagaz:topic:${topic}`;
    const receiver = await listen(broker, topic);
    await broker.publish([toMessage(topic, "1")]);
    await receiver.hasAll(["1"]);
    const admin = plain(server.url);
    await admin.xgroup("DESTROY", stream, "g");
    await broker.publish([toMessage(topic, "2")]);
    await receiver.hasAll(["2"]);
    await expect.poll(() => placeIsEnd(admin, stream), patiently).toBe(true);
  });
});

/** Tells whether the group has acknowledged all that is in the stream. */
async function placeIsEnd(admin: Redis, stream: string): Promise<boolean> {
  const groups = (await admin.xinfo("GROUPS", stream)) as string[][];
  const [[last] = [""]] = await admin.xrevrange(stream, "+", "-", "COUNT", 1);
  return groups.find((group) => group[1] === "g")?.[7] === last;
}

describe("a lease", () => {
  test("goes to another when its holder is cut off, and the former one hands over nothing more", async ({
    skip,
  }) => {
    const server = serverOr(skip);
    const topic = crypto.randomUUID();
    const proxy = await startFaultProxy(server.url);
    onTestFinished(() => proxy.stop());
    const leaseMs = 3_000;
    const former = await started(proxy.through(server.url), { leaseMs, answerTimeoutMs: 20_000 });
    const broker = await started(server.url, { leaseMs });
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

  test("that is long outlasts a silence in which nothing comes: what is handed over does not come again", async ({
    skip,
  }) => {
    const server = await ownServer(skip, {});
    const broker = await started(server.url, { leaseMs: 60_000, answerTimeoutMs: 500 });
    const receiver = await listen(broker, "t", { acks: false });
    await broker.publish([toMessage("t", "1")]);
    await receiver.hasAll(["1"]);
    const admin = plain(server.url);
    const reads = async () => Number(/cmdstat_xread:calls=(\d+)/.exec(await admin.info("commandstats"))?.[1]);
    await expect.poll(reads, patiently).toBeGreaterThan(4);
    await broker.publish([toMessage("t", "2")]);
    await receiver.hasAll(["2"]);
    expect(receiver.texts()).toEqual(["1", "2"]);
  });

  test("that was lost to another is lost to its acknowledgements as well", async ({ skip }) => {
    const server = serverOr(skip);
    const broker = await started(server.url, { leaseMs: 60_000 });
    const topic = crypto.randomUUID();
    const receiver = await listen(broker, topic, { acks: false });
    await broker.publish([toMessage(topic, "1")]);
    await receiver.hasAll(["1"]);
    const admin = plain(server.url);
    await admin.set(`sagaz:reader:g:${topic}`, "another");
    receiver.ack();
    await receiver.stop();
    expect(await admin.get(`sagaz:reader:g:${topic}`)).toBe("another");
    await admin.del(`sagaz:reader:g:${topic}`);
    const next = await listen(broker, topic);
    await next.hasAll(["1"]);
  });
});

describe("trimming", () => {
  const fill = async (broker: MessageBroker, topic: string) => {
    const texts = numbers(3_000);
    await broker.publish(texts.map((text) => toMessage(topic, text)));
    return texts;
  };

  test("takes what every group has acknowledged, and nothing that one has not", async ({ skip }) => {
    const server = serverOr(skip);
    const broker = await started(server.url);
    const admin = plain(server.url);
    const topic = crypto.randomUUID();
    const stream = `sagaz:topic:${topic}`;
    const slow = await listen(broker, topic, { group: "slow", acks: false });
    const texts = await fill(broker, topic);
    await slow.hasAll(texts);
    slow.ack(slow.messages.slice(0, 1_500));
    const fast = await listen(broker, topic, { group: "fast" });
    await fast.hasAll(texts);
    await expect.poll(() => admin.xlen(stream), patiently).toBeLessThan(1_700);
    await slow.stop();
    const next = await listen(broker, topic, { group: "slow" });
    await next.hasAll(texts.slice(1_500));
    expect(next.texts()).toEqual(texts.slice(1_500));
    await expect.poll(() => admin.xlen(stream), patiently).toBeLessThan(1_100);
  });

  test("leaves alone what a group of others has pending", async ({ skip }) => {
    const server = serverOr(skip);
    const broker = await started(server.url);
    const admin = plain(server.url);
    const topic = crypto.randomUUID();
    const stream = `sagaz:topic:${topic}`;
    await admin.xgroup("CREATE", stream, "others", "0", "MKSTREAM");
    const texts = await fill(broker, topic);
    await admin.xreadgroup("GROUP", "others", "c", "COUNT", 2_000, "STREAMS", stream, ">");
    const [, least] = (await admin.xpending(stream, "others")) as [number, string];
    const receiver = await listen(broker, topic);
    await receiver.hasAll(texts);
    await expect.poll(() => placeIsEnd(admin, stream), patiently).toBe(true);
    expect(await admin.xrange(stream, least, least)).toHaveLength(1);
    expect(await admin.xlen(stream)).toBe(3_000);
  });
});
