import { expect, test } from "vitest";
import type { Cluster, TopicAnswer } from "./cluster.ts";
import { codes } from "./error-codes.ts";
import { Topics } from "./topics.ts";

const address = { host: "nowhere", port: 1 };

/** Topics of a cluster that answers so, one look after the other; the last answer stays. */
function topicsOf(
  looks: readonly (readonly TopicAnswer[])[],
  created?: { name: string; errorCode: number; errorMessage?: string | null },
) {
  const asked: (readonly string[])[] = [];
  const cluster = {
    access: { kafka: {}, answerTimeoutMs: 1_000 },
    look: (names: readonly string[]) => {
      const answer = looks[Math.min(asked.length, looks.length - 1)];
      asked.push(names);
      return Promise.resolve(answer);
    },
    find: (nodeId: number) => (nodeId === 7 ? address : undefined),
    askController: () => Promise.resolve({ topics: [created] }),
  };
  const newTopics = created && { partitions: 1, replicas: 1 };
  return { topics: new Topics(cluster as unknown as Cluster, newTopics), asked };
}

function place(name: string | null, leaders: readonly number[]): TopicAnswer {
  const partitions = leaders.map((leaderId, partitionIndex) => ({ partitionIndex, leaderId }));
  return { errorCode: codes.none, name, partitions };
}

const missing = { errorCode: codes.unknownTopicOrPartition, name: "t", partitions: [] };

test("a topic that no answer names was not found", async () => {
  for (const answers of [[], [place(null, [7])], [{ ...missing, name: null }]]) {
    const { topics } = topicsOf([answers]);
    const found = await topics.find(["t"]);
    expect(String(found.get("t"))).toMatch(/SAGAZ_BROKER_UNAVAILABLE.*topic "t" was not found/);
  }
});

test("nobody leads a partition, or a topic, that was not heard of", async () => {
  const { topics } = topicsOf([[place("t", [7, -1])]]);
  expect(topics.leaderOf("t", 0)).toBeUndefined();
  expect(await topics.find(["t"])).toEqual(new Map([["t", 2]]));
  expect([0, 1, 2].map((partition) => topics.leaderOf("t", partition))).toEqual([
    address,
    undefined,
    undefined,
  ]);
});

test("a topic of which one broker has not heard yet is looked for again", async () => {
  const { topics, asked } = topicsOf([[missing], [place("t", [7])]]);
  expect(await topics.find(["t"])).toEqual(new Map([["t", 1]]));
  expect(asked).toEqual([["t"], ["t"]]);
  await topics.find(["t"]);
  expect(asked).toHaveLength(2); // it is remembered
});

test.each([
  ["in the broker's words", "only by night", "only by night"],
  ["in ours if it says none", null, "a policy of the broker refuses it"],
] as const)("why a topic cannot be created is told %s", async (_, errorMessage, told) => {
  const { topics, asked } = topicsOf([[missing]], { name: "t", errorCode: 44, errorMessage });
  const found = await topics.find(["t"]);
  expect(found.get("t")).toMatchObject({
    code: "SAGAZ_BROKER_UNAVAILABLE",
    details: { message: `topic "t" cannot be created: ${told}` },
  });
  expect(asked).toHaveLength(1);
});

test("a topic that another has created meanwhile is there", async () => {
  const { topics } = topicsOf([[missing], [place("t", [7])]], { name: "t", errorCode: codes.topicExists });
  expect(await topics.find(["t"])).toEqual(new Map([["t", 1]]));
});
