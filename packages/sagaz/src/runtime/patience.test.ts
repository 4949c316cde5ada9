import { expect, test } from "vitest";
import { SagaError } from "../core/errors.ts";
import type { Log } from "../ports/log.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { keepTrying } from "./patience.ts";

function scene() {
  const clock = new FakeClock();
  const logged: unknown[] = [];
  const note = (_: string, details?: unknown) => void logged.push(details);
  const log: Log = { debug: note, info: note, warn: note, error: note };
  return { clock, logged, patience: { clock, log, what: "a call", isWanted: () => true } };
}

const away = () => new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "away" });

test("an outage is waited for, with growing delays up to 5 s", async () => {
  const { clock, logged, patience } = scene();
  const calledAt: number[] = [];
  const call = async () => {
    calledAt.push(clock.monotonic());
    if (calledAt.length < 9) throw away();
  };
  const kept = keepTrying(call, patience);
  await clock.advance(60_000);
  expect(await kept).toBe(true);
  const delays = calledAt.slice(1).map((at, i) => at - calledAt[i]!);
  expect(delays).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  expect(logged).toHaveLength(8);
});

test("a definite refusal ends it, logged: trying again would not change that", async () => {
  const { clock, logged, patience } = scene();
  let calls = 0;
  const kept = keepTrying(async () => {
    calls += 1;
    throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId: "x" });
  }, patience);
  await clock.advance(60_000);
  expect(await kept).toBe(false);
  expect(calls).toBe(1);
  expect(logged).toEqual([{ error: expect.stringContaining("SAGAZ_SAGA_NOT_FOUND") as string }]);
});

test("what nobody needs any more is given up", async () => {
  const { clock, patience } = scene();
  let isWanted = true;
  const kept = keepTrying(() => Promise.reject(away()), { ...patience, isWanted: () => isWanted });
  await clock.advance(1_000);
  isWanted = false;
  await clock.advance(5_000);
  expect(await kept).toBe(false);
});
