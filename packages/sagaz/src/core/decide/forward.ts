import type {
  ActionStep,
  CommandStep,
  MapStep,
  SignalStep,
  StepDefinition,
} from "../definition/definition.ts";
import type { SagaEvent } from "../saga/events.ts";
import { itemKey, findStep } from "../saga/state.ts";
import type { StepState } from "../saga/state.ts";
import { replyDue, silence } from "./asking.ts";
import { mayStartNow } from "./admission.ts";
import { toTask } from "./task.ts";
import { deadline, isBlocked, isReady, isSatisfied, readySince, taskId, wake } from "./view.ts";
import type { Draft, View } from "./view.ts";
import type { WaitReason } from "../saga/status.ts";

const EVER = Number.POSITIVE_INFINITY;

/**
 * Events that follow from the state alone: they ride in the write of what caused them. A pivot is journalled as
 * started before its first attempt, together with its last dependency, so it costs no commit of its own.
 */
export function forwardEvents(view: View): readonly SagaEvent[] {
  for (const step of view.definition.steps) {
    if (!isOpen(view, step) || !isReady(view, step, EVER)) continue;
    const events = stepEvents(view, step);
    if (events.length > 0) return events;
  }
  return NONE;
}

const NONE: readonly never[] = [];

function isOpen(view: View, step: StepDefinition): boolean {
  return (view.state.steps.get(step.name)?.status ?? "pending") === "pending";
}

function stepEvents(view: View, step: StepDefinition): readonly SagaEvent[] {
  if (step.kind === "map") return mapEvents(view, step);
  if (!mayStartNow(view, step)) return NONE;
  if (step.kind === "signal") return signalEvents(view, step);
  if (isBlocked(view, step.name)) return NONE;
  if (step.role === "pivot" && view.state.pivotStartedSeq === undefined) {
    return [{ type: "pivot_started", step: step.name, data: {} }];
  }
  if (step.kind === "command") return silenceEvents(view, step);
  return step.kind === "sleep" ? sleepEvents(view, step.name) : NONE;
}

function sleepEvents(view: View, step: string): SagaEvent[] {
  const until = view.state.steps.get(step)?.timerUntil;
  return until !== undefined && until <= view.now ? [{ type: "step_done", step, data: {} }] : [];
}

function silenceEvents(view: View, step: CommandStep): SagaEvent[] {
  const due = step.replyTimeoutMs === undefined ? replyDue(view, step, "do") : undefined;
  return due !== undefined && due <= view.now ? [noReply(step)] : [];
}

/** The reply did not come, and nobody asks again but a person. */
export function noReply(step: CommandStep): SagaEvent {
  return {
    type: "saga_parked",
    data: { reason: "reply_timeout", step: step.name, detail: silence(step).message },
  };
}

/** A signal that comes after its time was up is what the parked saga waits for: nobody has to say so again. */
function signalEvents(view: View, step: SignalStep): SagaEvent[] {
  const arrived = view.state.signals.find(({ signal }) => signal === step.signal);
  if (arrived) {
    return [{ type: "step_done", step: step.name, data: { result: arrived.payload, consumed: step.signal } }];
  }
  if (isBlocked(view, step.name)) return [];
  if (view.now < deadline(view, readySince(view, step), step.waitMs)) return [];
  const detail = `signal "${step.signal}" did not come within ${step.waitMs} ms`;
  return [{ type: "saga_parked", data: { reason: "signal_timeout", step: step.name, detail } }];
}

/** A map step is done when all of its items are; the list of their results is its result. */
function mapEvents(view: View, step: MapStep): SagaEvent[] {
  const state = view.state.steps.get(step.name);
  if (!state?.items || state.itemsDone < state.items.length) return [];
  const result = Object.freeze(state.items.map((_, index) => state.itemStates[index]?.result ?? null));
  return [{ type: "step_done", step: step.name, data: { result } }];
}

/** Begins what may begin, and notes what is waited for. */
export function startReady(view: View, move: Draft): void {
  for (const step of view.definition.steps) {
    if (!isOpen(view, step) || !isReady(view, step, view.live.ackedSeq)) continue;
    if (isBlocked(view, step.name)) continue;
    startStep(view, move, step);
  }
}

function startStep(view: View, move: Draft, step: StepDefinition): void {
  switch (step.kind) {
    case "action":
      return startAction(view, move, { step });
    case "command":
      return startCommand(view, move, step);
    case "map":
      return startMap(view, move, step);
    case "sleep":
      return startSleep(view, move, step);
    case "child":
      return startChild(view, move, step);
    case "signal":
      waitFor(move, "signal");
      return wakeIfFree(view, move, {
        step,
        at: deadline(view, readySince(view, step), step.waitMs),
      });
  }
}

