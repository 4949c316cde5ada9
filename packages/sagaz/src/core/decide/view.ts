import type { SagaDefinition, StepDefinition } from "../definition/definition.ts";
import { DEFAULTS } from "../definition/policies.ts";
import type { RetryPolicy } from "../definition/policies.ts";
import { need } from "../must.ts";
import { RareMap } from "../rare-map.ts";
import type { ParkReason, RecordedError, SagaEvent, Tries } from "../saga/events.ts";
import { findStep, fromKey, NO_TRIES } from "../saga/state.ts";
import type { SagaState, StepState } from "../saga/state.ts";
import type { WaitReason } from "../saga/status.ts";

/** Everything that a decision about one saga may look at. */
export interface View {
  readonly definition: SagaDefinition;
  /** With every event that was decided, recorded or not. */
  readonly state: SagaState;
  readonly live: Live;
  /** Database time, milliseconds since 1970, as well as this process knows it. */
  readonly now: number;
  /** A random number in [0, 1) for this decision: jitter. */
  readonly luck: number;
  /** Bytes that the saga's output may have as JSON. */
  readonly payloadBytesMax: number;
}

/** What only the owner's memory knows of a saga; lost in a crash, and safe to lose. */
export interface Live {
  /** Events up to this seq are recorded. Effects may rely on nothing later. */
  ackedSeq: number;
  /** Calls of the user's functions in flight, by {@link taskId}. */
  readonly tasks: Map<string, LiveTask>;
  /** Short delays before the next attempt, by step key. */
  readonly retryAt: RareMap<string, number>;
  /** Tries that changed since the last event, by step key; the others are what the journal says. */
  readonly tries: RareMap<string, Required<Tries>>;
  /** Steps of which nobody knows whether they were done, and whose fate is not decided yet, by step key. */
  readonly unsettled: RareMap<string, Unsettled>;
  /** This worker is stopping or may not go on: nothing new begins. */
  draining: boolean;
}

/** See {@link Live.unsettled}. */
export interface Unsettled {
  readonly error: RecordedError;
  /** `verify` was asked, and could not tell. */
  readonly verified: boolean;
  /** No further attempt is allowed. */
  readonly final: boolean;
  /** A person asked for another attempt. */
  readonly again: boolean;
}

/** A fresh memory for a saga that this worker has just started or claimed. */
export function newLive(ackedSeq: number): Live {
  return {
    ackedSeq,
    tasks: new Map(),
    retryAt: new RareMap(),
    tries: new RareMap(),
    unsettled: new RareMap(),
    draining: false,
  };
}

/**
 * One call of a user's function. `do`, `undo` and `verify` are a step's; `prepare` computes what a map, sleep or child
 * step needs before it can begin.
 */
export interface Task {
  readonly kind: "do" | "undo" | "verify" | "prepare";
  /** Step name, or `name[3]`. */
  readonly key: string;
  readonly step: StepDefinition;
  readonly index: number | undefined;
  readonly attempt: number;
  readonly round: number;
}

/** A task in flight. */
export interface LiveTask {
  readonly task: Task;
  readonly startedAt: number;
  abortedAt: number | undefined;
  abortedFor: "timeout" | "cut_off" | undefined;
}

/** A call of an action and a call of its compensation may overlap only as a late one; ids tell them apart. */
export function taskId(task: { readonly kind: Task["kind"]; readonly key: string }): string {
  return task.kind === "undo" ? `undo ${task.key}` : task.key;
}

/** What has to happen next. Either events to write down, or, when there are none, everything else. */
export interface Move {
  readonly events: readonly SagaEvent[];
  readonly start: readonly Task[];
  readonly abort: readonly { readonly task: LiveTask; readonly cause: "timeout" | "cut_off" }[];
  /** Tasks that were aborted and did not settle in time: count them as unknown. */
  readonly abandon: readonly LiveTask[];
  /** When to look again although nothing happened; undefined: only when something does. */
  readonly wakeAt: number | undefined;
  readonly waitingFor: WaitReason | null;
}

