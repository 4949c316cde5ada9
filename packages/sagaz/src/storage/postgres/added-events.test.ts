import { expect, test } from "vitest";
import { toAdded } from "./added-events.ts";

test("however many events a transaction has added, it is told so: it has committed", () => {
  const ids = Array.from({ length: 500_000 }, (_, n) => n + 7);
  const rows = [{ ids: JSON.stringify(ids), added_at: "5", behind: "[8]", lowest: null }];
  const found: number[] = [];
  const added = toAdded(rows, (lowest) => found.push(lowest));
  expect(added).toHaveLength(ids.length);
  expect(added.slice(0, 2)).toEqual([
    { id: 7, createdAt: 5, isFree: true },
    { id: 8, createdAt: 5, isFree: false },
  ]);
  expect(found).toEqual([7]);
});

test("each row has a time of its own, and what it has found; one that held nothing gives all to the relays", () => {
  const row = (id: number, lowest: string | null) => {
    return { ids: JSON.stringify([id]), added_at: String(id), behind: null, lowest };
  };
  const found: number[] = [];
  const added = toAdded([row(3, "2"), row(4, null)], (lowest) => found.push(lowest));
  expect(added.map(({ createdAt }) => createdAt)).toEqual([3, 4]);
  expect(found).toEqual([2, 4]);
  const nothing = { ids: null, added_at: "5", behind: null, lowest: null };
  expect(toAdded([row(3, null), nothing], () => {})).toEqual([]);
  expect(toAdded([], () => {})).toEqual([]);
});
