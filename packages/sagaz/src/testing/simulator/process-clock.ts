import type { Clock, Timer } from "../../ports/clock.ts";
import type { ClockSkew, FakeClock } from "../fake-clock.ts";

interface PendingTimer {
  /** On the simulation's clock, not on this machine's. */
  dueAt: number;
  readonly call: () => void;
  handle: Timer | undefined;
}

/**
 * The clock of one simulated process: skewed against the simulation's own, and able to stop as the process does.
 *
 * A halted process runs nothing. When it goes on, `overslept` timers fire at once, as after SIGSTOP; with `frozen` its
 * monotonic clock stood still too, as in a virtual machine that was suspended, so it does not know how late it is.
 */
export class ProcessClock implements Clock {
  readonly #base: FakeClock;
  readonly #offsetMs: number;
  readonly #rate: number;
  readonly #startedAt: number;
  readonly #timers = new Set<PendingTimer>();
  #missedMs = 0;
  #halted: { readonly at: number; readonly how: "frozen" | "overslept" } | undefined;
  #dead = false;

  constructor(base: FakeClock, { offsetMs = 0, rate = 1 }: ClockSkew = {}) {
    this.#base = base;
    this.#offsetMs = offsetMs;
    this.#rate = rate;
    this.#startedAt = base.monotonic();
  }

  now(): number {
    const drifted = (this.#base.monotonic() - this.#startedAt) * (this.#rate - 1);
    return Math.floor(this.#base.now() + this.#offsetMs + drifted);
  }

  monotonic(): number {
    return (this.#base.monotonic() - this.#startedAt - this.#missedMs) * this.#rate;
  }

  setTimer(delayMs: number, call: () => void): Timer {
    const dueAt = this.#base.monotonic() + Math.ceil(Math.max(0, delayMs) / this.#rate);
    const timer: PendingTimer = { dueAt, call, handle: undefined };
    if (this.#dead) return { cancel: () => {} };
    this.#timers.add(timer);
    if (!this.#halted) this.#arm(timer);
    return {
      cancel: () => {
        timer.handle?.cancel();
        this.#timers.delete(timer);
      },
    };
  }

  #arm(timer: PendingTimer): void {
    timer.handle = this.#base.setTimer(timer.dueAt - this.#base.monotonic(), () => {
      this.#timers.delete(timer);
      timer.call();
    });
  }

  /** The process stops running, and hears of nothing. */
  halt(how: "frozen" | "overslept"): void {
    this.#halted = { at: this.#base.monotonic(), how };
    for (const timer of this.#timers) timer.handle?.cancel();
  }

  /** It runs again. */
  goOn(): void {
    if (!this.#halted) return;
    const { at, how } = this.#halted;
    this.#halted = undefined;
    const haltedMs = how === "frozen" ? this.#base.monotonic() - at : 0;
    this.#missedMs += haltedMs;
    for (const timer of this.#timers) timer.dueAt += haltedMs;
    for (const timer of [...this.#timers].sort((a, b) => a.dueAt - b.dueAt)) this.#arm(timer);
  }

  /** The process is gone: none of its timers fires any more. */
  kill(): void {
    this.#dead = true;
    for (const timer of this.#timers) timer.handle?.cancel();
    this.#timers.clear();
  }
}
