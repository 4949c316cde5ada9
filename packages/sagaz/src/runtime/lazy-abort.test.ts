import { expect, test } from "vitest";
import { LazyAbort } from "./lazy-abort.ts";

test("who looks after the abort finds the signal aborted, for the first reason", () => {
  const stop = new LazyAbort();
  stop.abort(new Error("late"));
  stop.abort(new Error("again"));
  expect(stop.signal.aborted).toBe(true);
  expect(stop.signal.reason).toMatchObject({ message: "late" });
  expect(stop.signal).toBe(stop.signal);
});

test("who looks before is told", () => {
  const stop = new LazyAbort();
  const { signal } = stop;
  expect(signal.aborted).toBe(false);
  stop.abort(new Error("late"));
  expect(signal.reason).toMatchObject({ message: "late" });
});
