import { expect, test } from "vitest";
import { LeftKeys } from "./left-keys.ts";

/** Keys of which something is left in the tables, and what was asked about them. */
function open(left: Set<string>) {
  let now = 0;
  const looks: (number | readonly string[])[] = [];
  const keys = new LeftKeys({
    streams: {
      leftKeys: async (limit) => {
        looks.push(limit);
        return [...left].slice(0, limit);
      },
      stillLeft: async (asked) => {
        looks.push(asked);
        return asked.filter((key) => left.has(key));
      },
    },
    clock: { monotonic: () => now },
  });
  const pass = (ms: number) => void (now += ms);
  return { keys, looks, pass };
}

test("all are looked for once, and then only those that are known, a thousand at a time", async () => {
  const left = new Set(Array.from({ length: 2_500 }, (_, n) => `k-${n}`));
  const { keys, looks, pass } = open(left);
  await keys.look();
  expect(looks).toEqual([100_001]);
  expect(keys.isDue).toBe(false);
  left.delete("k-0");
  left.delete("k-2400");
  for (let n = 0; n < 3; n++) {
    pass(200);
    expect(keys.isDue).toBe(true);
    await keys.look();
  }
  expect(looks.slice(1).map((asked) => (asked as readonly string[]).length)).toEqual([1_000, 1_000, 1_000]);
  expect([keys.has("k-0"), keys.has("k-2400"), keys.has("k-1")]).toEqual([false, false, true]);
  keys.add("k-0");
  expect(keys.has("k-0")).toBe(true);
});

test("where there are too many to be told by name all count as left, until all of them can be", async () => {
  const left = new Set(Array.from({ length: 100_002 }, (_, n) => `k-${n}`));
  const { keys, looks, pass } = open(left);
  await keys.look();
  expect(keys.has("another one")).toBe(true);
  pass(200);
  expect(keys.isDue).toBe(false);
  pass(9_800);
  expect(keys.isDue).toBe(true);
  left.clear();
  left.add("k-100001");
  await keys.look();
  expect(looks).toEqual([100_001, 100_001]);
  expect([keys.has("another one"), keys.has("k-100001")]).toEqual([false, true]);
});
