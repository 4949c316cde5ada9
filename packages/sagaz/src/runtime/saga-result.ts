import type { SagaDefinition } from "../core/definition/definition.ts";
import type { RecordedError, UnwindCause } from "../core/saga/events.ts";
import { resultsOf } from "../core/saga/evolve.ts";
import type { SagaState } from "../core/saga/state.ts";
import type { SagaStatus } from "../core/saga/status.ts";
import { outputOf } from "./entry.ts";

/** How a saga ended, or where it is parked. */
export interface SagaResult<Output = Readonly<Record<string, unknown>>> {
  readonly sagaId: string;
  readonly status: SagaStatus;
  /** Of a completed saga: what its output function made, else the results of its steps, keyed by name. */
  readonly output: Output | undefined;
  /** Results of the steps that are still done, keyed by step name. */
  readonly results: Readonly<Record<string, unknown>>;
  /** Why it went back, if it did. */
  readonly failure: UnwindCause | undefined;
  /** Every compensation that failed, with its error: kept beside the failure, never instead of it. */
  readonly compensationErrors: readonly { readonly step: string; readonly error: RecordedError }[];
  /** Steps that are not undone although the saga ended. */
  readonly exceptions: readonly string[];
  /** Why it is parked, if it is. */
  readonly parked: { readonly reason: string; readonly step: string | undefined } | undefined;
}

/** Reads the result off a saga's state. */
export function toResult(state: SagaState, definition?: SagaDefinition): SagaResult<unknown> {
  const compensationErrors: { step: string; error: RecordedError }[] = [];
  for (const step of state.steps.values()) {
    if (step.undoError) compensationErrors.push({ step: step.key, error: step.undoError });
    for (const item of step.itemStates)
      if (item?.undoError) compensationErrors.push({ step: item.key, error: item.undoError });
  }
  const { parked } = state;
  return {
    sagaId: state.sagaId,
    status: state.status,
    output: definition?.output ? state.output : outputOf(state),
    results: resultsOf(state),
    failure: state.failure,
    compensationErrors,
    exceptions: state.exceptions,
    parked: parked && { reason: parked.reason, step: parked.step },
  };
}
