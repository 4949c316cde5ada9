import { SagaError } from "../errors.ts";
import { RareMap } from "../rare-map.ts";
import type { JournalEntry, Reused, SagaStarted, Tries } from "./events.ts";
import { rememberSignal } from "./remember-signal.ts";
import { fromKey, stepAt } from "./state.ts";
import type { SagaState, StepState } from "./state.ts";
import { isEnded } from "./status.ts";

type Entry<Type extends JournalEntry["type"]> = Extract<JournalEntry, { type: Type }>;

/**
 * Folds a whole journal. `evolve` one by one gives the same.
 *
 * @throws SagaError `SAGAZ_STUCK` when the journal breaks a rule.
 */
export function fold(sagaId: string, journal: Iterable<JournalEntry>): SagaState {
  let state: SagaState | undefined;
  for (const entry of journal) state = state ? evolve(state, entry) : begin(sagaId, entry);
  if (!state) throw stuck(sagaId, "a journal has at least one event");
  return state;
}

/** The state after the first event, `saga_started`. */
function begin(sagaId: string, entry: JournalEntry): SagaState {
  if (entry.type !== "saga_started" || entry.seq !== 1) {
    throw stuck(
      sagaId,
      `a journal begins with saga_started as event 1, not ${entry.type} as event ${entry.seq}`,
    );
  }
  const state = blank(sagaId, entry.data, entry.at);
  const reused = entry.data.reused ?? {};
  for (const [key, step] of Object.entries(reused)) reuse(state, key, step);
  const { pivot } = entry.data;
  if (pivot !== undefined && Object.hasOwn(reused, pivot)) state.pivotStartedSeq = entry.seq;
  return state;
}

function blank(sagaId: string, started: SagaStarted, at: number): SagaState {
  return {
    sagaId,
    started,
    parent: started.parent,
    status: started.admitted ? "running" : "pending",
    direction: "forward",
    seq: 1,
    at,
    createdAt: at,
    finishedAt: undefined,
    steps: new Map(),
    failure: undefined,
    failedAt: 0,
    compensationSeq: 0,
    cancel: undefined,
    timedOut: false,
    pivotStartedSeq: undefined,
    parked: undefined,
    blocked: new RareMap(),
    pausedAt: undefined,
    pauses: [],
    signals: [],
    signalIds: new RareMap(),
    output: undefined,
    exceptions: [],
    forkId: undefined,
  };
}

/** A fork begins with its source's steps done: their results are read, and their undo is the fork's to run. */
function reuse(state: SagaState, key: string, { items, childId, childParked, ...done }: Reused): void {
  const step = stepAt(state, key);
  Object.assign(step, { items, childId, childParked });
  if (!("result" in done)) return;
  mark(state, step, "done");
  step.result = done.result;
  countItem(state, key);
}

/**
 * The state after one more event. Changes and returns the state it was given.
 *
 * @throws SagaError `SAGAZ_STUCK` when the event cannot follow: a gap, or a transition that no rule allows.
 */
export function evolve(state: SagaState, entry: JournalEntry): SagaState {
  demand(state, entry.seq === state.seq + 1, `event ${state.seq + 1} is missing before ${entry.seq}`);
  const before = Math.max(entry.at, state.at);
  state.seq = entry.seq;
  state.at = before;
  for (const [key, tries] of Object.entries(entry.data.tries ?? {})) carry(stepAt(state, key), tries);
  const handler = HANDLERS[entry.type] as (state: SagaState, entry: JournalEntry) => void;
  demand(state, handler !== undefined, `no rule for the event type ${entry.type}`);
  handler(state, entry);
  return state;
}

function carry(step: StepState, tries: Tries): void {
  step.tries = { ...step.tries, ...tries };
}

