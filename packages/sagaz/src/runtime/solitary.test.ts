import { expect, test } from "vitest";
import { FakeClock } from "../testing/fake-clock.ts";
import type { SagaRunner } from "./saga-runner.ts";
import { Solitary } from "./solitary.ts";
import { Timers } from "./timers.ts";

/** What of a runner is looked at. */
class Runner {
  inFlight = 0;
  isQuiet = false;
  readonly live = { ackedSeq: 5, draining: false };
  drain() {
    this.live.draining = true;
  }
  undrain() {
    this.live.draining = false;
  }
  get isRunning() {
    return !this.live.draining;
  }
}

/** A suspect, and another saga of the same process. */
function open() {
  const clock = new FakeClock();
  const suspect = new Runner();
  const other = new Runner();
  const process = { mayRun: true, over: 0, write: () => {}, isWritten: true };
  const solitary = new Solitary({
    runners: new Map(Object.entries({ suspect, other })) as unknown as ReadonlyMap<string, SagaRunner>,
    timers: new Timers(clock),
    written: () =>
      process.isWritten ? Promise.resolve() : new Promise((resolve) => (process.write = resolve)),
    mayRun: () => process.mayRun,
    onOver: () => void (process.over += 1),
  });
  const as = (runner: Runner) => runner as unknown as SagaRunner;
  solitary.begin(as(suspect));
  return { clock, suspect, other, process, solitary, as };
}

test("a suspect goes on when all others rest, and they go on when it has made progress on record", async () => {
  const { clock, suspect, other, process, solitary, as } = open();
  other.inFlight = 1;
  expect(solitary.excludes(as(other))).toBe(true);
  expect(solitary.excludes(as(suspect))).toBe(false);
  await clock.advance(1_000);
  expect([suspect.isRunning, other.isRunning]).toEqual([false, false]);
  other.inFlight = 0;
  await clock.advance(1_000);
  expect([suspect.isRunning, other.isRunning]).toEqual([true, false]);
  suspect.live.ackedSeq += 1;
  await clock.advance(1_000);
  expect([suspect.isRunning, other.isRunning]).toEqual([true, true]);
  expect(process.over).toBe(1);
  expect(solitary.excludes(as(other))).toBe(false);
  expect(clock.timersWaiting).toBe(0);
});

test("a suspect that leaves before the others rest is not waited for", async () => {
  const { clock, suspect, other, process, solitary, as } = open();
  solitary.left(as(other)); // not the one that it is about
  expect(solitary.isOn).toBe(true);
  solitary.left(as(suspect));
  expect(solitary.isOn).toBe(false);
  expect(other.isRunning).toBe(true);
  other.drain(); // of its own accord
  await clock.advance(1_000);
  expect(other.isRunning).toBe(false);
  expect(process.over).toBe(1);
  expect(clock.timersWaiting).toBe(0);
});

test("a suspect that leaves while the rest is being written is not let go on", async () => {
  const { clock, suspect, process, solitary, as } = open();
  process.isWritten = false;
  await clock.advance(1_000);
  solitary.left(as(suspect));
  suspect.drain(); // it is no longer this one's to let go
  process.write();
  await clock.advance(1_000);
  expect(suspect.isRunning).toBe(false);
  expect(process.over).toBe(1);
  expect(clock.timersWaiting).toBe(0);
});

test("in a process where nothing may run, nobody is let go on, whatever is found", async () => {
  const { clock, suspect, other, process } = open();
  process.mayRun = false;
  await clock.advance(1_000);
  expect([suspect.isRunning, other.isRunning]).toEqual([false, false]);
  suspect.live.ackedSeq += 1;
  await clock.advance(1_000);
  expect(process.over).toBe(1);
  expect([suspect.isRunning, other.isRunning]).toEqual([false, false]);
});
