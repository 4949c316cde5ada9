import fc from "fast-check";
import { expect, test } from "vitest";
import { didYouMean } from "./suggest.ts";

test("names the nearest, whatever the case", () => {
  expect(didYouMean("CHARGE", ["reserve", "charge", "charged"])).toBe(' Did you mean "charge"?');
  expect(didYouMean("chrge", ["reserve", "charge"])).toBe(' Did you mean "charge"?');
  expect(didYouMean("reserve_inventory_now", ["reserve_inventory"])).toBe(
    ' Did you mean "reserve_inventory"?',
  );
  expect(didYouMean("", ["ab"])).toBe(' Did you mean "ab"?');
});

test("says nothing when nothing is near", () => {
  expect(didYouMean("charge", [])).toBe("");
  expect(didYouMean("charge", ["ship", "mail"])).toBe("");
  expect(didYouMean("abc", [""])).toBe("");
});

test("forgives one slip anywhere", () => {
  const name = fc.stringMatching(/^[a-z]{4,20}$/);
  fc.assert(
    fc.property(name, fc.nat(), fc.constantFrom("", "_", "__"), (right, place, slip) => {
      const i = place % right.length;
      const wrong = right.slice(0, i) + slip + right.slice(i + 1);
      expect(didYouMean(wrong, ["0123456789_0123456789_0123", right])).toBe(` Did you mean "${right}"?`);
    }),
  );
});
