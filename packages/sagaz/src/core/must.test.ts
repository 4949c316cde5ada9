import { expect, test } from "vitest";
import { must, need } from "./must.ts";

test("a rule that holds says nothing, one that is broken is a bug with a name", () => {
  expect(() => must(1, "one is true")).not.toThrow();
  expect(() => must(0, "zero is true")).toThrow(
    expect.objectContaining({ code: "SAGAZ_BUG", details: { rule: "zero is true" } }),
  );
});

test("what is needed comes back, however falsy; only undefined is missing", () => {
  for (const value of [0, "", false, null]) expect(need(value, "it is there")).toBe(value);
  expect(() => need(undefined, "it is there")).toThrow(expect.objectContaining({ code: "SAGAZ_BUG" }));
});
