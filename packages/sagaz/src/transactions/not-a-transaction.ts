import { SagaError } from "../core/errors.ts";

/** What was handed in, and what should have been. */
export interface WrongTurn {
  /** The adapter's name. */
  readonly adapter: string;
  /** What it got, in words. */
  readonly value: string;
  /** What to do, as a sentence without its full stop. */
  readonly advice: string;
}

/** The error for whoever hands in a pool: nothing may be written beside the caller's transaction without a word. */
export function notATransaction(wrong: WrongTurn): SagaError {
  return new SagaError("SAGAZ_NOT_A_TRANSACTION", { ...wrong });
}
