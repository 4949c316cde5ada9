import { expect, test } from "vitest";
import type { FetchedPartition } from "./driver.ts";
import { codes } from "./error-codes.ts";
import { Feed } from "./feed.ts";

function fetched(part: Partial<FetchedPartition>): FetchedPartition {
  return { errorCode: codes.none, ...part } as FetchedPartition;
}

/** Records from 0 on, of which none has a key, a value or a text in its header. */
function recordsOf(count: number): FetchedPartition {
  const records = Array.from({ length: count }, (_, offsetDelta) => ({
    offsetDelta,
    key: null,
    value: null,
    headers: [["h", null]],
  }));
  const batch = { firstOffset: 0n, lastOffsetDelta: count - 1, attributes: 0, producerId: -1n, records };
  return fetched({ records: [batch] as unknown as NonNullable<FetchedPartition["records"]> });
}

function feedAt(position: bigint): Feed {
  const feed = new Feed("t", 0);
  feed.position = position;
  return feed;
}

test("what comes for a feed that has lost its place meanwhile is dropped, trouble and all", () => {
  const feed = new Feed("t", 0);
  expect(feed.receive(recordsOf(2))).toBe(codes.none);
  expect(feed.receive(fetched({ errorCode: codes.leaderNotAvailable }))).toBe(codes.none);
  expect(feed.hasReady).toBe(false);
  expect(feed.position).toBeUndefined();
});

test("a place that is out of the log's range is lost, all other trouble leaves it as it is", () => {
  const feed = feedAt(5n);
  expect(feed.receive(fetched({ errorCode: codes.leaderNotAvailable }))).toBe(codes.leaderNotAvailable);
  expect(feed).toMatchObject({ position: 5n, isLost: false });
  expect(feed.receive(fetched({ errorCode: codes.offsetOutOfRange }))).toBe(codes.none);
  expect(feed).toMatchObject({ position: undefined, isLost: true });
});

test("an answer without records leaves the place as it is", () => {
  const feed = feedAt(5n);
  expect(feed.receive(fetched({}))).toBe(codes.none);
  expect(feed.position).toBe(5n);
  expect(feed.hasReady).toBe(false);
});

test("a record without key, value or a header's text becomes a message with empty ones", () => {
  const feed = feedAt(0n);
  feed.receive(recordsOf(1));
  const [handed] = feed.take(1);
  expect(handed?.message).toEqual({ topic: "t", key: "", headers: { h: "" }, payload: new Uint8Array() });
});

test("only what is acknowledged without a gap is to be recorded", () => {
  const feed = feedAt(0n);
  feed.receive(recordsOf(3));
  const [first, second] = feed.take(3);
  if (!first || !second) throw new Error("nothing was handed over");
  second.isAcked = true;
  feed.settle();
  expect(feed.toCommit).toBeUndefined();
  first.isAcked = true;
  feed.settle();
  expect(feed.toCommit).toBe(2n);
});
