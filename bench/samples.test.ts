import { expect, test } from "vitest";
import { Samples } from "./samples.ts";

const subject = { measure: "sagas_per_s", inFlight: 64, system: "ours", unit: "1/s" };

test("a row is the median of its rounds with the least and the greatest", () => {
  const samples = new Samples();
  for (const value of [30, 10, 20]) samples.add(subject, value);
  expect(samples.rows()).toEqual([{ ...subject, median: 20, min: 10, max: 30, rounds: 3 }]);
});

test("an even number of rounds takes the middle of the two in the middle", () => {
  const samples = new Samples();
  for (const value of [4, 1, 2, 3]) samples.add(subject, value);
  expect(samples.rows()[0]?.median).toBe(2.5);
});

test("subjects are told apart by measure, sagas in flight and system, and keep their order", () => {
  const samples = new Samples();
  samples.add({ ...subject, inFlight: 256 }, 1);
  samples.add(subject, 2);
  samples.add({ ...subject, system: "theirs" }, 3);
  samples.add({ ...subject, measure: "p50" }, 4);
  expect(samples.rows().map(({ median }) => median)).toEqual([1, 2, 3, 4]);
});

test("a value that this machine cannot tell leaves no row", () => {
  const samples = new Samples();
  samples.add(subject, undefined);
  expect(samples.rows()).toEqual([]);
});
