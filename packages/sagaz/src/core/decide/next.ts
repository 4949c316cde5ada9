import { need } from "../must.ts";
import { keepJson } from "../json.ts";
import type { SagaEvent } from "../saga/events.ts";
import { isEnded } from "../saga/status.ts";
import { noteSilence } from "./asking.ts";
import { backward } from "./backward.ts";
import { forwardEvents, isComplete, startReady } from "./forward.ts";
import { toRecordedError } from "./outcome.ts";
import { resultsOf } from "../saga/evolve.ts";
import { findStep } from "../saga/state.ts";
import { decideUnsettled } from "./unsettled.ts";
import { unwind } from "./unwind.ts";
import { deadline, emptyMove, isHalted, isPastPivot, isPivotOpen, wake } from "./view.ts";
import type { Draft, LiveTask, Move, View } from "./view.ts";

/**
 * What has to happen next with a saga: the heart of the engine.
 *
 * Events come first and alone: the caller applies them and asks again, until there are none; then it does the rest of
 * the move. Effects (tasks) rely only on what is recorded, that is on events up to `live.ackedSeq`. Asking twice
 * answers the same, so a lost or repeated wake-up does no harm.
 */
export function next(view: View): Move {
  const move = emptyMove();
  watchTasks(view, move);
  if (isEnded(view.state.status) || move.abandon.length > 0) return move;
  const events = admission(view) ?? sagaTimeout(view, move) ?? answerCancel(view);
  if (events) return onlyEvents(events);
  go(view, move);
  return move.events.length > 0 ? onlyEvents(move.events) : move;
}

function go(view: View, move: Draft): void {
  const { direction, failure, parked, pausedAt } = view.state;
  if (direction === "backward") backward(view, move);
  else if (failure) unwind(view, move);
  else goForward(view, move);
  if (parked || pausedAt !== undefined) move.waitingFor = "operator";
}

function onlyEvents(events: readonly SagaEvent[]): Move {
  return { events, start: NONE, abort: NONE, abandon: NONE, wakeAt: undefined, waitingFor: null };
}

const NONE: readonly never[] = [];

function goForward(view: View, move: Draft): void {
  noteSilence(view);
  decideUnsettled(view, move);
  if (move.events.length > 0) return;
  const events = forwardEvents(view);
  if (events.length > 0) {
    move.events.push(...events);
    return;
  }
  if (isComplete(view)) {
    if (view.state.parked?.reason !== "output_failed") move.events.push(completion(view));
    return;
  }
  startReady(view, move);
}

function completion(view: View): SagaEvent {
  const { output } = view.definition;
  if (!output) return { type: "saga_completed", data: {} };
  try {
    return {
      type: "saga_completed",
      data: toOutput(view, output(resultsOf(view.state), view.state.started.input)),
    };
  } catch (error) {
    const { message } = toRecordedError(error, "error");
    return { type: "saga_parked", data: { reason: "output_failed", detail: message } };
  }
}

/** The output as the journal will give it back, so that it is the same before and after a crash. */
function toOutput({ definition, payloadBytesMax }: View, output: unknown): { output?: unknown } {
  const kept = keepJson(output, { what: `the output of "${definition.name}"`, bytesMax: payloadBytesMax });
  return kept === undefined ? {} : { output: kept };
}

/** Attempts that take too long are told to stop; those that do not stop either are given up on. */
function watchTasks(view: View, move: Draft): void {
  for (const task of view.live.tasks.values()) {
    const at = dueAt(view, task);
    if (isMoot(view, task)) move.abort.push({ task, cause: "cut_off" });
    else if (view.now < at) wake(move, at);
    else if (task.abortedAt === undefined) move.abort.push({ task, cause: "timeout" });
    else move.abandon.push(task);
  }
}

/** Its step got its result in another way: by mail from an owner before us, whose own attempt took effect. */
function isMoot(view: View, { abortedAt, task: { kind, key } }: LiveTask): boolean {
  return kind === "do" && abortedAt === undefined && findStep(view.state, key)?.status === "done";
}

function dueAt(view: View, { abortedAt, startedAt, task }: LiveTask): number {
  if (abortedAt !== undefined) return abortedAt + view.definition.settleMs;
  return startedAt + task.step.attemptTimeoutMs;
}

function admission(view: View): SagaEvent[] | undefined {
  const { status, parked } = view.state;
  if (view.live.draining) return undefined;
  if (status === "pending") return [{ type: "saga_admitted", data: {} }];
  // Whoever looks at this saga holds its definition: what it was parked for is over.
  if (parked?.reason === "definition_missing")
    return [{ type: "saga_unparked", data: { reason: parked.reason } }];
  return undefined;
}

/** Before the pivot the saga goes back; with the pivot in flight the time-out waits; after it a person decides. */
function sagaTimeout(view: View, move: Draft): SagaEvent[] | undefined {
  const { state, definition } = view;
  if (definition.timeoutMs === undefined || state.direction === "backward") return undefined;
  if (state.failure || state.timedOut || isHalted(view)) return undefined;
  const began = Math.max(state.createdAt, state.started.startAt ?? 0);
  const at = deadline(view, began, definition.timeoutMs);
  if (view.now < at) {
    wake(move, at);
    return undefined;
  }
  if (isPivotOpen(view)) return undefined;
  const timedOut: SagaEvent = { type: "saga_timed_out", data: {} };
  if (!isPastPivot(view)) return [timedOut];
  return [timedOut, { type: "saga_parked", data: { reason: "saga_timeout_after_pivot" } }];
}

/** A cancel that came while the pivot was in flight is answered when its outcome is known. */
function answerCancel(view: View): SagaEvent[] | undefined {
  const { state, definition } = view;
  if (!state.cancel || state.failure || !isPastPivot(view) || isPivotOpen(view)) return undefined;
  return [{ type: "cancel_refused", data: { pivot: need(definition.pivot, "a pivot that started exists") } }];
}
