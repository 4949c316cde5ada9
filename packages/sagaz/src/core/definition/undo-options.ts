import type { UndoContext } from "./context.ts";
import type { UndoDraft } from "./draft.ts";
import type { OnExhausted, RetryPolicy } from "./policies.ts";

/** Options of a compensation, where they are written beside those of the action. */
export interface FlatUndoOptions {
  /** These steps' compensations complete first, besides those that the graph already demands. */
  readonly undoAfter?: readonly string[];
  /** What differs from ten attempts with a delay of up to a minute. */
  readonly undoRetry?: Partial<RetryPolicy>;
  /** What to do when all attempts of the compensation are used up. `"park"` if not set. */
  readonly onExhausted?: OnExhausted;
}

interface Written extends FlatUndoOptions {
  readonly undo?: ((ctx: never) => unknown) | undefined;
}

/** Makes the draft of a compensation from options written beside the action's; undefined when there is none. */
export function toUndoDraft({ undo, undoAfter, undoRetry, onExhausted }: Written): UndoDraft | undefined {
  if (undo === undefined) return undefined;
  return {
    run: undo as (ctx: UndoContext) => unknown,
    options: {
      ...(undoAfter ? { after: undoAfter } : {}),
      ...(undoRetry ? { retry: undoRetry } : {}),
      ...(onExhausted ? { onExhausted } : {}),
    },
  };
}
