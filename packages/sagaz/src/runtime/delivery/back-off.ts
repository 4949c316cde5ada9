import type { Clock } from "../../ports/clock.ts";
import { Rest } from "./rest.ts";

/** Delays between tries while the broker, a URL or the storage is away, in milliseconds. */
export const DELAY_MS = { first: 100, most: 5_000 };

/** Waits longer each time, until something works again. */
export class BackOff {
  readonly #rest: Rest;
  readonly #luck: () => number;
  #delayMs = DELAY_MS.first;

  constructor({ clock, luck }: { readonly clock: Pick<Clock, "setTimer">; readonly luck: () => number }) {
    this.#rest = new Rest(clock);
    this.#luck = luck;
  }

  async wait(): Promise<void> {
    const delayMs = this.#delayMs * (0.5 + this.#luck() / 2);
    this.#delayMs = Math.min(this.#delayMs * 2, DELAY_MS.most);
    await this.#rest.for(delayMs);
  }

  /** It works: the next trouble begins with a short wait. */
  reset(): void {
    this.#delayMs = DELAY_MS.first;
  }

  /** Ends the wait, this one or the next. */
  end(): void {
    this.#rest.end();
  }
}
