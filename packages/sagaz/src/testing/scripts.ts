import type { StepContext, UndoContext } from "../core/definition/context.ts";
import { fail, outcomeUnknown } from "../core/decide/outcome.ts";

/**
 * What a step's function does in a test, in place of the user's own code. `own` calls that code.
 *
 * A plain function is a script too: `when({ charge: (ctx) => ({ ref: ctx.idempotencyKey }) })`.
 */
export type Script = (ctx: StepContext & UndoContext, own: () => unknown) => unknown;

/** The step succeeds with this value, and the user's code is not called. */
export function returns(value?: unknown): Script {
  return () => value;
}

/** The business says no, as by `throw fail(message, details)`: final, and not undone. */
export function fails(message = "scripted failure", details?: unknown): Script {
  return () => {
    throw fail(message, details);
  };
}

/** The step throws an ordinary error, which the retry policy repeats. */
export function throwsError(error: unknown = "scripted error"): Script {
  return () => {
    throw typeof error === "string" ? new Error(error) : error;
  };
}

/** The step never answers, and gives up only when its signal tells it to: nobody knows whether it was done. */
export function timesOut(): Script {
  return ({ signal }) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
}

/** The step does not even heed its signal: the engine gives up on it after `settleMs`. */
export function neverSettles(): Script {
  return () => new Promise(() => {});
}

/** The user's code runs, and takes effect, but its answer gets lost: nobody knows whether it was done. */
export function losesReply(message = "the reply was lost"): Script {
  return async (_, own) => {
    await own();
    throw outcomeUnknown(message);
  };
}

/** The user's code runs as written; for use in {@link inTurn}. */
export function runs(): Script {
  return (_, own) => own();
}

/** One script for each attempt; the last one goes for all that follow. */
export function inTurn(...scripts: readonly [Script, ...Script[]]): Script {
  return (ctx, own) => {
    const script = scripts[Math.min(ctx.attempt, scripts.length) - 1] ?? scripts[0];
    return script(ctx, own);
  };
}

/** For a signal step: the event that comes. */
export class Signalled {
  readonly payload: unknown;
  constructor(payload: unknown) {
    this.payload = payload;
  }
}

/** The event that a signal step waits for comes, with this payload. */
export function receives(payload?: unknown): Signalled {
  return new Signalled(payload ?? null);
}
