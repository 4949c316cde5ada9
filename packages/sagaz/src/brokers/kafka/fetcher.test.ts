import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import type { Cluster } from "./cluster.ts";
import type { Address } from "./connections.ts";
import { codes } from "./error-codes.ts";
import { Feed } from "./feed.ts";
import { Fetcher } from "./fetcher.ts";
import type { Membership } from "./membership.ts";
import type { Topics } from "./topics.ts";

class Connection extends EventEmitter {
  readonly socket = { destroy: () => {} };
  connect = () => Promise.resolve();
}

const address = { host: "nowhere", port: 1 };
const nothing = "nothing is wrong";

/** What is known of a partition, or went wrong with it. */
interface Part {
  readonly partitionIndex: number;
  readonly errorCode: number;
}

function answerOf(errorCode: number, partitions: readonly Part[]) {
  return { errorCode, responses: [{ topicId: "t", partitions }] };
}

function feedOf(partition: number, position?: bigint): Feed {
  const feed = new Feed("t", partition);
  feed.position = position;
  return feed;
}

/** A fetcher of these feeds whose broker answers so, one request after the other, and then no more. */
function fetcherOf(feeds: Feed[], answers: readonly object[], leaders: (Address | undefined)[] = []) {
  const left = [...answers];
  const news: string[] = [];
  const fetched: number[][] = [];
  const renewed: string[] = [];
  const located: { partitions: number[]; answer: () => void }[] = [];
  const happened = new EventEmitter();
  const fetch = (_: unknown, ...args: unknown[]) => {
    const topics = args[6] as { partitions: { partition: number }[] }[];
    fetched.push(topics.flatMap(({ partitions }) => partitions.map(({ partition }) => partition)));
    happened.emit("happened");
    const answer = left.shift();
    return answer ? Promise.resolve(answer) : new Promise(() => {});
  };
  const findProgress = (wanted: readonly Feed[]) =>
    new Promise((resolve) => {
      const progress = wanted.map(({ topic, partition }) => ({ topic, partition, offset: 9n }));
      located.push({ partitions: wanted.map(({ partition }) => partition), answer: () => resolve(progress) });
      happened.emit("happened");
    });
  const kafka = { Connection, fetchV12: { api: { async: fetch } } };
  const fetcher = new Fetcher({
    cluster: { access: { kafka, answerTimeoutMs: 1_000 } } as unknown as Cluster,
    topics: {
      leaderOf: () => (leaders.length > 0 ? leaders.shift() : address),
      renew: (topic: string) => Promise.resolve(renewed.push(topic)),
    } as unknown as Topics,
    membership: { findProgress } as unknown as Membership,
    feeds: () => feeds,
    onNews: (trouble = nothing) => {
      news.push(trouble);
      happened.emit("happened");
    },
  });
  /** Until that is so. */
  const until = async (isSo: () => boolean) => {
    while (!isSo()) await new Promise((resolve) => happened.once("happened", resolve));
  };
  return { fetcher, news, fetched, renewed, located, until };
}

test("a feed whose partition nobody leads is fetched once somebody does, which is looked up", async () => {
  const { fetcher, news, fetched, renewed, until } = fetcherOf([feedOf(0, 0n)], [], [undefined]);
  fetcher.wake();
  expect(news).toEqual(["the partition has no leader"]);
  expect(renewed).toEqual(["t"]);
  expect(fetched).toEqual([]);
  await until(() => fetched.length > 0);
  expect(fetched).toEqual([[0]]);
  fetcher.stop();
});

test("trouble with the whole request lets all of its feeds rest, and they are fetched again", async () => {
  const feeds = [feedOf(0, 0n), feedOf(1, 0n)];
  const { fetcher, news, fetched, renewed, until } = fetcherOf(feeds, [
    answerOf(codes.notCoordinator, []),
    answerOf(codes.none, []),
  ]);
  fetcher.wake();
  await until(() => news.length > 0);
  expect(feeds.every(({ isBusy }) => isBusy)).toBe(true);
  expect(renewed).toEqual(["t"]);
  await until(() => news.length > 1);
  expect(news).toEqual(["another broker keeps it now", nothing]);
  expect(fetched.slice(0, 2)).toEqual([
    [0, 1],
    [0, 1],
  ]);
  fetcher.stop();
});

test("trouble with one partition lets that one rest, and what is not known here is not minded", async () => {
  const parts = [
    { partitionIndex: 0, errorCode: codes.unknownTopicOrPartition },
    { partitionIndex: 1, errorCode: codes.none },
    { partitionIndex: 5, errorCode: codes.leaderNotAvailable },
  ];
  const { fetcher, news, fetched, until } = fetcherOf(
    [feedOf(0, 0n), feedOf(1, 0n)],
    [answerOf(codes.none, parts)],
  );
  fetcher.wake();
  await until(() => fetched.length > 1);
  expect(fetched).toEqual([[0, 1], [1]]);
  expect(news).toEqual([nothing, "the partition is not there"]);
  fetcher.stop();
});

test("feeds that come while others are located are located after those", async () => {
  const feeds = [feedOf(0)];
  const { fetcher, fetched, located, until } = fetcherOf(feeds, []);
  fetcher.wake();
  feeds.push(feedOf(1));
  fetcher.wake();
  expect(located.map(({ partitions }) => partitions)).toEqual([[0]]);
  located[0]?.answer();
  await until(() => located.length > 1);
  expect(located[1]?.partitions).toEqual([1]);
  located[1]?.answer();
  await until(() => fetched.length > 0);
  expect(feeds.map(({ position }) => position)).toEqual([9n, 9n]);
  fetcher.stop();
});

test("one that was stopped fetches nothing, and says nothing more", async () => {
  const feeds = [feedOf(0)];
  const { fetcher, fetched, located, news } = fetcherOf(feeds, []);
  fetcher.wake();
  fetcher.stop();
  located[0]?.answer();
  await new Promise((resolve) => setImmediate(resolve));
  fetcher.wake();
  expect([...fetched, ...news]).toEqual([]);
});
