import { expect, test } from "vitest";
import { LeftPlace } from "./left-place.ts";

test("what has been read is not read again, unless it is asked for", () => {
  const place = new LeftPlace();
  expect(place.begin([], undefined)).toBe(0);
  place.readTo(10);
  expect(place.begin([], undefined)).toBe(10);
  expect(place.begin([], 4)).toBe(3);
  place.readTo(10);
  expect(place.begin([], 40)).toBe(10);
});

test("what is left with a lower id is read, also when it is left during a reading", () => {
  const place = new LeftPlace();
  place.begin([], undefined);
  place.readTo(10);
  place.left([12, 7]);
  expect(place.begin([], undefined)).toBe(6);
  place.left([5, 6]);
  place.readTo(12);
  expect(place.begin([], undefined)).toBe(4);
  place.readTo(12);
  expect(place.begin([], undefined)).toBe(12);
});

test("what is left of a key while that is left out is read when it is not any more", () => {
  const place = new LeftPlace();
  place.begin([], undefined);
  place.readTo(10);
  expect(place.begin(["a"], undefined)).toBe(10);
  place.readTo(10);
  place.left([8]);
  expect(place.begin(["a"], undefined)).toBe(7);
  place.readTo(20);
  expect(place.begin(["a"], undefined)).toBe(20);
  expect(place.begin([], undefined)).toBe(7);
});
