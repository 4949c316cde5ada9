import { isClear } from "../core/decide/backward.ts";
import { CompensationGraph } from "../core/definition/compensation-graph.ts";
import type { SagaDefinition } from "../core/definition/definition.ts";
import type { SagaState, StepState } from "../core/saga/state.ts";

/** What a compensation would undo now. */
export interface UndoPlan {
  readonly sagaId: string;
  /** False with the reason in `refusal`: a saga that passed its pivot can only go forward. */
  readonly possible: boolean;
  readonly refusal: string | undefined;
  /** Step keys; those of one layer are undone in parallel, each layer after the one before. */
  readonly layers: readonly (readonly string[])[];
}

/** Computes the plan from what the journal says. Changes nothing. */
export function plan(state: SagaState, definition: SagaDefinition | undefined): UndoPlan {
  const refusal = refusalOf(state, definition);
  if (refusal !== undefined || !definition)
    return { sagaId: state.sagaId, possible: false, refusal, layers: [] };
  const open = new Map<string, string[]>();
  for (const step of state.steps.values()) {
    const keys = [step, ...step.itemStates].flatMap((one) => (one && needsUndo(one) ? [one.key] : []));
    if (keys.length > 0) open.set(step.key, keys);
  }
  const { layers } = new CompensationGraph(definition, open.keys());
  return {
    sagaId: state.sagaId,
    possible: true,
    refusal: undefined,
    layers: layers.map((names) => names.flatMap((name) => open.get(name) ?? [])),
  };
}

function refusalOf(state: SagaState, definition: SagaDefinition | undefined): string | undefined {
  if (!definition) return "its definition is not held by this process";
  if (state.forkId !== undefined) return `it was forked into ${state.forkId}`;
  if (state.pivotStartedSeq !== undefined) return `it has passed its pivot "${definition.pivot}"`;
  return undefined;
}

function needsUndo(step: StepState): boolean {
  if (step.childId !== undefined && step.status === "pending") return true;
  return !isClear(step);
}
