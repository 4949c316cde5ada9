import type { Clock } from "../ports/clock.ts";

/**
 * The database's clock as this process knows it: read at each heartbeat, carried on by the monotonic clock in
 * between. A machine whose own clock is off by an hour, or jumps, changes nothing.
 */
export class DatabaseTime {
  readonly #clock: Clock;
  #at: number;
  #monotonic: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#at = clock.now();
    this.#monotonic = clock.monotonic();
  }

  /** Takes over what the database said in answer to a question asked at `askedAt` (monotonic). */
  set(now: number, askedAt: number): void {
    const answeredAt = this.#clock.monotonic();
    // The answer is from somewhere in the round trip; the middle halves the error.
    this.#at = now + (answeredAt - askedAt) / 2;
    this.#monotonic = answeredAt;
  }

  /** Milliseconds since 1970. */
  now(): number {
    return Math.round(this.#at + (this.#clock.monotonic() - this.#monotonic));
  }
}
