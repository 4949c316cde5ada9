import type { CommandStep, StepDefinition } from "../definition/definition.ts";
import { need } from "../must.ts";
import type { RecordedError, SagaEvent } from "../saga/events.ts";
import { itemKey } from "../saga/state.ts";
import type { SagaState, StepState } from "../saga/state.ts";
import { replyDue, silence } from "./asking.ts";
import { isDelayed, noReply, waitFor } from "./forward.ts";
import { settle } from "./settle.ts";
import { toTask } from "./task.ts";
import { isHalted, mayHaveHappened, taskId, wake } from "./view.ts";
import type { Draft, View } from "./view.ts";

/**
 * Undoes every step that was or may have been done, each after those that could see its result. What is independent
 * is undone in parallel, also while another compensation waits for a person.
 */
export function backward(view: View, move: Draft): void {
  let open = false;
  for (const step of view.definition.steps) {
    if (step.role !== "compensatable" || isUndone(view.state, step)) continue;
    open = true;
    if (isItsTurn(view, step)) undoStep(view, move, step);
  }
  if (!open && view.live.tasks.size === 0) move.events.push(compensated(view));
}

/** True when the step's undo, or of a map step those of all its items, need nothing more. */
function isUndone(state: SagaState, step: StepDefinition): boolean {
  const stepState = state.steps.get(step.name);
  if (!stepState) return true;
  if (step.kind === "map") return stepState.itemStates.every((item) => isClear(item));
  if (step.kind === "child" && stepState.childId !== undefined && stepState.status === "pending")
    return false;
  return isClear(stepState);
}

/** True when this step or item needs no undo, or no more of it: one that waits for a person is still to come. */
export function isClear(step: StepState | undefined): boolean {
  if (mayHaveHappened(step)) return false;
  return step?.status !== "compensation_failed" || step.onExhausted === "continue";
}

/** All undos that come first are done, and on record. */
function isItsTurn(view: View, step: StepDefinition): boolean {
  if (view.state.compensationSeq > view.live.ackedSeq) return false;
  const before = view.definition.graph.undoneBefore.get(step.name);
  for (const name of need(before, "every compensatable step has its place in the undo order")) {
    const other = view.definition.graph.byName.get(name);
    if (other && !(isUndone(view.state, other) && isOnRecord(view, name))) return false;
  }
  return true;
}

function isOnRecord(view: View, name: string): boolean {
  const step = view.state.steps.get(name);
  if (!step) return true;
  return (
    step.seq <= view.live.ackedSeq &&
    !step.itemStates.some((item) => item !== undefined && item.seq > view.live.ackedSeq)
  );
}

function undoStep(view: View, move: Draft, step: StepDefinition): void {
  if (step.kind === "child") return undoChild(view, move, step);
  if (step.kind === "command") return undoCommand(view, move, step);
  if (step.kind !== "map") return undoOne(view, move, { step, state: view.state.steps.get(step.name) });
  const { itemStates: items } = need(view.state.steps.get(step.name), "what is undone has been done");
  let free = step.concurrency;
  for (let index = 0; index < items.length && free > 0; index++) {
    if (isClear(items[index])) continue;
    free--;
    undoOne(view, move, { step, state: items[index], index });
  }
}

function undoOne(
  view: View,
  move: Draft,
  { step, state, index }: { step: StepDefinition; state: StepState | undefined; index?: number },
): void {
  if (!state || !mayHaveHappened(state) || state.seq > view.live.ackedSeq) return;
  const key = index === undefined ? step.name : itemKey(step.name, index);
  if (isHalted(view) || view.live.tasks.has(taskId({ kind: "undo", key }))) return;
  if (!isDelayed(view, move, key)) move.start.push(toTask(view, { kind: "undo", step, index }));
}

/** A participant undoes on request; its reply comes back as mail. */
function undoCommand(view: View, move: Draft, step: CommandStep): void {
  if (view.state.blocked.has(step.name)) return;
  const due = replyDue(view, step, "undo");
  if (due !== undefined) {
    if (isHalted(view) || view.now < due) return awaitUndone(view, move, due);
    const events = silenceOnUndo(view, step);
    move.events.push(...events);
    if (events.length > 0) return;
  }
  undoOne(view, move, { step, state: view.state.steps.get(step.name) });
}

function awaitUndone(view: View, move: Draft, due: number): void {
  waitFor(move, "reply");
  if (!isHalted(view)) wake(move, due);
}

/** Counts as an attempt that failed, if there may be another; else a person has to look. */
function silenceOnUndo(view: View, step: CommandStep): SagaEvent[] {
  if (step.replyTimeoutMs === undefined) return [noReply(step)];
  return settle(view, toTask(view, { kind: "undo", step }), { type: "unknown", error: silence(step) });
}

/** A child undoes itself on request; its end comes back as mail. */
function undoChild(view: View, move: Draft, step: StepDefinition): void {
  if (view.state.blocked.has(step.name)) return;
  const state = view.state.steps.get(step.name);
  if (state?.childParked === "forced_closed") return failUndo(view, move, step);
  if (state?.childUndoRequested) return waitFor(move, "child");
  if (!isHalted(view)) move.events.push({ type: "child_undo_requested", step: step.name, data: {} });
}

/** A child that was closed by force stays as it stands: what is left of it is for a person to look after. */
function failUndo(view: View, move: Draft, { name: step }: StepDefinition): void {
  if (isHalted(view)) return;
  const detail = "the child saga was closed by force and cannot be undone";
  const error: RecordedError = { name: "ChildEnded", message: detail, kind: "business" };
  move.events.push(
    { type: "compensation_failed", step, data: { error, policy: "park" } },
    { type: "saga_parked", data: { reason: "compensation_failed", step, detail } },
  );
}

function compensated(view: View): SagaEvent {
  const exceptions: string[] = [];
  for (const step of view.state.steps.values()) {
    for (const one of [step, ...step.itemStates]) {
      if (one && isException(view.state, one)) exceptions.push(one.key);
    }
  }
  return { type: "saga_compensated", data: { exceptions } };
}

/** Undo that failed and was let go, or that a person skipped. */
function isException(state: SagaState, step: StepState): boolean {
  if (step.status === "compensation_failed") return true;
  return step.status === "skipped" && step.seq > state.compensationSeq;
}
