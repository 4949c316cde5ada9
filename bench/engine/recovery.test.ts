import { expect, test } from "vitest";
import { compare } from "./recovery.ts";

test("an interrupted step may run again, a recorded one may not: they are counted apart", () => {
  const before = ["a reserve", "a charge", "b reserve", "b charge"];
  const recorded = new Set(["a reserve", "b reserve", "b charge"]);
  expect(compare(before, ["a charge", "a ship", "b ship"], recorded)).toEqual({ rerun: 1, recordedRerun: 0 });
  expect(compare(before, ["a charge", "b charge", "b ship"], recorded)).toEqual({
    rerun: 2,
    recordedRerun: 1,
  });
});
