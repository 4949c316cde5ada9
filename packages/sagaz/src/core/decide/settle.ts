import { LIMITS } from "../definition/policies.ts";
import type { StepDefinition } from "../definition/definition.ts";
import type { RecordedError, SagaEvent } from "../saga/events.ts";
import { findStep } from "../saga/state.ts";
import { backoff } from "./delay.ts";
import type { Outcome } from "./outcome.ts";
import { mayStillStart } from "./admission.ts";
import {
  deadline,
  isPastPivot,
  mayHaveHappened,
  readySince,
  retryOf,
  setTries,
  taskId,
  triesOf,
} from "./view.ts";
import type { Task, Unsettled, View } from "./view.ts";

type Unknown = Extract<Outcome, { type: "unknown" }>;
type Failed = Extract<Outcome, { type: "failed" }>;

/** What the end of a task means for the saga: the events to write, after noting in memory what is not worth one. */
export function settle(view: View, task: Task, outcome: Outcome): SagaEvent[] {
  switch (task.kind) {
    case "do":
      return settleAction(view, task, outcome);
    case "verify":
      return settleVerify(view, task, outcome);
    case "prepare":
      return settlePrepare(view, task, outcome);
    case "undo":
      return settleUndo(view, task, outcome);
  }
}

function settleAction(view: View, task: Task, outcome: Outcome): SagaEvent[] {
  if (!isOpen(view, task.key)) return [];
  switch (outcome.type) {
    case "done":
      return [done(task.key, outcome.result)];
    case "failed":
      return settleFailed(view, task, outcome);
    case "unknown":
      return settleUnknown(view, task, outcome);
  }
}

function settleUnknown(view: View, task: Task, { error, final = false }: Unknown): SagaEvent[] {
  const tries = triesOf(view, task.key);
  setTries(view, task.key, { action: tries.action + 1, unknown: true });
  view.live.retryAt.set(task.key, view.now + backoff(retryOf(view, task.step), tries.action + 1, view.luck));
  view.live.unsettled.set(task.key, { error, verified: false, final, again: false });
  return [];
}

function settleFailed(view: View, task: Task, outcome: Failed): SagaEvent[] {
  const { key, step } = task;
  const tries = triesOf(view, key);
  const attempts = tries.action + 1;
  setTries(view, key, { action: attempts });
  if (!outcome.final && hasAttemptsLeft(view, step, attempts)) {
    const delayMs = outcome.retryInMs ?? backoff(retryOf(view, step), attempts, view.luck);
    return postpone(view, key, { delayMs, error: outcome.error, type: "retry_scheduled" });
  }
  if (!tries.unknown) return failForGood(view, task, outcome.error);
  // An earlier attempt may have taken effect, whatever this one says.
  view.live.unsettled.set(key, { error: outcome.error, verified: false, final: true, again: false });
  return [];
}

/** A definite, final failure: the saga goes back, or, when the pivot is behind it, waits for a person. */
export function failForGood(
  view: View,
  task: { key: string; step: StepDefinition },
  error: RecordedError,
): SagaEvent[] {
  const { key, step } = task;
  const failed: SagaEvent = { type: "step_failed", step: key, data: { error } };
  if (step.role === "pivot" || !isPastPivot(view)) return [failed];
  return [
    failed,
    { type: "saga_parked", data: { reason: "step_failed_after_pivot", step: key, detail: error.message } },
  ];
}

/** True while the retry policy and the step's time-out allow another attempt. */
export function hasAttemptsLeft(view: View, step: StepDefinition, attempts: number): boolean {
  const policy = retryOf(view, step);
  if (attempts >= policy.maxAttempts) return false;
  const since = readySince(view, step);
  if (policy.forMs !== undefined && view.now >= deadline(view, since, policy.forMs)) return false;
  return step.stepTimeoutMs === undefined || view.now < deadline(view, since, step.stepTimeoutMs);
}