const HANDLERS: { [Type in JournalEntry["type"]]: (state: SagaState, entry: Entry<Type>) => void } = {
  saga_started: (state) => demand(state, false, "a saga starts once"),
  saga_admitted: (state) => {
    demand(state, state.status === "pending", "only a pending saga is admitted");
    state.status = "running";
  },
  attempts_noted: () => {},
  signal_received: (state, { data }) => {
    state.signals.push({ signal: data.signal, payload: data.payload, signalId: data.signalId });
    if (data.signalId !== undefined) rememberSignal(state, data.signalId);
  },
  saga_timed_out: (state) => {
    live(state, "saga_timed_out");
    state.timedOut = true;
    if (state.pivotStartedSeq === undefined) goBack(state, { kind: "timeout" });
  },
  cancel_requested: (state, { data }) => {
    state.cancel = { actor: data.actor, reason: data.reason };
    if (state.pivotStartedSeq === undefined) goBack(state, { kind: "cancel", ...state.cancel });
  },
  cancel_refused: (state) => {
    state.cancel = undefined;
  },
  compensation_started: (state, { data }) => {
    demand(state, state.direction === "forward", "compensation starts once");
    demand(state, state.status !== "forced_closed", "a closed saga is not compensated");
    state.failure ??= data.cause;
    state.direction = "backward";
    state.compensationSeq = state.seq;
    unpark(state);
    state.status = "compensating";
    state.finishedAt = undefined;
    state.cancel = undefined;
  },
  saga_paused: (state) => {
    live(state, "saga_paused");
    state.pausedAt ??= state.at;
  },
  saga_resumed: (state) => {
    if (state.pausedAt !== undefined) state.pauses.push({ from: state.pausedAt, to: state.at });
    state.pausedAt = undefined;
  },
  retry_requested: (state) => {
    demand(state, state.status === "parked", "only a parked saga is retried");
    for (const key of state.blocked.keys()) tryAgain(state, stepAt(state, key));
    state.blocked.clear();
    resume(state);
  },
  saga_parked: (state, { data }) => {
    live(state, "saga_parked");
    state.status = "parked";
    // A reason without a step stops everything, so it takes the place of one that blocks a single step.
    if (!state.parked || data.step === undefined) {
      const crashed = (data.crashed ?? state.parked?.crashed) ? ({ crashed: true } as const) : {};
      state.parked = { reason: data.reason, step: data.step, detail: data.detail, ...crashed };
    }
    if (data.step !== undefined) state.blocked.set(data.step, data.reason);
  },
  saga_unparked: (state) => {
    demand(state, state.status === "parked", "only a parked saga is unparked");
    resume(state);
    const [still] = state.blocked;
    if (!still) return;
    state.status = "parked";
    state.parked = { reason: still[1], step: still[0], detail: undefined };
  },
  saga_completed: (state, { data }) => {
    demand(state, state.direction === "forward", "a saga that went back does not complete");
    end(state, "completed");
    state.output = data.output;
  },
  saga_compensated: (state, { data }) => {
    demand(state, state.direction === "backward", "only a compensating saga ends as compensated");
    end(state, data.exceptions.length > 0 ? "compensated_with_exceptions" : "compensated");
    state.exceptions = data.exceptions;
  },
  saga_force_closed: (state) => {
    live(state, "saga_force_closed");
    end(state, "forced_closed");
  },
  parent_changed: (state, { data }) => {
    demand(state, state.parent !== undefined, "only a child changes its parent");
    state.parent = data.parent;
  },
  saga_forked: (state, { data }) => {
    demand(state, isEnded(state.status), "only an ended saga is forked");
    demand(state, state.forkId === undefined, "a saga is forked once");
    state.forkId = data.forkId;
  },

  step_done: (state, { step: key, data }) => {
    const step = stepAt(state, key);
    const open = step.status === "pending" || step.status === "maybe_done";
    // A person may know better than a failure that was recorded.
    const overruled = step.status === "failed" && data.by !== undefined;
    demand(state, open || overruled, `${key} is ${step.status}, not open`);
    mark(state, step, "done");
    step.result = data.result;
    step.error = undefined;
    if (data.consumed !== undefined) consume(state, data.consumed);
    countItem(state, key);
    unblock(state, key);
  },
  step_failed: (state, { step: key, data }) => {
    const step = stepAt(state, key);
    demand(state, step.status === "pending", `${key} is ${step.status}, not open`);
    mark(state, step, "failed");
    step.error = data.error;
    unblock(state, key);
    failForward(state, key, data.error);
  },
  step_maybe_done: (state, { step: key, data }) => {
    const step = stepAt(state, key);
    demand(state, step.status === "pending", `${key} is ${step.status}, not open`);
    mark(state, step, "maybe_done");
    step.error = data.error;
    unblock(state, key);
    failForward(state, key, data.error);
  },
  retry_scheduled: (state, { step: key, data }) => {
    const step = stepAt(state, key);
    step.retryAt = data.at;
    step.error = data.error;
  },
  pivot_started: (state, { step: key }) => {
    demand(state, state.direction === "forward", "a pivot starts on the way forward");
    stepAt(state, key);
    state.pivotStartedSeq = state.seq;
  },
  timer_set: (state, { step: key, data }) => {
    stepAt(state, key).timerUntil = data.until;
  },
  command_sent: (state, { step: key, data: { direction, attempt } }) => {
    const step = stepAt(state, key);
    const isOpen = step.status === "pending" ? direction === "do" : direction === "undo";
    demand(state, isOpen, `${key} is ${step.status}: nobody is asked to ${direction} it`);
    step.asked = { direction, attempt, at: state.at };
  },
  map_listed: (state, { step: key, data }) => {
    Object.assign(stepAt(state, key), { items: data.items, itemsSeq: state.seq });
  },
  child_started: (state, { step: key, data }) => {
    stepAt(state, key).childId = data.childId;
  },
  child_parked: (state, { step: key, data }) => {
    stepAt(state, key).childParked = data.reason;
  },
  late_effect: (state, { step: key, data }) => {
    const step = stepAt(state, key);
    mark(state, step, "done");
    step.result = data.result;
    // A participant that remembers the first undo under its key would drop a second one under the same.
    step.undoRound++;
    step.tries = { ...step.tries, undo: 0, unknown: false };
    unblock(state, key);
    if (isEnded(state.status)) state.status = "compensating";
    state.finishedAt = undefined;
  },
  undo_retry_scheduled: (state, { step: key, data }) => {
    const step = stepAt(state, key);
    step.retryAt = data.at;
    step.undoError = data.error;
  },
  child_undo_requested: (state, { step: key }) => {
    stepAt(state, key).childUndoRequested = true;
  },
  step_compensated: (state, { step: key, data }) => {
    const step = stepAt(state, key);
    demand(state, state.direction === "backward", "a step is undone on the way back");
    mark(state, step, "compensated");
    step.undoResult = data.result;
    unblock(state, key);
  },
  compensation_failed: (state, { step: key, data }) => {
    const step = stepAt(state, key);
    demand(state, state.direction === "backward", "a compensation fails on the way back");
    mark(state, step, "compensation_failed");
    step.undoError = data.error;
    step.onExhausted = data.policy;
  },
  step_skipped: (state, { step: key }) => {
    mark(state, stepAt(state, key), "skipped");
    countItem(state, key);
    unblock(state, key);
  },
};

