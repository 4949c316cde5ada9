import { expect, test } from "vitest";
import { toLatencies } from "./latencies.ts";

test("each commit is held against its own publication, whatever else was published, and when", () => {
  const published = [
    ["z", 3],
    ["b", 25],
    ["a", 24],
  ] as const;
  expect(
    toLatencies(
      [
        ["a", 10],
        ["b", 20],
      ],
      published,
    ),
  ).toEqual([5, 14]);
});

test("an event that was never published is no fast one", () => {
  expect(() => toLatencies([["a", 1]], [])).toThrow(/Event a/);
});
