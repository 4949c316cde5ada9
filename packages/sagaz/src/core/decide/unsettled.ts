import { must } from "../must.ts";
import type { RecordedError, SagaEvent } from "../saga/events.ts";
import { findStep, fromKey } from "../saga/state.ts";
import { mayStillStart } from "./admission.ts";
import { hasAttemptsLeft } from "./settle.ts";
import { toTask } from "./task.ts";
import { isHalted, isPastPivot, stepOf, taskId, triesOf } from "./view.ts";
import type { Draft, Unsettled, View } from "./view.ts";
import type { ActionStep, CommandStep, MapStep, StepDefinition } from "../definition/definition.ts";

/**
 * Decides about steps of which nobody knows whether they were done: ask `verify`, try again, or give up on knowing.
 * Unknown is not failure: what may have happened is undone, and a pivot that may have happened waits for a person.
 */
export function decideUnsettled(view: View, move: Draft): void {
  if (isHalted(view)) return;
  for (const [key, unsettled] of view.live.unsettled) {
    if (view.live.tasks.has(taskId({ kind: "do", key }))) continue;
    const step = stepOf(view, key);
    must(step !== undefined && acts(step), "only what acts can be of unknown outcome");
    if ((findStep(view.state, key)?.status ?? "pending") !== "pending") {
      view.live.unsettled.delete(key);
      continue;
    }
    decide(view, move, { key, step, unsettled });
  }
}

function acts(step: StepDefinition): step is Case["step"] {
  return step.kind === "action" || step.kind === "command" || step.kind === "map";
}

interface Case {
  readonly key: string;
  readonly step: ActionStep | CommandStep | MapStep;
  readonly unsettled: Unsettled;
}

function decide(view: View, move: Draft, { key, step, unsettled }: Case): void {
  if (!unsettled.verified && step.verify) {
    move.start.push(toTask(view, { kind: "verify", step, index: fromKey(key).index }));
    return;
  }
  view.live.unsettled.delete(key);
  if (mayRerun(view, { key, step, unsettled })) return;
  move.events.push(...giveUp(view, { key, step, unsettled }));
}

/** With its attempt counted and its delay set, a step that is no longer unsettled is simply tried again. */
function mayRerun(view: View, { key, step, unsettled }: Case): boolean {
  if (unsettled.final || !mayStillStart(view, step)) return false;
  if (unsettled.again) return true;
  return step.onUnknown === "rerun" && hasAttemptsLeft(view, step, triesOf(view, key).action);
}

function giveUp(view: View, { key, step, unsettled }: Case): SagaEvent[] {
  const { error, again } = unsettled;
  if (step.role === "pivot") return [park("pivot_unknown", key, error.message)];
  if (isPastPivot(view)) return [park("outcome_unknown", key, error.message)];
  switch (step.onUnknown) {
    case "park":
      // The saga goes back, and a person has said to go on: a participant takes an undo also of what was never done.
      if (again && step.kind === "command") return [maybeDone(key, error)];
      return [park("outcome_unknown", key, error.message)];
    case "rerun":
    case "undo":
      return [maybeDone(key, error)];
  }
}

function maybeDone(step: string, error: RecordedError): SagaEvent {
  return { type: "step_maybe_done", step, data: { error } };
}

function park(reason: "pivot_unknown" | "outcome_unknown", step: string, detail: string): SagaEvent {
  return { type: "saga_parked", data: { reason, step, detail } };
}
