import { expect, test } from "vitest";
import type { RecordsBatch } from "./driver.ts";
import { visibleRecords } from "./visible-records.ts";

interface Draft {
  readonly at: number;
  readonly count?: number;
  readonly producer?: number;
  /** In a transaction; or the mark at its end. */
  readonly kind?: "transaction" | "abort" | "commit";
}

function toBatch({ at, count = 1, producer = -1, kind }: Draft): RecordsBatch {
  const isMark = kind === "abort" || kind === "commit";
  const key = isMark ? Buffer.from([0, 0, 0, kind === "commit" ? 1 : 0]) : Buffer.from("k");
  return {
    firstOffset: BigInt(at),
    lastOffsetDelta: count - 1,
    attributes: (kind === undefined ? 0 : 16) | (isMark ? 32 : 0),
    producerId: BigInt(producer),
    records: Array.from({ length: count }, (_, offsetDelta) => ({
      offsetDelta,
      key,
      value: null,
      headers: [],
    })),
  } as unknown as RecordsBatch;
}

function see(drafts: readonly Draft[], aborted: readonly (readonly [number, number])[] = [], from = 0) {
  const transactions = aborted.map(([producerId, firstOffset]) => ({
    producerId: BigInt(producerId),
    firstOffset: BigInt(firstOffset),
  }));
  const { records, next } = visibleRecords(drafts.map(toBatch), transactions, BigInt(from));
  return { offsets: records.map(({ offset }) => Number(offset)), next: Number(next) };
}

test("what comes before the wanted place in its batch is left out", () => {
  expect(see([{ at: 0, count: 5 }, { at: 5 }], [], 3)).toEqual({ offsets: [3, 4, 5], next: 6 });
});

test("nothing leaves the place as it is", () => {
  expect(see([], [], 7)).toEqual({ offsets: [], next: 7 });
});

test("marks are left out, and the place is behind them", () => {
  const written = [
    { at: 0, count: 2, producer: 1, kind: "transaction" },
    { at: 2, producer: 1, kind: "commit" },
  ] as const;
  expect(see(written)).toEqual({ offsets: [0, 1], next: 3 });
});

test("of a producer only what it wrote in the transactions that were aborted is left out", () => {
  const written = [
    { at: 0, producer: 1, kind: "transaction" },
    { at: 1, producer: 2, kind: "transaction" },
    { at: 2 },
    { at: 3, producer: 1, kind: "abort" },
    { at: 4, producer: 1, kind: "transaction" },
    { at: 5, producer: 1, kind: "commit" },
    { at: 6, producer: 1, kind: "transaction" },
    { at: 7, producer: 2, kind: "commit" },
    { at: 8, producer: 1, kind: "abort" },
    { at: 9, producer: 1, kind: "transaction" },
  ] as const;
  const aborted = [
    [1, 6],
    [1, 0],
  ] as const;
  expect(see(written, aborted)).toEqual({ offsets: [1, 2, 4, 9], next: 10 });
});

test("an aborted transaction whose mark is yet to come is left out from its beginning on", () => {
  const written = [{ at: 4 }, { at: 5, producer: 1, kind: "transaction" }] as const;
  expect(see(written, [[1, 5]], 4)).toEqual({ offsets: [4], next: 6 });
});
