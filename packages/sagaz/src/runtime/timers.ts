import type { Clock, Timer } from "../ports/clock.ts";

/** Timers of something that can stop: none of them fires after that. */
export class Timers {
  readonly #clock: Clock;
  readonly #open = new Set<Timer>();
  #isStopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls once after the delay, unless stopped or cancelled before. */
  later(delayMs: number, call: () => void): Timer {
    if (this.#isStopped) return { cancel: () => {} };
    const timer = this.#clock.setTimer(delayMs, () => {
      this.#open.delete(timer);
      call();
    });
    this.#open.add(timer);
    return {
      cancel: () => {
        this.#open.delete(timer);
        timer.cancel();
      },
    };
  }

  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#open) timer.cancel();
    this.#open.clear();
  }
}