interface Delay {
  readonly delayMs: number;
  readonly error: RecordedError;
  readonly type: "retry_scheduled" | "undo_retry_scheduled";
}

/** A long delay is written down, so that the saga can leave memory; a short one is not worth a write. */
function postpone(view: View, key: string, delay: Delay): SagaEvent[] {
  const at = view.now + delay.delayMs;
  view.live.retryAt.set(key, at);
  if (delay.delayMs <= LIMITS.memoryDelayMsMax) return [];
  const { error: before, undoError } = findStep(view.state, key) ?? {};
  const error = unlessKnown(delay.error, delay.type === "retry_scheduled" ? before : undoError);
  return [{ type: delay.type, step: key, data: { at, error } }];
}

/** What fails for a day is read, with all its retries, before each of them: the same stack over and over is most of that. */
function unlessKnown(error: RecordedError, before: RecordedError | undefined): RecordedError {
  const isKnown =
    before?.name === error.name && before.message === error.message && before.code === error.code;
  if (!isKnown) return error;
  const { stack: _, ...rest } = error;
  return rest;
}

function settleVerify(view: View, task: Task, outcome: Outcome): SagaEvent[] {
  const unsettled = view.live.unsettled.get(task.key);
  if (!unsettled || !isOpen(view, task.key)) return [];
  const verdict = outcome.type === "done" ? toVerdict(outcome.result) : { outcome: "unknown" as const };
  if (verdict.outcome === "done") {
    view.live.unsettled.delete(task.key);
    return [{ type: "step_done", step: task.key, data: { result: verdict.result, verified: true } }];
  }
  if (verdict.outcome === "unknown") {
    view.live.unsettled.set(task.key, { ...unsettled, verified: true });
    return [];
  }
  return notDone(view, task, unsettled);
}

function notDone(view: View, task: Task, unsettled: Unsettled): SagaEvent[] {
  const { key, step } = task;
  view.live.unsettled.delete(key);
  setTries(view, key, { unknown: false });
  const mayBegin = mayStillStart(view, step);
  const again =
    unsettled.again || (!unsettled.final && hasAttemptsLeft(view, step, triesOf(view, key).action));
  if (mayBegin && again) return [];
  if (step.kind === "command") return mayBeUnderway(view, task, unsettled.error);
  // Of a saga that goes back nothing is tried again: what certainly was not done just stays undone.
  return mayBegin ? failForGood(view, task, unsettled.error) : [];
}

/**
 * A command that was not done may still be on its way, so that it is not certain that it will not be. Its undo forbids it; a
 * pivot has none, so a person has to see to it.
 */
function mayBeUnderway(view: View, { key, step }: Task, error: RecordedError): SagaEvent[] {
  if (step.role === "pivot")
    return [{ type: "saga_parked", data: { reason: "pivot_unknown", step: key, detail: error.message } }];
  if (isPastPivot(view)) return failForGood(view, { key, step }, error);
  return [{ type: "step_maybe_done", step: key, data: { error } }];
}

function toVerdict(
  answer: unknown,
): { outcome: "done"; result: unknown } | { outcome: "not_done" | "unknown" } {
  const { outcome, result } = (answer ?? {}) as { outcome?: unknown; result?: unknown };
  if (outcome === "done") return { outcome, result };
  return { outcome: outcome === "not_done" ? outcome : "unknown" };
}

function settlePrepare(view: View, task: Task, outcome: Outcome): SagaEvent[] {
  if (!isOpen(view, task.key)) return [];
  // Preparing has no effects, so an unknown outcome is as good as a failed one.
  if (outcome.type === "unknown")
    return settleFailed(view, task, { type: "failed", error: outcome.error, final: false });
  if (outcome.type === "failed") return settleFailed(view, task, outcome);
  return prepared(view, task, outcome.result);
}

