import { expect, test } from "vitest";
import { SeededChance, nextWord } from "./seeded-chance.ts";

const numbers = (chance: SeededChance, count: number) => Array.from({ length: count }, () => chance.next());

function filled(bytes: Uint8Array): Uint8Array {
  new SeededChance(1).fillBytes(bytes);
  return bytes;
}

test("the generator gives the sequence published for the state 1, 2, 3, 4", () => {
  const state = Uint32Array.from([1, 2, 3, 4]);
  expect(Array.from({ length: 10 }, () => nextWord(state))).toEqual([
    11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
  ]);
});

test("a seed repeats, and another seed gives something else", () => {
  expect(numbers(new SeededChance(7), 50)).toEqual(numbers(new SeededChance(7), 50));
  const firsts = [0, 1, 2, 3, 2 ** 32, 2 ** 32 + 1, 2 ** 40].map((seed) => new SeededChance(seed).next());
  expect(new Set(firsts).size).toBe(firsts.length);
});

test("a seed means the same numbers in every release, so that a recorded seed still replays", () => {
  expect(
    Array.from(
      { length: 4 },
      (
        (chance) => () =>
          chance.below(1_000_000)
      )(new SeededChance(4711)),
    ),
  ).toMatchInlineSnapshot(`
    [
      911858,
      123743,
      189359,
      844060,
    ]
  `);
});

test("numbers lie in [0, 1) and spread evenly, also those of neighbouring seeds", () => {
  const drawn = Array.from({ length: 20_000 }, (_, seed) => new SeededChance(seed).next());
  const tenths = Array.from({ length: 10 }, () => 0);
  for (const number of drawn) {
    expect(number >= 0 && number < 1).toBe(true);
    tenths[Math.floor(number * 10)]!++;
  }
  // 2,000 each; 6 standard deviations are 255.
  for (const count of tenths) expect(Math.abs(count - 2_000)).toBeLessThan(255);
});

test("bytes are filled to the last, of any length, the same from the same seed", () => {
  for (const length of [0, 1, 3, 4, 10, 16]) {
    expect(filled(new Uint8Array(length))).toEqual(filled(new Uint8Array(length)));
    expect(filled(new Uint8Array(16)).slice(0, length)).toEqual(filled(new Uint8Array(length)));
  }
  const long = filled(new Uint8Array(4_003));
  expect(new Set(long).size).toBe(256);
  expect(long.slice(-3).some((byte) => byte !== 0)).toBe(true);
});

test("below, happens and pick stay within their bounds and reach them", () => {
  const chance = new SeededChance(3);
  const dice = new Set(Array.from({ length: 200 }, () => chance.below(6)));
  expect([...dice].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
  const picked = new Set(Array.from({ length: 100 }, () => chance.pick(["a", "b", "c"])));
  expect([...picked].sort()).toEqual(["a", "b", "c"]);
  expect(Array.from({ length: 50 }, () => chance.happens(0))).not.toContain(true);
  expect(Array.from({ length: 50 }, () => chance.happens(1))).not.toContain(false);
  const hits = Array.from({ length: 10_000 }, () => chance.happens(0.3)).filter(Boolean).length;
  expect(Math.abs(hits - 3_000)).toBeLessThan(300);
});

test("a fork goes its own way", () => {
  const [one, two] = [new SeededChance(9), new SeededChance(9)];
  const [left, right] = [one.fork(), two.fork()];
  numbers(left, 100);
  expect(numbers(one, 10)).toEqual(numbers(two, 10));
  expect(numbers(right, 10)).not.toEqual(numbers(two, 10));
});
