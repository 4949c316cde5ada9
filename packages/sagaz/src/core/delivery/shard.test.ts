import { expect, test } from "vitest";
import { shardOf } from "./shard.ts";

test("a key has one shard, the same for ever: it is stored", () => {
  const keys = ["", "a", "order-4711", "größer 🎉", "0197c2a4-5f00-7000-8000-000000000000"];
  expect(keys.map((key) => shardOf(key, 64))).toMatchInlineSnapshot(`
    [
      60,
      52,
      10,
      17,
      32,
    ]
  `);
});

test("keys spread evenly, also those that count up", () => {
  const counts = new Map<number, number>();
  for (let n = 0; n < 64_000; n++) {
    const shard = shardOf(`order-${n}`, 64);
    counts.set(shard, (counts.get(shard) ?? 0) + 1);
  }
  expect(Math.min(...counts.values())).toBeGreaterThan(800);
  expect(Math.max(...counts.values())).toBeLessThan(1_200);
  expect([...counts.keys()].every((shard) => shard >= 0 && shard < 64)).toBe(true);
});
