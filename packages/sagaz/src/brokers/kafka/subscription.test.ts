import { EventEmitter } from "node:events";
import { afterEach, expect, test, vi } from "vitest";
import { SagaError } from "../../core/errors.ts";
import type { ReceivedMessage } from "../../ports/broker.ts";
import type { Cluster } from "./cluster.ts";
import { codes, unavailable } from "./error-codes.ts";
import { encodeAssignment } from "./group-protocol.ts";
import { KafkaSubscription } from "./subscription.ts";
import type { Topics } from "./topics.ts";

class Connection extends EventEmitter {
  readonly socket = { destroy: () => {} };
  connect = () => Promise.resolve();
}

const address = { host: "nowhere", port: 1 };

afterEach(() => void vi.restoreAllMocks());

/** A batch of records from 0 on, as the driver reads it. */
function batchOf(count: number): object {
  const records = Array.from({ length: count }, (_, offsetDelta) => ({
    offsetDelta,
    key: Buffer.from("k"),
    value: Buffer.from(String(offsetDelta)),
    headers: [],
  }));
  return { firstOffset: 0n, lastOffsetDelta: count - 1, attributes: 0, producerId: -1n, records };
}

/** The only member of a group, whose broker has so many messages; what it answers can be replaced, request by request. */
function subscribe({ messages: count = 2, unackedMax = 10 } = {}) {
  const asked: string[] = [];
  const handed: (readonly ReceivedMessage[])[] = [];
  const happened = new EventEmitter();
  const places = new Map<string, number | SagaError>([["t", 1]]);
  const none = codes.none;
  const fetched = {
    topicId: "t",
    partitions: [{ partitionIndex: 0, errorCode: none, records: [batchOf(count)] }],
  };
  const stored = { name: "t", partitions: [{ errorCode: none, partitionIndex: 0, committedOffset: 0n }] };
  let generationId = 0;
  let isFetched = false;
  const broker: Record<string, () => object | Promise<object>> = {
    join: () => {
      generationId += 1;
      return { errorCode: none, memberId: "m", generationId, leader: "m", members: [] };
    },
    sync: () => ({ errorCode: none, assignment: encodeAssignment(new Map([["t", [0]]])) }),
    heartbeat: () => ({ errorCode: none }),
    progress: () => ({ groups: [{ errorCode: none, topics: [stored] }] }),
    fetch: () => {
      if (isFetched) return new Promise<object>(() => {});
      isFetched = true;
      return { errorCode: none, responses: [fetched] };
    },
    commit: () => ({ topics: [{ partitions: [{ errorCode: none }] }] }),
    leave: () => ({}),
  };
  const request = (what: string) => ({
    api: {
      async: async () => {
        asked.push(what);
        happened.emit("happened");
        return broker[what]?.();
      },
    },
  });
  const kafka = {
    Connection,
    joinGroupV7: request("join"),
    syncGroupV5: request("sync"),
    heartbeatV4: request("heartbeat"),
    offsetFetchV8: request("progress"),
    fetchV12: request("fetch"),
    offsetCommitV8: request("commit"),
    leaveGroupV4: request("leave"),
  };
  const cluster = {
    access: { kafka, answerTimeoutMs: 1_000 },
    askAny: () => Promise.resolve({ coordinators: [{ errorCode: none, ...address }] }),
  };
  const topics = {
    find: () => Promise.resolve(places),
    leaderOf: () => address,
    renew: () => Promise.resolve(),
  };
  const subscription = new KafkaSubscription(
    {
      cluster: cluster as unknown as Cluster,
      topics: topics as unknown as Topics,
      sessionTimeoutMs: 60, // a sign of life each 10 ms
    },
    {
      group: "g",
      topics: ["t"],
      unackedMax,
      handle: (messages) => {
        handed.push(messages);
        happened.emit("happened");
      },
    },
  );
  /** Until that was asked so often. */
  const until = async (what: string, times: number) => {
    while (countOf(what) < times) await new Promise((resolve) => happened.once("happened", resolve));
  };
  const countOf = (what: string) => asked.filter((one) => one === what).length;
  const untilHanded = async () => {
    while (handed.length === 0) await new Promise((resolve) => happened.once("happened", resolve));
  };
  return { subscription, asked, handed, places, broker, until, untilHanded, countOf };
}

test("what is fetched is handed over once, and what is acknowledged is recorded by the stop", async () => {
  const { subscription, handed, asked, untilHanded, countOf } = subscribe();
  await subscription.start();
  await untilHanded();
  expect(handed.map((messages) => messages.map(({ payload }) => String(payload)))).toEqual([["0", "1"]]);
  subscription.ack(handed.flat());
  await subscription.stop();
  expect(countOf("commit")).toBe(1);
  expect(asked.at(-1)).toBe("leave");
});

