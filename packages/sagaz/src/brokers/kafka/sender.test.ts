import { EventEmitter } from "node:events";
import * as driver from "@platformatic/kafka";
import { afterEach, expect, test, vi } from "vitest";
import type { BatchAnswer } from "./batch-answer.ts";
import type { Cluster } from "./cluster.ts";
import type { Address } from "./connections.ts";
import { toOutgoing } from "./outgoing.ts";
import { PublishCall } from "./publish-call.ts";
import { Sender } from "./sender.ts";
import type { Topics } from "./topics.ts";

class Connection extends EventEmitter {
  readonly socket = { destroy: () => {} };
  connect = () => Promise.resolve();
}

type Answers = Readonly<Record<number, BatchAnswer>>;

const accepted = { errorCode: 0, recordErrors: [] };
const address = { host: "nowhere", port: 1 };
const epochMax = 32_767;

afterEach(() => void vi.restoreAllMocks());

/** A sender whose broker answers so for each partition, one request after the other, and accepts all after that. */
function senderWith(answers: readonly (() => Answers)[], { epoch = 0 } = {}) {
  const left = [...answers];
  const leaders: (Address | undefined)[] = [];
  const seen = { requests: 0, identities: 0, renewed: [] as string[] };
  const produced = (): Promise<object> => {
    seen.requests += 1;
    const parts = left.shift()?.() ?? { 0: accepted, 1: accepted, 2: accepted };
    const partitionResponses = Object.entries(parts).map(([index, answer]) => ({ ...answer, index }));
    return Promise.resolve({ responses: [{ name: "t", partitionResponses }] });
  };
  const cluster = {
    access: {
      kafka: { ...driver, Connection, createAPI: () => ({ async: produced }) },
      answerTimeoutMs: 1_000,
    },
    askAny: () => {
      seen.identities += 1;
      return Promise.resolve({ errorCode: 0, producerId: BigInt(seen.identities), producerEpoch: epoch });
    },
  };
  const topics = {
    leaderOf: () => (leaders.length > 0 ? leaders.shift() : address),
    renew: (topic: string) => Promise.resolve(seen.renewed.push(topic)),
  };
  const sender = new Sender(cluster as unknown as Cluster, topics as unknown as Topics, 1_000_000);
  return { sender, seen, leaders };
}

/** Publishes a message for each partition of these, all of one key. */
function publish(sender: Sender, partitions: readonly number[], payload = "p"): PublishCall {
  const call = new PublishCall(partitions.length, performance.now() + 60_000);
  partitions.forEach((partition, at) => {
    const message = toOutgoing({ topic: "t", key: `k${partition}`, headers: {}, payload }, { at, call });
    message.partition = partition;
    sender.push(message);
  });
  sender.pump();
  return call;
}

async function codesOf(call: PublishCall): Promise<readonly (string | undefined)[]> {
  return (await call.answered).map((answer) => answer?.code);
}

test("what has no leader waits until it has one, and that is looked up", async () => {
  const { sender, seen, leaders } = senderWith([]);
  leaders.push(undefined);
  const call = publish(sender, [0]);
  expect(seen.renewed).toEqual(["t"]);
  expect(await codesOf(call)).toEqual([undefined]);
  expect(seen.requests).toBe(1);
  sender.close();
});

test("what is more than a request carries goes with the next one", async () => {
  const { sender, seen } = senderWith([() => ({ 0: accepted })]);
  const call = publish(sender, [0, 1], "p".repeat(8_388_608));
  expect(await codesOf(call)).toEqual([undefined, undefined]);
  expect(seen.requests).toBe(2);
  expect(seen.renewed).toEqual([]); // the second was not among what the first request left unanswered
  sender.close();
});

test("for what follows a refused message of its key no request goes", async () => {
  const bad = { errorCode: 87, recordErrors: [{ batchIndex: 0, batchIndexErrorMessage: "bad" }] };
  const { sender, seen } = senderWith([() => ({ 0: bad })]);
  const call = publish(sender, [0, 0]);
  expect(await codesOf(call)).toEqual(["SAGAZ_MESSAGE_REFUSED", "SAGAZ_BROKER_HELD_BACK"]);
  expect(seen.requests).toBe(1);
  expect(await codesOf(publish(sender, [0]))).toEqual([undefined]);
  expect(seen.requests).toBe(2);
  sender.close();
});

test("a batch that is too large goes in halves", async () => {
  const { sender, seen } = senderWith([
    () => ({ 0: { errorCode: 10, recordErrors: [] } }),
    () => ({ 0: accepted }),
  ]);
  expect(await codesOf(publish(sender, [0, 0]))).toEqual([undefined, undefined]);
  expect(seen.requests).toBe(3);
  sender.close();
});

test("when the broker has forgotten us and no epoch is left, the same message goes with a fresh identity", async () => {
  const forgotten = { errorCode: 59, recordErrors: [] };
  const { sender, seen } = senderWith([() => ({ 0: forgotten })], { epoch: epochMax });
  expect(await codesOf(publish(sender, [0]))).toEqual([undefined]);
  expect(seen).toMatchObject({ requests: 2, identities: 2 });
  sender.close();
});

test("when a batch is given up in doubt and no epoch is left, the next one has a fresh identity", async () => {
  const inDoubt = { errorCode: 7, recordErrors: [] };
  const now = performance.now();
  const late = () => {
    vi.spyOn(performance, "now").mockReturnValue(now + 120_000);
    return { 0: inDoubt };
  };
  const { sender, seen } = senderWith([late], { epoch: epochMax });
  expect(await codesOf(publish(sender, [0]))).toEqual(["SAGAZ_BROKER_UNAVAILABLE"]);
  expect(seen.identities).toBe(1);
  expect(await codesOf(publish(sender, [0]))).toEqual([undefined]);
  expect(seen.identities).toBe(2);
  sender.close();
});

test("a batch of which the answer says nothing goes again, and keeps no other waiting", async () => {
  const { sender, seen } = senderWith([() => ({ 1: accepted })]);
  expect(await codesOf(publish(sender, [0, 1]))).toEqual([undefined, undefined]);
  expect(seen).toMatchObject({ requests: 2, renewed: ["t"] });
  sender.close();
});
