import type { Clock, Timer } from "../../ports/clock.ts";

/** A wait that somebody may end. What is told while nobody waits ends the next wait at once. */
export class Rest {
  readonly #clock: Pick<Clock, "setTimer">;
  #wake: (() => void) | undefined;
  #isTold = false;

  constructor(clock: Pick<Clock, "setTimer">) {
    this.#clock = clock;
  }

  /** Ends the wait, this one or the next. */
  end(): void {
    this.#isTold = true;
    this.#wake?.();
  }

  /** Waits for so long at most. Answers whether it was ended. */
  async for(delayMs: number): Promise<boolean> {
    if (!this.#isTold) await this.#sleep(delayMs);
    const wasTold = this.#isTold;
    this.#isTold = false;
    return wasTold;
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise<void>((resolve) => {
      const timer: Timer = this.#clock.setTimer(delayMs, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    }).finally(() => {
      this.#wake = undefined;
    });
  }
}