function mark(state: SagaState, step: StepState, status: StepState["status"]): void {
  step.status = status;
  step.seq = state.seq;
  step.at = state.at;
  step.retryAt = undefined;
  step.asked = undefined;
}

/** A step that fails after the pivot has started blocks the saga instead of sending it back; the pivot itself may. */
function failForward(state: SagaState, key: string, error: Entry<"step_failed">["data"]["error"]): void {
  if (state.direction === "backward") return;
  const isPivot = key === state.started.pivot;
  if (isPivot) state.pivotStartedSeq = undefined;
  if (state.pivotStartedSeq === undefined) goBack(state, { kind: "step", step: key, error });
}

function goBack(state: SagaState, cause: NonNullable<SagaState["failure"]>): void {
  if (state.failure) return;
  state.failure = cause;
  state.failedAt = state.at;
}

function end(
  state: SagaState,
  status: "completed" | "compensated" | "compensated_with_exceptions" | "forced_closed",
): void {
  live(state, status);
  unpark(state);
  state.status = status;
  state.finishedAt = state.at;
}

function live(state: SagaState, what: string): void {
  demand(state, !isEnded(state.status), `${what} after the end (${state.status})`);
}

function unpark(state: SagaState): void {
  state.parked = undefined;
  state.blocked.clear();
}

function resume(state: SagaState): void {
  state.parked = undefined;
  state.status = state.direction === "forward" ? "running" : "compensating";
}

function unblock(state: SagaState, key: string): void {
  if (state.blocked.delete(key) && state.blocked.size === 0 && state.parked?.step !== undefined)
    resume(state);
}

/** A person says: again. A definite failure becomes a new round; an unknown outcome keeps its idempotency key. */
function tryAgain(state: SagaState, step: StepState): void {
  if (step.status === "failed") {
    step.actionRound++;
    mark(state, step, "pending");
    startOver(step);
  }
  if (step.status === "pending" && step.childParked === "forced_closed") startOver(step);
  if (step.status === "compensation_failed") {
    if (step.undoError?.kind === "business") step.undoRound++;
    mark(state, step, step.error ? "maybe_done" : "done");
    step.childUndoRequested = false;
  }
  if (step.asked) askAgain(step);
  step.since = state.at;
  step.tries = { ...step.tries, action: 0, undo: 0 };
}

/** With the same key: what was sent before may still be done. */
function askAgain(step: StepState): void {
  if (step.status === "pending") step.tries = { ...step.tries, unknown: true };
  step.asked = undefined;
}

/** A child that has ended says nothing more: another attempt is another child. */
function startOver(step: StepState): void {
  step.childId = undefined;
  step.childParked = undefined;
}

function countItem(state: SagaState, key: string): void {
  const { name, index } = fromKey(key);
  if (index !== undefined) stepAt(state, name).itemsDone++;
}

function consume(state: SagaState, signal: string): void {
  const place = state.signals.findIndex((waiting) => waiting.signal === signal);
  demand(state, place >= 0, `signal ${signal} was consumed without having arrived`);
  state.signals.splice(place, 1);
}

function demand(state: { sagaId: string }, condition: boolean, rule: string): void {
  if (!condition) throw stuck(state.sagaId, rule);
}

function stuck(sagaId: string, rule: string): SagaError {
  return new SagaError("SAGAZ_STUCK", { sagaId, rule });
}

/** The results of steps that are done, keyed by step name. */
export function resultsOf(state: SagaState): Record<string, unknown> {
  const results: Record<string, unknown> = {};
  for (const [name, step] of state.steps) if (step.status === "done") results[name] = step.result;
  return results;
}
