import { expect, test } from "vitest";
import { quantile } from "./quantile.ts";

test("a quantile is the nearest rank", () => {
  const hundred = Array.from({ length: 100 }, (_, n) => n + 1);
  expect([0.5, 0.99, 1].map((q) => quantile(hundred, q))).toEqual([50, 99, 100]);
  expect(quantile([5], 0.01)).toBe(5);
  expect(quantile([], 0.5)).toBeNaN();
});
