import { expect, test } from "vitest";
import { lookup } from "./lookup.ts";

test("reads what is there, and calls it a bug when it is not", () => {
  const map = new Map([["a", 0]]);
  expect(lookup(map, "a")).toBe(0);
  expect(() => lookup(map, "b")).toThrow(/SAGAZ_BUG .*in the map: b/);
});
