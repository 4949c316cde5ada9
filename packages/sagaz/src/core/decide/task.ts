import type { StepDefinition } from "../definition/definition.ts";
import { findStep, itemKey } from "../saga/state.ts";
import type { SagaState } from "../saga/state.ts";
import type { Task, View } from "./view.ts";
import { triesOf } from "./view.ts";

/** Makes the next task of a step (or of an item of a map step): which attempt, in which round. */
export function toTask(
  view: View,
  what: { readonly kind: Task["kind"]; readonly step: StepDefinition; readonly index?: number | undefined },
): Task {
  const { kind, step, index } = what;
  const key = index === undefined ? step.name : itemKey(step.name, index);
  const state = findStep(view.state, key);
  const tries = triesOf(view, key);
  const undo = kind === "undo";
  return {
    kind,
    key,
    step,
    index,
    attempt: (undo ? tries.undo : tries.action) + 1,
    round: (undo ? state?.undoRound : state?.actionRound) ?? 0,
  };
}

/**
 * The key that lets a participant recognise a repeated call: saga / step[item] / direction / round. The same for all
 * attempts; different for an action and its undo.
 */
export function idempotencyKey(
  sagaId: string,
  task: { key: string; kind: Task["kind"]; round: number },
): string {
  return `${sagaId}/${task.key}/${task.kind === "undo" ? "undo" : "do"}/${task.round}`;
}

/** The key that a step's action carried, also when it was the saga before a fork that called it. */
export function actionKeyOf(state: SagaState, key: string): string {
  const round = findStep(state, key)?.actionRound ?? 0;
  return state.started.reused?.[key]?.actionKey ?? idempotencyKey(state.sagaId, { key, kind: "do", round });
}