test("whose place is gone joins again, and keeps what it has not acknowledged", async () => {
  const { subscription, handed, broker, until, untilHanded } = subscribe();
  await subscription.start();
  await untilHanded();
  broker["heartbeat"] = () => ({ errorCode: codes.rebalanceInProgress });
  await until("join", 2);
  broker["heartbeat"] = () => ({ errorCode: codes.none });
  await until("heartbeat", 3);
  subscription.ack(handed.flat());
  await until("commit", 1);
  await subscription.stop();
  expect(handed).toHaveLength(1);
});

test("a commit that is refused because our place is gone lets us join again", async () => {
  const { subscription, handed, broker, until, untilHanded } = subscribe();
  await subscription.start();
  await untilHanded();
  broker["commit"] = () => {
    broker["commit"] = () => ({ topics: [{ partitions: [{ errorCode: codes.none }] }] });
    return { topics: [{ partitions: [{ errorCode: codes.illegalGeneration }] }] };
  };
  subscription.ack(handed.flat());
  await until("join", 2);
  await subscription.stop();
});

test("more partitions lead to a new assignment, not knowing how many there are does not", async () => {
  const { subscription, places, until, countOf } = subscribe();
  await subscription.start();
  places.set("t", unavailable("no answer"));
  await until("heartbeat", countOf("heartbeat") + 2);
  expect(countOf("join")).toBe(1);
  places.set("t", 2);
  await until("join", 2);
  await subscription.stop();
});

test("what is acknowledged in several calls makes room for one handing over", async () => {
  const { subscription, handed, untilHanded, until } = subscribe({ messages: 4, unackedMax: 2 });
  await subscription.start();
  await untilHanded();
  for (const message of handed.flat()) subscription.ack([message]);
  await until("commit", 1);
  subscription.ack([{ topic: "t", key: "k", headers: {}, payload: Buffer.from("0") }]); // nobody has got that one
  await subscription.stop();
  expect(handed.map(({ length }) => length)).toEqual([2, 2]);
});

test("a topic that is not there fails the start before it joins", async () => {
  const { subscription, places, asked } = subscribe();
  places.set("t", new SagaError("SAGAZ_UNKNOWN_TOPIC", { broker: "Kafka", topic: "t" }));
  await expect(subscription.start()).rejects.toMatchObject({ code: "SAGAZ_UNKNOWN_TOPIC" });
  expect(asked).toEqual([]);
});

test("a group that nobody keeps yet is joined as soon as somebody does", async () => {
  const { subscription, broker, untilHanded, countOf } = subscribe();
  const join = broker["join"];
  broker["join"] = () => {
    if (join) broker["join"] = join;
    return { errorCode: codes.coordinatorNotAvailable, members: [] };
  };
  await subscription.start();
  expect(countOf("join")).toBe(2);
  await untilHanded();
  await subscription.stop();
});

test("a start that is stopped while it cannot join fails with why, and tries no more", async () => {
  const { subscription, broker, until, countOf } = subscribe();
  broker["join"] = () => ({ errorCode: codes.coordinatorNotAvailable, members: [] });
  const starting = subscription.start();
  const failed = expect(starting).rejects.toThrow(/SAGAZ_BROKER_UNAVAILABLE.*no broker keeps it yet/);
  await until("join", 1);
  await subscription.stop();
  await failed;
  expect(countOf("join")).toBe(1);
});

test("a stop does not try for ever to record what is acknowledged", async () => {
  const { subscription, handed, broker, asked, untilHanded, countOf } = subscribe();
  await subscription.start();
  await untilHanded();
  const now = performance.now();
  broker["commit"] = () => {
    vi.spyOn(performance, "now").mockReturnValue(now + 60_000);
    return { topics: [{ partitions: [{ errorCode: codes.coordinatorLoading }] }] };
  };
  subscription.ack(handed.flat());
  await subscription.stop();
  expect(countOf("commit")).toBe(1);
  expect(asked.at(-1)).toBe("leave");
});

test("a stop tries again to record what could not be recorded at once", async () => {
  const { subscription, handed, broker, untilHanded, countOf } = subscribe();
  await subscription.start();
  await untilHanded();
  const commit = broker["commit"];
  broker["commit"] = () => {
    if (commit) broker["commit"] = commit;
    return { topics: [{ partitions: [{ errorCode: codes.coordinatorLoading }] }] };
  };
  subscription.ack(handed.flat());
  await subscription.stop();
  expect(countOf("commit")).toBe(2);
});
