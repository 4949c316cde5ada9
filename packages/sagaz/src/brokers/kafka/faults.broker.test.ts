import { inspect } from "node:util";
import * as kafka from "@platformatic/kafka";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { startKafkaWithListeners } from "../../../../../tools/servers/kafka-listeners.ts";
import type { KafkaWithListeners } from "../../../../../tools/servers/kafka-listeners.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import type { BrokerMessage } from "../../ports/broker.ts";
import { Receiver, fresh, toMessage } from "../../testing/conformance/broker/receiver.ts";
import { KafkaBroker, type KafkaBrokerOptions } from "./index.ts";

let found: KafkaWithListeners | { readonly missing: string };
let server: KafkaWithListeners;

beforeAll(async () => {
  found = await startKafkaWithListeners();
});

beforeEach(({ skip }) => {
  if ("missing" in found) return skip(found.missing);
  server = found;
});

afterAll(async () => {
  if ("stop" in found) await found.stop();
});

async function open(
  listener: "plain" | "proxied" = "plain",
  options: Partial<KafkaBrokerOptions> = {},
): Promise<KafkaBroker> {
  const limits = { publishTimeoutMs: 100_000, answerTimeoutMs: 3_000, sessionTimeoutMs: 3_000 };
  const broker = new KafkaBroker({ kafka, servers: [server[listener]], ...limits, ...options });
  onTestFinished(() => broker.stop());
  await broker.start();
  return broker;
}

function admin(): kafka.Admin {
  const client = new kafka.Admin({ clientId: "tests", bootstrapBrokers: [server.plain] });
  onTestFinished(() => client.close());
  return client;
}

async function createTopic(options: Partial<kafka.CreateTopicsOptions> = {}): Promise<string> {
  const topic = fresh("topic");
  await admin().createTopics({ topics: [topic], partitions: 1, replicas: 1, ...options });
  return topic;
}

/** All that is in a topic: up to the last message that is published now. */
async function read(topic: string, partitions = 1): Promise<readonly string[]> {
  const broker = await open();
  const ends = Array.from({ length: partitions * 20 }, (_, n) => toMessage(topic, `end-${n}`, `end/${n}`));
  expect(await broker.publish(ends)).toEqual(ends.map(() => undefined));
  const receiver = await new Receiver().listen(broker, { group: fresh("group"), topics: [topic] });
  await receiver.hasAll(ends.map(({ payload }) => String(payload)));
  return receiver.texts.filter((text) => !text.startsWith("end/"));
}

function codes(answers: readonly ({ readonly code: string } | undefined)[]): readonly (string | undefined)[] {
  return answers.map((answer) => answer?.code);
}

function isProduce(request: Buffer): boolean {
  return request.length > 6 && request.readInt16BE(4) === 0;
}

