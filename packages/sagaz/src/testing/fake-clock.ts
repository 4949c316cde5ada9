import type { Clock, Timer } from "../ports/clock.ts";

/** Taken now, so that a test runner's fake timers do not stop this clock. */
const nextTurn = setImmediate;

/** Timers that may fire at one instant before a clock gives up: code that asks for delays of 0 for ever never lets time pass. */
const firedAtOnceMax = 100_000;

/** Where a fake clock begins unless told otherwise. */
const startAtDefault = Date.UTC(2026, 0, 1);

/** How a {@link FakeClock.view} differs from the clock itself. */
export interface ClockSkew {
  /** Milliseconds that the view's wall clock is ahead (or, if negative, behind). */
  readonly offsetMs?: number;
  /** How fast it runs: 1.001 gains a millisecond a second. */
  readonly rate?: number;
}

/**
 * A clock that moves only when told to: a week of timers runs in milliseconds, and the same way each time.
 *
 * Timers fire one by one, in the order of their times, then of their setting. Between two of them, one turn of Node's
 * event loop lets every promise chain run to its end; code that waits for real I/O is not waited for.
 *
 * @example
 * const clock = new FakeClock();
 * clock.setTimer(60_000, () => done());
 * await clock.advance(60_000);
 */
export class FakeClock implements Clock {
  /** Real time of this clock: whole milliseconds since it was made. */
  #elapsed = 0;
  #wall: number;
  #set = 0;
  #firedAtOnce = 0;
  /** Latest first, so that the next one is taken from the end. */
  readonly #timers: PendingTimer[] = [];

  constructor(options: { readonly startAt?: number } = {}) {
    this.#wall = options.startAt ?? startAtDefault;
  }

  now(): number {
    return this.#wall + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  setTimer(delayMs: number, call: () => void): Timer {
    if (Number.isNaN(delayMs)) throw new RangeError("a timer's delay is a number of milliseconds, not NaN");
    const timer: PendingTimer = {
      at: this.#elapsed + Math.ceil(Math.max(0, delayMs)),
      order: this.#set++,
      call,
    };
    this.#timers.splice(this.#placeOf(timer), 0, timer);
    return { cancel: () => this.#remove(timer) };
  }

  /** How many timers have neither fired nor been cancelled. */
  get timersWaiting(): number {
    return this.#timers.length;
  }

  /** The clock of another machine: its own wall time and speed, moved by this clock, with its timers among this one's. */
  view({ offsetMs = 0, rate = 1 }: ClockSkew = {}): Clock {
    if (!(rate > 0)) throw new RangeError(`a clock's rate is above 0, not ${rate}`);
    const from = this.#elapsed;
    const ran = () => from + (this.#elapsed - from) * rate;
    return {
      now: () => Math.floor(this.#wall + offsetMs + ran()),
      monotonic: ran,
      setTimer: (delayMs, call) => this.setTimer(delayMs / rate, call),
    };
  }

  /** Sets the wall clock, forwards or back, as an operator would. No timer notices. */
  setNow(ms: number): void {
    this.#wall = ms - this.#elapsed;
  }

  /** Lets promise chains run to their end without moving time. */
  settle(): Promise<void> {
    return new Promise((resolve) => nextTurn(resolve));
  }

  /** Moves time on, firing every timer on the way, also those that are set on the way. */
  async advance(ms: number): Promise<void> {
    if (!(ms >= 0))
      throw new RangeError(
        `time goes forward; advance(${ms}) does not. Use setNow() to turn the wall clock back`,
      );
    const until = this.#elapsed + Math.floor(ms);
    await this.settle();
    while (this.#fireNext(until)) await this.settle();
    this.#moveTo(until);
  }

  /**
   * Moves time on, timer by timer, until the probe answers true. Returns the milliseconds that passed.
   *
   * @throws Error when it has not after `limitMs` (default 60,000), or when no timer is left that could change anything.
   */
  async runUntil(probe: () => boolean, options: { readonly limitMs?: number } = {}): Promise<number> {
    const { limitMs = 60_000 } = options;
    const from = this.#elapsed;
    await this.settle();
    while (!probe()) {
      if (!this.#fireNext(from + limitMs)) throw new Error(this.#whyStopped(limitMs));
      await this.settle();
    }
    return this.#elapsed - from;
  }

  #whyStopped(limitMs: number): string {
    return this.#timers.length === 0
      ? "the probe is still false, and no timer is left that could change that"
      : `the probe is still false after ${limitMs} ms; ${this.#timers.length} timers wait`;
  }

  #fireNext(until: number): boolean {
    const next = this.#timers.at(-1);
    if (!next || next.at > until) return false;
    this.#timers.pop();
    this.#moveTo(next.at);
    if (++this.#firedAtOnce > firedAtOnceMax) {
      throw new Error(
        `${firedAtOnceMax} timers fired at one instant: something asks for delays of 0 for ever`,
      );
    }
    next.call();
    return true;
  }

  #moveTo(elapsed: number): void {
    if (elapsed > this.#elapsed) this.#firedAtOnce = 0;
    this.#elapsed = elapsed;
  }

  #remove(timer: PendingTimer): void {
    const place = this.#placeOf(timer);
    if (this.#timers[place] === timer) this.#timers.splice(place, 1);
  }

  /** The first place whose timer does not fire after this one. */
  #placeOf(timer: PendingTimer): number {
    let [low, high] = [0, this.#timers.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#timers[middle];
      if (other && (other.at > timer.at || (other.at === timer.at && other.order > timer.order)))
        low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

interface PendingTimer {
  readonly at: number;
  readonly order: number;
  readonly call: () => void;
}