function prepared(view: View, task: Task, result: unknown): SagaEvent[] {
  const { key, step } = task;
  if (step.kind === "map") return [{ type: "map_listed", step: key, data: { items: result as unknown[] } }];
  if (step.kind === "sleep")
    return [{ type: "timer_set", step: key, data: { until: view.now + (result as number) } }];
  if (step.kind === "command")
    return [{ type: "command_sent", step: key, data: { direction: "do", attempt: task.attempt } }];
  const { childId, input } = result as { childId: string; input: unknown };
  return [{ type: "child_started", step: key, data: { childId, input } }];
}

function settleUndo(view: View, task: Task, outcome: Outcome): SagaEvent[] {
  const state = findStep(view.state, task.key);
  // A late effect has begun a new round, or a person has settled it: what this call did is not what counts.
  if (!state || state.undoRound !== task.round || !mayHaveHappened(state)) return [];
  if (outcome.type !== "done") return undoFailed(view, task, outcome);
  // A command's undo has only been asked for.
  if (task.step.kind === "command")
    return [{ type: "command_sent", step: task.key, data: { direction: "undo", attempt: task.attempt } }];
  return [{ type: "step_compensated", step: task.key, data: withResult(outcome.result) }];
}

/** A compensation is called again whatever went wrong, until it has used its attempts, or says itself that it is no use. */
function undoFailed(view: View, { key, step }: Task, outcome: Failed | Unknown): SagaEvent[] {
  const { error } = outcome;
  const asked = outcome.type === "failed" ? outcome : { final: false, retryInMs: undefined };
  const attempts = triesOf(view, key).undo + 1;
  setTries(view, key, { undo: attempts });
  if (!asked.final && attempts < step.undoRetry.maxAttempts) {
    const delayMs = asked.retryInMs ?? backoff(step.undoRetry, attempts, view.luck);
    return postpone(view, key, { delayMs, error, type: "undo_retry_scheduled" });
  }
  const failed: SagaEvent = {
    type: "compensation_failed",
    step: key,
    data: { error, policy: step.onExhausted },
  };
  if (step.onExhausted === "continue") return [failed];
  return [
    failed,
    { type: "saga_parked", data: { reason: "compensation_failed", step: key, detail: error.message } },
  ];
}

/**
 * What an action's end means that comes after the engine had stopped waiting for it. Only an effect matters: it is
 * the step's result if nothing was undone yet, and else has to be undone once more.
 */
export function settleLate(view: View, task: Task, outcome: Outcome): SagaEvent[] {
  const { key } = task;
  const effect = effectOf(task, outcome);
  if (!effect || isSettledFor(view, key)) return [];
  if (!isOpen(view, key) && !isNotUndone(view, key))
    return [{ type: "late_effect", step: key, data: effect }];
  return outcome.type === "done" ? [done(key, outcome.result)] : [];
}

/** What an action has left in the world, though nobody waited for it: its result, or none that could be kept. */
export function effectOf(task: Task, outcome: Outcome): { readonly result?: unknown } | undefined {
  if (task.kind !== "do") return undefined;
  if (outcome.type === "done") return withResult(outcome.result);
  return outcome.type === "unknown" && outcome.final ? {} : undefined;
}

function isSettledFor(view: View, key: string): boolean {
  const status = findStep(view.state, key)?.status;
  return status === "done" || status === "skipped" || view.state.status === "forced_closed";
}

/** It counts as maybe done, and no compensation of it has begun. */
function isNotUndone(view: View, key: string): boolean {
  const step = findStep(view.state, key);
  if (step?.status !== "maybe_done" || step.asked || triesOf(view, key).undo > 0) return false;
  return !view.live.tasks.has(taskId({ kind: "undo", key }));
}

/** True while an action's outcome is what the saga waits for. */
export function isOpen(view: View, key: string): boolean {
  if (view.state.direction !== "forward") return false;
  return (findStep(view.state, key)?.status ?? "pending") === "pending";
}

function done(step: string, result: unknown): SagaEvent {
  return { type: "step_done", step, data: withResult(result) };
}

function withResult(result: unknown): { result?: unknown } {
  return result === undefined ? {} : { result };
}