/** A move under construction. */
export interface Draft {
  readonly events: SagaEvent[];
  readonly start: Task[];
  readonly abort: { readonly task: LiveTask; readonly cause: "timeout" | "cut_off" }[];
  readonly abandon: LiveTask[];
  wakeAt: number | undefined;
  waitingFor: WaitReason | null;
}

/** A move with nothing in it. */
export function emptyMove(): Draft {
  return { events: [], start: [], abort: [], abandon: [], wakeAt: undefined, waitingFor: null };
}

/** Asks to be called again at a time; the earliest request wins. */
export function wake(move: Draft, at: number): void {
  if (move.wakeAt === undefined || at < move.wakeAt) move.wakeAt = at;
}

/** The tries of a step's current round. */
export function triesOf(view: View, key: string): Required<Tries> {
  return view.live.tries.get(key) ?? findStep(view.state, key)?.tries ?? NO_TRIES;
}

/** Changes a step's tries in memory; they are written with the saga's next event. */
export function setTries(view: View, key: string, change: Tries): void {
  view.live.tries.set(key, { ...triesOf(view, key), ...change });
}

/** The definition of the step that a key belongs to. */
export function stepOf(view: View, key: string): StepDefinition | undefined {
  return view.definition.graph.byName.get(fromKey(key).name);
}

/** True once the step has its result; `bySeq` asks whether that was recorded by then. */
export function isSatisfied(view: View, name: string, bySeq: number): boolean {
  const step = view.state.steps.get(name);
  return step !== undefined && (step.status === "done" || step.status === "skipped") && step.seq <= bySeq;
}

/** True when all dependencies have results. */
export function isReady(view: View, step: StepDefinition, bySeq: number): boolean {
  for (const name of step.dependsOn) if (!isSatisfied(view, name, bySeq)) return false;
  return true;
}

/** When a step's own clock started: with its last dependency, or a person's retry. */
export function readySince(view: View, step: StepDefinition): number {
  let since = Math.max(view.state.createdAt, view.state.started.startAt ?? 0);
  for (const name of step.dependsOn)
    since = Math.max(since, need(view.state.steps.get(name), "a step is ready after its dependencies").at);
  return Math.max(since, view.state.steps.get(step.name)?.since ?? 0);
}

/** When a time-out that began at `since` runs out: it stands still during pauses. */
export function deadline(view: View, since: number, timeoutMs: number): number {
  let at = since + timeoutMs;
  for (const { from, to } of view.state.pauses) if (to > since) at += to - Math.max(from, since);
  return at;
}

/** True from the pivot's start until its outcome is recorded: nothing may abort or undo then. */
export function isPivotOpen(view: View): boolean {
  const { pivot } = view.definition;
  if (pivot === undefined || view.state.pivotStartedSeq === undefined) return false;
  return findStep(view.state, pivot)?.status !== "done";
}

/** True once the pivot may have happened. */
export function isPastPivot(view: View): boolean {
  return view.state.pivotStartedSeq !== undefined;
}

/** The retry policy in force: a plain step that runs beside a started pivot can only go forward, like one after it. */
export function retryOf(view: View, step: StepDefinition): RetryPolicy {
  if (step.role !== "plain" || !isPastPivot(view)) return step.retry;
  const { when } = step.retry;
  return when ? { ...DEFAULTS.retriableRetry, when } : DEFAULTS.retriableRetry;
}

/** True when the step waits for a person. */
export function isBlocked(view: View, key: string): boolean {
  return view.state.blocked.has(key);
}

/** Reasons that stop the whole saga; the others block one step and let independent ones go on. */
const STOPPING = new Set<ParkReason>([
  "definition_missing",
  "crash_loop",
  "stuck",
  "saga_timeout_after_pivot",
  "output_failed",
]);

/** True when the saga may begin nothing, whatever its steps look like. */
export function isHalted(view: View): boolean {
  const { state, live } = view;
  return (
    live.draining ||
    state.pausedAt !== undefined ||
    (state.parked !== undefined && STOPPING.has(state.parked.reason))
  );
}

/** A step or item that may have been done, or was. */
export function mayHaveHappened(step: StepState | undefined): boolean {
  return step?.status === "done" || step?.status === "maybe_done";
}
