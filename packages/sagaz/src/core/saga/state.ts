import type {
  Deed,
  Direction,
  Parent,
  ParkReason,
  RecordedError,
  SagaStarted,
  Tries,
  UnwindCause,
} from "./events.ts";
import type { RareMap } from "../rare-map.ts";
import type { SagaStatus } from "./status.ts";

/**
 * Everything that a journal says about a saga. Made by {@link evolve} alone, which owns and changes it in place:
 * a saga folds thousands of events in its life, and nobody else holds the value in between.
 */
export interface SagaState {
  readonly sagaId: string;
  started: SagaStarted;
  /** Who hears of this saga's end: the saga that started it as its child, or the fork that took it over. */
  parent: Parent | undefined;
  status: SagaStatus;
  /** Forward until compensation starts; a parked saga keeps its direction. */
  direction: "forward" | "backward";
  /** Seq and time of the last event. */
  seq: number;
  at: number;
  createdAt: number;
  finishedAt: number | undefined;
  /** Steps with at least one event, by step name. */
  readonly steps: Map<string, StepState>;
  /** The first reason to go back. Later ones change nothing. */
  failure: UnwindCause | undefined;
  failedAt: number;
  compensationSeq: number;
  /** A cancel that waits for the pivot in flight. */
  cancel: Deed | undefined;
  timedOut: boolean;
  pivotStartedSeq: number | undefined;
  parked: Parked | undefined;
  /** Steps that wait for a person, with the reason. */
  readonly blocked: RareMap<string, ParkReason>;
  pausedAt: number | undefined;
  /** Pauses that have ended: timeouts stand still in them. */
  readonly pauses: { readonly from: number; readonly to: number }[];
  /** Arrived and not consumed, oldest first. */
  readonly signals: Signal[];
  /** Ids of signals that came with one, oldest first. */
  readonly signalIds: RareMap<string, true>;
  output: unknown;
  exceptions: readonly string[];
  forkId: string | undefined;
}

/** Why and where a saga is parked. */
export interface Parked {
  readonly reason: ParkReason;
  readonly step: string | undefined;
  readonly detail: string | undefined;
  /** Attempts were in flight, of which nobody knows how they ended. */
  readonly crashed?: true;
}

/** A signal that waits for its step. */
export interface Signal {
  readonly signal: string;
  readonly payload: unknown;
  readonly signalId: string | undefined;
}

/** A message to a participant. */
export interface Asked {
  readonly direction: Direction;
  readonly attempt: number;
  readonly at: number;
}

/** What the journal says about one step, or one item of a map step. */
export interface StepState {
  readonly key: string;
  status: "pending" | "done" | "failed" | "maybe_done" | "skipped" | "compensated" | "compensation_failed";
  /** Seq of the event that set the status; nothing may rely on it before that is recorded. */
  seq: number;
  at: number;
  result: unknown;
  error: RecordedError | undefined;
  undoResult: unknown;
  undoError: RecordedError | undefined;
  tries: Required<Tries>;
  /** Part of the idempotency key; rises when a definite failure is tried again by hand. */
  actionRound: number;
  undoRound: number;
  /** A durable delay of the next attempt. */
  retryAt: number | undefined;
  /** The step's clock starts here instead of at its dependencies' end, after a person's retry. */
  since: number | undefined;
  timerUntil: number | undefined;
  /** Of a command step: its last message, until the status changes. */
  asked: Asked | undefined;
  childId: string | undefined;
  childParked: string | undefined;
  childUndoRequested: boolean;
  onExhausted: "park" | "continue" | undefined;
  /** Map steps: the list, and what is known of its items. */
  items: readonly unknown[] | undefined;
  /** Seq of the event that listed them; no item may begin before that is recorded. */
  itemsSeq: number;
  itemStates: (StepState | undefined)[];
  itemsDone: number;
}

/** A step that nothing has happened to. */
export function newStepState(key: string): StepState {
  return {
    key,
    status: "pending",
    seq: 0,
    at: 0,
    result: undefined,
    error: undefined,
    undoResult: undefined,
    undoError: undefined,
    tries: NO_TRIES,
    actionRound: 0,
    undoRound: 0,
    retryAt: undefined,
    since: undefined,
    timerUntil: undefined,
    asked: undefined,
    childId: undefined,
    childParked: undefined,
    childUndoRequested: false,
    onExhausted: undefined,
    items: undefined,
    itemsSeq: 0,
    itemStates: NO_ITEMS,
    itemsDone: 0,
  };
}

/** Nothing was tried. Shared by all steps: tries are replaced, never changed. */
export const NO_TRIES: Required<Tries> = Object.freeze({ action: 0, undo: 0, unknown: false });

/** Shared by all steps without items, which are most; {@link stepAt} gives a step a list of its own. */
const NO_ITEMS: (StepState | undefined)[] = [];
Object.freeze(NO_ITEMS);

/** The key of an item of a map step: `name[3]`. */
export function itemKey(step: string, index: number): string {
  return `${step}[${index}]`;
}

/** Takes a key apart: step name, and the item's index if it is one. */
export function fromKey(key: string): { readonly name: string; readonly index: number | undefined } {
  if (!key.endsWith("]")) return { name: key, index: undefined };
  const open = key.lastIndexOf("[");
  return { name: key.slice(0, open), index: Number(key.slice(open + 1, -1)) };
}

/** The state of a step or item; undefined while it has no event. */
export function findStep(state: SagaState, key: string): StepState | undefined {
  const { name, index } = fromKey(key);
  const step = state.steps.get(name);
  return index === undefined ? step : step?.itemStates[index];
}

/** The state of a step or item, made when it has none yet. */
export function stepAt(state: SagaState, key: string): StepState {
  const { name, index } = fromKey(key);
  let step = state.steps.get(name);
  if (!step) state.steps.set(name, (step = newStepState(name)));
  if (index === undefined) return step;
  if (step.itemStates === NO_ITEMS) step.itemStates = [];
  return (step.itemStates[index] ??= newStepState(key));
}