function startAction(
  view: View,
  move: Draft,
  { step, index }: { step: ActionStep | MapStep; index?: number | undefined },
): void {
  const key = index === undefined ? step.name : itemKey(step.name, index);
  if (view.live.tasks.has(taskId({ kind: "do", key })) || view.live.unsettled.has(key)) return;
  if (isBlocked(view, key) || !mayStartNow(view, step) || !isPivotRecorded(view, step)) return;
  if (isDelayed(view, move, key)) return;
  move.start.push(toTask(view, { kind: "do", step, index }));
}

/** The pivot's first attempt waits until its start is on record. */
function isPivotRecorded(view: View, step: StepDefinition): boolean {
  if (step.role !== "pivot") return true;
  const { pivotStartedSeq } = view.state;
  return pivotStartedSeq !== undefined && pivotStartedSeq <= view.live.ackedSeq;
}

/** True while a step waits for its next attempt, in memory or on record. */
export function isDelayed(view: View, move: Draft, key: string): boolean {
  const at = view.live.retryAt.get(key) ?? findStep(view.state, key)?.retryAt;
  if (at === undefined || at <= view.now) return false;
  waitFor(move, "retry");
  wake(move, at);
  return true;
}

function startMap(view: View, move: Draft, step: MapStep): void {
  const state = view.state.steps.get(step.name);
  if (!state?.items) return prepare(view, move, step);
  if (state.itemsSeq > view.live.ackedSeq) return;
  let free = step.concurrency - inFlight(view, step);
  for (let index = 0; index < state.items.length && free > 0; index++) {
    const item = state.itemStates[index];
    if (!holdsPlace(item, view.live.ackedSeq) || isInFlight(view, step, index)) continue;
    free--;
    if (isPending(item)) startAction(view, move, { step, index });
  }
}

/** Attempts of a map's items in flight: also beyond the first open ones, when an earlier one was opened again by hand. */
function inFlight(view: View, { name }: MapStep): number {
  let count = 0;
  for (const { task } of view.live.tasks.values())
    if (task.kind !== "undo" && task.step.name === name) count++;
  return count;
}

function isInFlight(view: View, { name }: MapStep, index: number): boolean {
  return view.live.tasks.has(taskId({ kind: "do", key: itemKey(name, index) }));
}

/**
 * An item has its place until its outcome is on record: a crash forgets the outcome, and then whoever takes the saga
 * over counts on no more than the first `concurrency` open items having run.
 */
function holdsPlace(item: StepState | undefined, ackedSeq: number): boolean {
  return isPending(item) || item.seq > ackedSeq;
}

function isPending(item: StepState | undefined): item is undefined | (StepState & { status: "pending" }) {
  return item === undefined || item.status === "pending";
}

function startSleep(view: View, move: Draft, step: StepDefinition): void {
  const until = view.state.steps.get(step.name)?.timerUntil;
  if (until === undefined) return prepare(view, move, step);
  waitFor(move, "timer");
  wakeIfFree(view, move, { step, at: until });
}

/** A saga that may not go on is not woken for a time that has come: it would ask for the same time again, for ever. */
function wakeIfFree(view: View, move: Draft, { step, at }: { step: StepDefinition; at: number }): void {
  if (mayStartNow(view, step)) wake(move, at);
}

function startCommand(view: View, move: Draft, step: CommandStep): void {
  if (view.live.unsettled.has(step.name)) return;
  const at = replyDue(view, step, "do");
  if (at === undefined) return prepare(view, move, step);
  waitFor(move, "reply");
  wakeIfFree(view, move, { step, at });
}

function startChild(view: View, move: Draft, step: StepDefinition): void {
  if (view.state.steps.get(step.name)?.childId === undefined) return prepare(view, move, step);
  waitFor(move, "child");
}

function prepare(view: View, move: Draft, step: StepDefinition): void {
  if (view.live.tasks.has(taskId({ kind: "prepare", key: step.name })) || !mayStartNow(view, step)) return;
  if (!isPivotRecorded(view, step) || isDelayed(view, move, step.name)) return;
  move.start.push(toTask(view, { kind: "prepare", step }));
}

const BY_WEIGHT: readonly WaitReason[] = ["retry", "timer", "signal", "reply", "child", "operator", "start"];

/** Notes what the saga waits for; of several the one that will end soonest by itself is shown. */
export function waitFor(move: Draft, reason: WaitReason): void {
  if (move.waitingFor === null || BY_WEIGHT.indexOf(reason) < BY_WEIGHT.indexOf(move.waitingFor)) {
    move.waitingFor = reason;
  }
}

/** True when every step has its result. */
export function isComplete(view: View): boolean {
  for (const { name } of view.definition.steps) if (!isSatisfied(view, name, EVER)) return false;
  return true;
}