describe("publishing", () => {
  test("kill -9 of the broker in its midst loses nothing, doubles nothing, and keeps the order", async () => {
    const topic = await createTopic({ partitions: 4 });
    const broker = await open();
    let isOver = false;
    let accepted = 0;
    const keys = ["a", "b", "c"].map(async (key) => {
      const texts: string[] = [];
      for (let rest = 5; rest > 0; rest -= isOver ? 1 : 0) {
        const batch = Array.from({ length: 20 }, (_, n) =>
          toMessage(topic, key, `${key}/${texts.length + n}`),
        );
        expect(codes(await broker.publish(batch))).toEqual(batch.map(() => undefined));
        texts.push(...batch.map(({ payload }) => String(payload)));
        accepted += batch.length;
      }
      return texts;
    });
    await waitUntil("it is well under way", () => accepted >= 600);
    await server.kafka.kill();
    await server.kafka.restart();
    isOver = true;
    const sent = await Promise.all(keys);
    const came = await read(topic, 4);
    for (const texts of sent) expect(came.filter((text) => text[0] === texts[0]?.[0])).toEqual(texts);
  });

  test("an answer that is lost does not double the message", async () => {
    const topic = await createTopic();
    const broker = await open("proxied");
    await broker.publish([toMessage(topic, "k", "1")]);
    const hit = server.proxy.dropRepliesOnce(isProduce);
    expect(await broker.publish([toMessage(topic, "k", "2"), toMessage(topic, "k", "3")])).toEqual([
      undefined,
      undefined,
    ]);
    await hit;
    expect(await broker.publish([toMessage(topic, "k", "4")])).toEqual([undefined]);
    expect(await read(topic)).toEqual(["1", "2", "3", "4"]);
  });

  test("after a message that was given up, and may have been accepted, the next one is not taken for it", async () => {
    const topic = await createTopic();
    const broker = await open("proxied", { publishTimeoutMs: 1_000, answerTimeoutMs: 500 });
    await broker.publish([toMessage(topic, "k", "1")]);
    server.proxy.blackHole("toClient");
    onTestFinished(() => server.proxy.heal());
    const lost = [toMessage(topic, "k", "2"), toMessage(topic, "k", "3")];
    expect(codes(await broker.publish(lost))).toEqual([
      "SAGAZ_BROKER_UNAVAILABLE",
      "SAGAZ_BROKER_UNAVAILABLE",
    ]);
    server.proxy.heal();
    await waitUntil("the broker is there again", async () => (await broker.health()).isUp);
    const next = [toMessage(topic, "k", "4"), toMessage(topic, "k", "5")];
    expect(await broker.publish(next)).toEqual([undefined, undefined]);
    expect(await read(topic)).toEqual(["1", "2", "3", "4", "5"]);
  });

  test("a broker that stands still is told in time, and used when it goes on", async () => {
    const topic = await createTopic();
    const broker = await open("plain", { publishTimeoutMs: 1_000, answerTimeoutMs: 500 });
    await broker.publish([toMessage(topic, "k", "1")]);
    await server.kafka.pause();
    onTestFinished(() => server.kafka.resume());
    expect(codes(await broker.publish([toMessage(topic, "k", "2")]))).toEqual(["SAGAZ_BROKER_UNAVAILABLE"]);
    expect(await broker.health()).toMatchObject({ isUp: false });
    await server.kafka.resume();
    await waitUntil("the broker is there again", async () => (await broker.health()).isUp);
    expect(await broker.publish([toMessage(topic, "k", "3")])).toEqual([undefined]);
    const came = await read(topic);
    expect([came[0], came.at(-1)]).toEqual(["1", "3"]);
  });

  test("a stop lets what is under way finish", async () => {
    const topic = await createTopic();
    const broker = await open();
    const publishing = Promise.all(
      ["1", "2", "3"].map((text) => broker.publish([toMessage(topic, "k", text)])),
    );
    await broker.stop();
    expect((await publishing).flat()).toEqual([undefined, undefined, undefined]);
    expect(await read(topic)).toEqual(["1", "2", "3"]);
  });

  test("a stop answers what nobody takes", async () => {
    const topic = await createTopic();
    const broker = await open("proxied");
    await broker.publish([toMessage(topic, "k", "1")]);
    server.proxy.cut();
    onTestFinished(() => server.proxy.heal());
    const publishing = broker.publish([toMessage(topic, "k", "2")]);
    await broker.stop();
    expect(codes(await publishing)).toEqual(["SAGAZ_BROKER_UNAVAILABLE"]);
  });

  test("a message that only the broker finds too large is refused, and no other", async () => {
    const topic = await createTopic({ configs: [{ name: "max.message.bytes", value: "3000" }] });
    const broker = await open();
    const large: BrokerMessage = { topic, key: "bad", headers: {}, payload: "x".repeat(5_000) };
    const small = (key: string, n: number) => toMessage(topic, key, `${key}/${n}`.padEnd(300, "."));
    const batch = [
      ...Array.from({ length: 20 }, (_, n) => small(`key-${n % 3}`, n)),
      small("bad", 0),
      large,
      small("bad", 1),
      ...Array.from({ length: 20 }, (_, n) => small(`key-${n % 3}`, 20 + n)),
    ];
    const answers = await broker.publish(batch);
    const others = [undefined, "SAGAZ_MESSAGE_REFUSED", "SAGAZ_BROKER_HELD_BACK"];
    expect(codes(answers)).toEqual([
      ...batch.slice(0, 20).map(() => undefined),
      ...others,
      ...batch.slice(23).map(() => undefined),
    ]);
    expect(await broker.publish([small("bad", 1)])).toEqual([undefined]);
    const came = await read(topic);
    const accepted = batch.filter((_, n) => answers[n] === undefined).map(({ payload }) => String(payload));
    expect(came).toEqual([...accepted, String(small("bad", 1).payload)]);
  });

  test("messages go in as many batches as they need", async () => {
    const topic = await createTopic();
    const broker = await open();
    const batch = Array.from({ length: 400 }, (_, n) =>
      toMessage(topic, `key-${n % 7}`, `${n}`.padEnd(10_000, ".")),
    );
    expect(codes(await broker.publish(batch))).toEqual(batch.map(() => undefined));
    expect(await read(topic)).toEqual(batch.map(({ payload }) => payload));
  });

  test("a message may be exactly as large as it is allowed to be", async () => {
    const topic = await createTopic();
    const broker = await open();
    const sized = (bytes: number): BrokerMessage => ({
      topic,
      key: "a key",
      headers: { ce_id: "1", note: "größer → 🎉" },
      payload: Buffer.alloc(bytes, "x"),
    });
    const room = await largestOf(broker, sized);
    const admins = await open("plain", { messageBytesMax: 2_000_000 });
    // What we count is what the broker counts.
    expect(codes(await admins.publish([sized(room)]))).toEqual([undefined]);
    expect(codes(await admins.publish([sized(room + 1)]))).toEqual(["SAGAZ_MESSAGE_REFUSED"]);
  });

  test("topics that do not exist are created if that is wanted", async () => {
    const topic = fresh("wanted");
    const broker = await open("plain", { createTopics: { partitions: 3, replicas: 1 } });
    expect(await broker.publish([toMessage(topic, "k", "1")])).toEqual([undefined]);
    const { topics } = await admin().metadata({ topics: [topic] });
    expect(topics.get(topic)?.partitionsCount).toBe(3);
    expect(codes(await broker.publish([toMessage("no topic at all!", "k", "1")]))).toEqual([
      "SAGAZ_UNKNOWN_TOPIC",
    ]);
  });

  test("topics that cannot be created are no fault of the messages", async () => {
    const createTopics = { partitions: 1, replicas: 9 };
    const broker = await open("plain", { createTopics, publishTimeoutMs: 500 });
    const [answer] = await broker.publish([toMessage(fresh("wanted"), "k", "1")]);
    expect(answer).toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE" });
    expect(answer?.message).toMatch(/cannot be created.*[Rr]eplication/);
  });
});

