import { expect, test } from "vitest";
import { Settler } from "./settler.ts";

/** A settler whose writes end when they are told to. */
function open() {
  const writes: { sent: readonly number[]; released: readonly number[] }[] = [];
  const ends: (() => void)[] = [];
  const settler = new Settler((lot) => {
    writes.push(lot);
    return new Promise<void>((resolve) => ends.push(resolve));
  });
  const endWrite = async () => {
    ends.shift()?.();
    await new Promise(setImmediate);
  };
  return { settler, writes, endWrite };
}

test("what comes while one write is under way is written together, in the next", async () => {
  const { settler, writes, endWrite } = open();
  settler.add({ sent: [1], released: [], keys: ["a"] });
  settler.add({ sent: [2], released: [3], keys: ["b", "c"] });
  settler.add({ sent: [4], released: [], keys: ["d"] });
  expect(settler.size).toBe(4);
  await endWrite();
  expect(settler.size).toBe(3);
  expect(writes).toMatchObject([
    { sent: [1], released: [] },
    { sent: [2, 4], released: [3] },
  ]);
  const ended = settler.end();
  await endWrite();
  await ended;
  expect(settler.size).toBe(0);
});

test("who comes next with a key waits until that is noted, and others do not", async () => {
  const { settler, endWrite } = open();
  settler.add({ sent: [1], released: [], keys: ["a"] });
  settler.add({ sent: [2], released: [], keys: ["b"] });
  const passed: string[] = [];
  const after = (key: string) => settler.noted([key]).then(() => passed.push(key));
  void after("a");
  void after("b");
  await after("c");
  expect(passed).toEqual(["c"]);
  await endWrite();
  expect(passed).toEqual(["c", "a"]);
  await endWrite();
  expect(passed).toEqual(["c", "a", "b"]);
  settler.add({ sent: [3], released: [], keys: ["a"] });
  expect(settler.size).toBe(1);
  await endWrite();
  await settler.end();
});
