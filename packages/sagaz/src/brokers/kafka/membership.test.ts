import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { SagaError } from "../../core/errors.ts";
import type { Cluster } from "./cluster.ts";
import { codes, unavailable } from "./error-codes.ts";
import { decodeAssignment, encodeAssignment, encodeWishes } from "./group-protocol.ts";
import { Membership } from "./membership.ts";
import type { Topics } from "./topics.ts";

class Connection extends EventEmitter {
  readonly socket = { destroy: () => {} };
  connect = () => Promise.resolve();
}

/** One request that the group's broker got, and where in its arguments what matters stands. */
interface Asked {
  readonly what: string;
  readonly args: readonly unknown[];
}

const joinMemberAt = 3;
const syncAssignmentsAt = 6;

/** A member of a group whose broker gives these answers, one after the other. */
function member(answers: readonly object[], places: ReadonlyMap<string, number | SagaError> = new Map()) {
  const asked: Asked[] = [];
  const left = [...answers];
  const request = (what: string) => ({
    api: {
      async: (_: unknown, ...args: unknown[]) => {
        asked.push({ what, args });
        const answer = left.shift();
        return answer ? Promise.resolve(answer) : Promise.reject(new Error("there is no more"));
      },
    },
  });
  const kafka = {
    Connection,
    joinGroupV7: request("join"),
    syncGroupV5: request("sync"),
    heartbeatV4: request("heartbeat"),
    offsetCommitV8: request("commit"),
    leaveGroupV4: request("leave"),
  };
  const found = { errorCode: codes.none, host: "nowhere", port: 1 };
  const cluster = {
    access: { kafka, answerTimeoutMs: 1_000 },
    askAny: () => Promise.resolve({ coordinators: [found] }),
  };
  const topics = { find: () => Promise.resolve(places) };
  const options = { group: "g", topics: ["t"], sessionTimeoutMs: 1_000 };
  const membership = new Membership(cluster as unknown as Cluster, topics as unknown as Topics, options);
  return { membership, asked, whatOf: () => asked.map(({ what }) => what) };
}

function joined(memberId: string | null, generationId = 1, leader = "another") {
  return { errorCode: codes.none, memberId, generationId, leader, members: [] };
}

const t0 = new Map([["t", [0]]]);
const synced = { errorCode: codes.none, assignment: encodeAssignment(t0) };

/** The answers with which a member gets its place. */
const placed = [joined("m"), synced];

test("who is asked for a member id joins again with the one that it is given", async () => {
  const { membership, asked } = member([
    { errorCode: codes.memberIdRequired, memberId: "m", members: [] },
    ...placed,
  ]);
  expect(await membership.join(new Map())).toEqual(t0);
  expect(asked.slice(0, 2).map(({ args }) => args[joinMemberAt])).toEqual(["", "m"]);
  expect(membership.standing).toEqual({ memberId: "m", generation: 1 });
});

test("who is given no member id has none, and asks for one anew", async () => {
  const { membership, asked } = member([
    { errorCode: codes.memberIdRequired, memberId: null, members: [] },
    joined(null),
    { errorCode: codes.unknownMember },
    ...placed,
  ]);
  expect(await membership.join(new Map())).toEqual(t0);
  const joins = asked.filter(({ what }) => what === "join");
  expect(joins.map(({ args }) => args[joinMemberAt])).toEqual(["", "", ""]);
});

test.each([
  ["is gone", codes.unknownMember, ""],
  ["is of an older generation", codes.illegalGeneration, "m"],
  ["is to be assigned anew", codes.rebalanceInProgress, "m"],
] as const)("whose place %s before the assignment is there joins again", async (_, errorCode, id) => {
  const { membership, asked, whatOf } = member([joined("m"), { errorCode }, joined("n", 2), synced]);
  expect(await membership.join(new Map())).toEqual(t0);
  expect(whatOf()).toEqual(["join", "sync", "join", "sync"]);
  expect(asked[2]?.args[joinMemberAt]).toBe(id);
  expect(membership.standing).toEqual({ memberId: "n", generation: 2 });
});