/** The largest payload that our own count lets through. */
async function largestOf(broker: KafkaBroker, sized: (bytes: number) => BrokerMessage): Promise<number> {
  let [good, bad] = [1_040_000, 1_048_588];
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2);
    const [answer] = await broker.publish([sized(middle)]);
    if (answer) bad = middle;
    else good = middle;
  }
  return good;
}

describe("receiving", () => {
  test("what was handed over stays valid when the partition stays, and only then", async () => {
    const topic = await createTopic({ partitions: 4 });
    const group = fresh("group");
    const broker = await open();
    const one = await new Receiver({ acks: false }).listen(broker, { group, topics: [topic] });
    const messages = Array.from({ length: 40 }, (_, n) => toMessage(topic, `key-${n}`, String(n)));
    await broker.publish(messages);
    await one.has(40);
    const two = await new Receiver({ acks: false }).listen(await open(), { group, topics: [topic] });
    await one.quiet();
    expect(one.messages.length).toBe(40);
    const moved = [...two.texts];
    expect(moved.length).toBeGreaterThan(0);
    expect(moved.length).toBeLessThan(40);
    one.ack(one.messages);
    await one.stop();
    await two.stop();
    const three = await new Receiver().listen(broker, { group, topics: [topic] });
    await three.hasAll(moved);
    await three.quiet();
    expect([...three.texts].sort()).toEqual(moved.sort());
  });

  test("a stop that meets a short outage still records what is acknowledged", async () => {
    const topic = await createTopic();
    const group = fresh("group");
    const broker = await open("proxied", { sessionTimeoutMs: 20_000 });
    const one = await new Receiver({ acks: false }).listen(broker, { group, topics: [topic] });
    await broker.publish(["1", "2"].map((text) => toMessage(topic, "k", text)));
    await one.has(2);
    server.proxy.cut();
    onTestFinished(() => server.proxy.heal());
    one.ack(one.messages);
    const stopping = one.stop();
    await waitUntil("the outage is noticed", async () => !(await broker.health()).isUp);
    server.proxy.heal();
    await stopping;
    const other = await open();
    const two = await new Receiver().listen(other, { group, topics: [topic] });
    await other.publish([toMessage(topic, "k", "3")]);
    await two.hasAll(["3"]);
    expect(two.texts).toEqual(["3"]);
  });

  test("new partitions of a topic are noticed", async () => {
    const topic = await createTopic({ partitions: 1 });
    const broker = await open();
    const receiver = await new Receiver().listen(broker, { group: fresh("group"), topics: [topic] });
    const assignments = Array.from({ length: 4 }, () => ({ brokerIds: [1] }));
    await admin().createPartitions({ topics: [{ name: topic, count: 5, assignments }] });
    const messages = Array.from({ length: 50 }, (_, n) => toMessage(topic, `key-${n}`, String(n)));
    // Another one, which has not known the topic before.
    await (await open()).publish(messages);
    await receiver.hasAll(messages.map(({ payload }) => String(payload)));
  });

  test("a partition that has just been emptied is in the next request, with all others", async () => {
    const topic = await createTopic({ partitions: 4 });
    const asked: number[] = [];
    const ask = kafka.fetchV12.api.async.bind(kafka.fetchV12.api);
    const async: typeof ask = (connection, ...request) => {
      asked.push(request[6].length);
      return ask(connection, ...request);
    };
    const api = Object.assign(kafka.fetchV12.api.bind({}), kafka.fetchV12.api, { async });
    const broker = await open("plain", { kafka: { ...kafka, fetchV12: { ...kafka.fetchV12, api } } });
    const receiver = await new Receiver().listen(broker, { group: fresh("group"), topics: [topic] });
    for (let n = 1; n <= 10; n++) {
      await broker.publish([toMessage(topic, "always the same", String(n))]);
      await receiver.has(n);
    }
    expect(asked.length).toBeGreaterThanOrEqual(10);
    expect(new Set(asked)).toEqual(new Set([4]));
  });

  test("what was written in a transaction that was aborted is not received", async () => {
    const topic = await createTopic();
    const producer = new kafka.Producer({
      clientId: "tests",
      bootstrapBrokers: [server.plain],
      idempotent: true,
      transactionalId: fresh("transaction"),
    });
    onTestFinished(() => producer.close());
    const write = async (text: string, ends: "commit" | "abort") => {
      const transaction = await producer.beginTransaction();
      await transaction.send({ messages: [{ topic, key: Buffer.from("k"), value: Buffer.from(text) }] });
      await transaction[ends]();
    };
    await write("1", "commit");
    await write("2", "abort");
    await write("3", "commit");
    await write("4", "abort");
    expect(await read(topic)).toEqual(["1", "3"]);
  });

  test("what others wrote without a key or a value can be received", async () => {
    const topic = await createTopic();
    const producer = new kafka.Producer({ clientId: "tests", bootstrapBrokers: [server.plain] });
    onTestFinished(() => producer.close());
    await producer.send({ messages: [{ topic, partition: 0 }], acks: -1 });
    const receiver = await new Receiver().listen(await open(), { group: fresh("group"), topics: [topic] });
    await receiver.has(1);
    expect(receiver.messages).toEqual([{ topic, key: "", headers: {}, payload: new Uint8Array() }]);
  });

  test("a receiver begins with the oldest message that is left when its place is gone", async () => {
    const topic = await createTopic();
    const group = fresh("group");
    const broker = await open();
    const messages = ["1", "2", "3", "4"].map((text) => toMessage(topic, "k", text));
    await broker.publish(messages);
    const one = await new Receiver({ acks: false }).listen(broker, { group, topics: [topic] });
    await one.has(4);
    one.ack(one.messages.slice(0, 1));
    await one.stop();
    await admin().deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 3n }] }] });
    const two = await new Receiver().listen(broker, { group, topics: [topic] });
    await two.hasAll(["4"]);
    expect(two.texts).toEqual(["4"]);
  });

  test("a topic that does not exist cannot be received", async () => {
    const broker = await open();
    const wanted = { group: fresh("group"), topics: [fresh("none")], unackedMax: 1, handle: () => {} };
    await expect(broker.subscribe(wanted)).rejects.toMatchObject({ code: "SAGAZ_UNKNOWN_TOPIC" });
  });
});

describe("logging in", () => {
  const login = (password: string) => {
    const sasl = { username: "sagaz", password };
    const broker = new KafkaBroker({ kafka, servers: [server.sasl], sasl, answerTimeoutMs: 3_000 });
    onTestFinished(() => broker.stop());
    return broker;
  };

  test("with the right password", async () => {
    const broker = login("s3cret");
    await broker.start();
    expect(await broker.publish([toMessage(await createTopic(), "k", "1")])).toEqual([undefined]);
  });

  test("a wrong password is said, and not shown", async () => {
    const failure: unknown = await login("wr0ng")
      .start()
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE" });
    expect(String(failure)).toMatch(/authentication failed/i);
    expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain("wr0ng");
  });
});
