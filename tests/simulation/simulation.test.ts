import { expect, test } from "vitest";
import { mutate } from "./try-mutations.ts";
import { mutations } from "./mutations.ts";
import { runSeeds, toText } from "./seeds.ts";
import { unseen } from "./sights.ts";

test("the engine keeps its laws in random worlds, each from a seed, twice the same, and every kind of fault was there", async () => {
  const { seeds, sights, failures } = await runSeeds({ from: 1, to: 200 });
  expect(failures.map(toText).join("\n\n")).toBe("");
  expect(seeds).toBe(200);
  expect(unseen(sights)).toEqual([]);
});

test("each mutation still fits the source, so that `npm run simulate -- --mutations` proves something", () => {
  expect(mutations.length).toBeGreaterThanOrEqual(12);
  for (const mutation of mutations) expect(mutate(mutation)).not.toBe("");
});