test("whose place is gone when it joins forgets its id and joins again", async () => {
  const { membership, asked } = member([
    ...placed,
    { errorCode: codes.unknownMember, memberId: "m" },
    joined("n", 5),
    synced,
  ]);
  await membership.join(new Map());
  await membership.join(t0);
  const joins = asked.filter(({ what }) => what === "join");
  expect(joins.map(({ args }) => args[joinMemberAt])).toEqual(["", "m", ""]);
});

test.each([
  [codes.none, true, "m"],
  [codes.unknownMember, false, ""],
  [codes.illegalGeneration, false, "m"],
  [codes.rebalanceInProgress, false, "m"],
] as const)("a sign of life that is answered with %s tells whether our place is ours", async (...row) => {
  const [errorCode, isOurs, memberId] = row;
  const { membership } = member([...placed, { errorCode }]);
  await membership.join(new Map());
  expect(await membership.heartbeat()).toBe(isOurs);
  expect(membership.standing.memberId).toBe(memberId);
});

test("any other error is an outage, in which our place stays as it is", async () => {
  const { membership } = member([...placed, { errorCode: codes.coordinatorLoading }]);
  await membership.join(new Map());
  await expect(membership.heartbeat()).rejects.toThrow(
    /group "g": the broker that keeps it is not ready yet/,
  );
  expect(membership.standing).toEqual({ memberId: "m", generation: 1 });
});

test("progress that was not recorded for one partition means that the members join again", async () => {
  const toAnswer = (errorCode: number) => ({
    topics: [{ partitions: [{ errorCode: codes.none }, { errorCode }] }],
  });
  const { membership } = member([...placed, toAnswer(codes.none), toAnswer(codes.illegalGeneration)]);
  await membership.join(new Map());
  const progress = [{ topic: "t", partition: 0, offset: 3n }];
  expect(await membership.commit(progress)).toBe(true);
  expect(await membership.commit(progress)).toBe(false);
});

test("who leaves is a member no more, and a second time there is nothing to leave", async () => {
  const { membership, asked, whatOf } = member([...placed, {}]);
  await membership.leave();
  expect(asked).toEqual([]);
  await membership.join(new Map());
  await membership.leave();
  await membership.leave();
  expect(whatOf()).toEqual(["join", "sync", "leave"]);
  expect(asked[2]?.args).toEqual(["g", [{ memberId: "m" }]]);
});

/** Of one that leads a group of three, of which one has said nothing and one wants topics that are not there. */
function leads(places: ReadonlyMap<string, number | SagaError>) {
  const wishes = (topics: string[]) => encodeWishes({ topics, owned: new Map() });
  const members = [
    { memberId: "m", metadata: wishes(["t"]) },
    { memberId: "n", metadata: wishes(["t", "gone"]) },
    { memberId: "o", metadata: null },
  ];
  return member([{ ...joined("m", 1, "m"), members }, synced], places);
}

test("the leader shares out what is there, also when a topic is not and a member says nothing", async () => {
  const gone = new SagaError("SAGAZ_UNKNOWN_TOPIC", { broker: "Kafka", topic: "gone" });
  const { membership, asked } = leads(
    new Map<string, number | SagaError>([
      ["t", 2],
      ["gone", gone],
    ]),
  );
  await membership.join(new Map());
  const shares = asked[1]?.args[syncAssignmentsAt] as { memberId: string; assignment: Buffer }[];
  const decoded = shares.map(({ memberId, assignment }) => [memberId, decodeAssignment(assignment)]);
  expect(decoded).toEqual([
    ["m", t0],
    ["n", new Map([["t", [1]]])],
    ["o", new Map()],
  ]);
});

test("the leader shares nothing out while it cannot find out what there is", async () => {
  const { membership, whatOf } = leads(new Map([["t", unavailable("no answer")]]));
  await expect(membership.join(new Map())).rejects.toThrow(/SAGAZ_BROKER_UNAVAILABLE.*no answer/);
  expect(whatOf()).toEqual(["join"]);
});
