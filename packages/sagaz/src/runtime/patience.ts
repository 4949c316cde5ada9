import { isSagaError } from "../core/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";

const DELAY_MS = { first: 100, most: 5_000 };

/** What {@link keepTrying} needs. */
export interface Patience {
  readonly clock: Clock;
  readonly log: Log;
  /** For the log: "a registration". */
  readonly what: string;
  /** False: give up, nobody needs it any more. */
  readonly isWanted: () => boolean;
}

/**
 * Repeats a call until it succeeds, with growing delays, through any outage. A definite refusal ends it, logged: trying
 * again would not change that. Answers whether it succeeded.
 */
export async function keepTrying(call: () => Promise<unknown>, patience: Patience): Promise<boolean> {
  const { clock, log, what, isWanted } = patience;
  for (let delayMs = DELAY_MS.first; isWanted(); delayMs = Math.min(delayMs * 2, DELAY_MS.most)) {
    try {
      await call();
      return true;
    } catch (error) {
      log.warn(`sagaz: ${what} failed`, { error: String(error) });
      if (isSagaError(error) && !error.retryable) return false;
    }
    await new Promise<void>((resolve) => clock.setTimer(delayMs, resolve));
  }
  return false;
}
