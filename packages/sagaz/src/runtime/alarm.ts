import type { Clock, Timer } from "../ports/clock.ts";

/** What an {@link Alarm} goes by: database time, and a clock for its delays. */
interface Time {
  readonly clock: Clock;
  now(): number;
}

/**
 * One timer for many deadlines: rings at the earliest one that was asked for. Later ones need not be asked for again
 * and again, since whoever is rung looks at everything and asks for the next.
 */
export class Alarm {
  readonly #time: Time;
  readonly #ring: () => void;
  #timer: Timer | undefined;
  #at = Number.POSITIVE_INFINITY;

  constructor(time: Time, ring: () => void) {
    this.#time = time;
    this.#ring = ring;
  }

  /** Rings at this time (milliseconds since 1970), or earlier. */
  setFor(at: number): void {
    if (at >= this.#at) return;
    this.#timer?.cancel();
    this.#at = at;
    this.#timer = this.#time.clock.setTimer(Math.max(1, at - this.#time.now()), () => {
      this.#timer = undefined;
      this.#at = Number.POSITIVE_INFINITY;
      this.#ring();
    });
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#at = Number.POSITIVE_INFINITY;
  }
}
