import { expect, test } from "vitest";
import { newEvent } from "./events.ts";

test.each([0, 7, 123_456_789])("event %i has a payload of 1 KB", (n) => {
  expect(Buffer.byteLength(JSON.stringify(newEvent(n).payload))).toBe(1024);
});

test("keys come again, and in turn", () => {
  const keys = Array.from({ length: 20_000 }, (_, n) => newEvent(n).key);
  expect(new Set(keys).size).toBe(10_000);
  expect(keys[10_003]).toBe(keys[3]);
});
