import type { CommandStep } from "../definition/definition.ts";
import { LIMITS } from "../definition/policies.ts";
import { SagaError } from "../errors.ts";
import { need } from "../must.ts";
import type { Direction, RecordedError, SagaEvent } from "../saga/events.ts";
import type { StepState } from "../saga/state.ts";
import { replyDue } from "./asking.ts";
import { failForGood, isOpen, settle, settleLate } from "./settle.ts";
import { toTask } from "./task.ts";
import { mayHaveHappened, triesOf } from "./view.ts";
import type { Task, View } from "./view.ts";

/** What a participant answers, as it comes to the saga's owner. */
export interface ReplyRequest {
  readonly kind: "reply";
  readonly step: string;
  readonly direction: Direction;
  readonly round: number;
  /**
   * `done`, with its result. `failed`: the business says no. `refused`: it will not be done as it was asked. `unknown`:
   * nobody knows. `unusable`: it was done, but its result does not fit.
   */
  readonly outcome: "done" | "failed" | "refused" | "unknown" | "unusable";
  readonly result?: unknown;
  readonly error?: { readonly message: string; readonly code?: string; readonly details?: unknown };
}

/** A message to a participant was given up: no broker, and no URL, would have it. */
export interface UndeliveredNotice {
  readonly kind: "undelivered";
  readonly step: string;
  readonly direction: Direction;
  readonly round: number;
  readonly attempt: number;
  readonly error: { readonly message: string; readonly code: string };
}

/**
 * What a participant's reply means for the saga. A repeated one means nothing.
 *
 * @throws SagaError `SAGAZ_UNKNOWN_REPLY` when nothing was asked that it could answer.
 */
export function receiveReply(view: View, reply: ReplyRequest): SagaEvent[] {
  const step = view.definition.graph.byName.get(reply.step);
  if (step?.kind !== "command") throw unknownReply(view, reply, "the saga has no command step of that name");
  const state = view.state.steps.get(step.name);
  if (!state || !wasAsked(view, state, reply)) throw unknownReply(view, reply, "it was not asked");
  if (reply.round < roundOf(state, reply.direction)) return []; // an operator, or a late effect, has begun a new one
  return reply.direction === "do" ? actionReply(view, step, reply) : undoReply(view, { step, state }, reply);
}

/**
 * A message that was given up leaves the outcome unknown: one try of it may have arrived whose answer was lost. It ends that
 * asking and no other.
 */
export function noteUndelivered(view: View, notice: UndeliveredNotice): SagaEvent[] {
  const { direction, round, attempt, error } = notice;
  const step = view.definition.graph.byName.get(notice.step);
  if (step?.kind !== "command" || replyDue(view, step, direction) === undefined) return [];
  const state = need(view.state.steps.get(step.name), "what was asked has a state");
  if (state.asked?.attempt !== attempt || roundOf(state, direction) !== round) return [];
  const task = toTask(view, { kind: direction, step });
  return endAsking(view, task, { name: "Undelivered", kind: "ambiguous", ...error });
}

function wasAsked(view: View, state: StepState, { direction, round }: ReplyRequest): boolean {
  if (round > roundOf(state, direction)) return false;
  return direction === "do" ? wasAskedToDo(view, state) : wasAskedToUndo(view, state);
}

function wasAskedToDo(view: View, state: StepState): boolean {
  return state.status !== "pending" || state.asked !== undefined || triesOf(view, state.key).unknown;
}

function wasAskedToUndo(view: View, state: StepState): boolean {
  if (view.state.direction !== "backward") return false;
  return state.asked !== undefined || !mayHaveHappened(state) || triesOf(view, state.key).undo > 0;
}

function roundOf({ actionRound, undoRound }: StepState, direction: Direction): number {
  return direction === "do" ? actionRound : undoRound;
}

function actionReply(view: View, step: CommandStep, reply: ReplyRequest): SagaEvent[] {
  const task = toTask(view, { kind: "do", step });
  const error = toError(reply);
  switch (reply.outcome) {
    case "done":
      return settleLate(view, task, { type: "done", result: reply.result });
    case "failed":
    case "refused":
      return isOpen(view, task.key) ? failForGood(view, task, error) : [];
    case "unknown":
      return replyDue(view, step, "do") === undefined ? [] : endAsking(view, task, error);
    case "unusable": {
      const outcome = { type: "unknown", error, final: true } as const;
      return isOpen(view, task.key) ? settle(view, task, outcome) : settleLate(view, task, outcome);
    }
  }
}

function undoReply(
  view: View,
  { step, state }: { readonly step: CommandStep; readonly state: StepState },
  reply: ReplyRequest,
): SagaEvent[] {
  const error = toError(reply);
  const isAwaited = replyDue(view, step, "undo") !== undefined;
  const task = toTask(view, { kind: "undo", step });
  switch (reply.outcome) {
    case "done":
    case "unusable":
      return undone(state, reply);
    case "failed":
    case "refused":
      return isAwaited ? settle(view, task, { type: "failed", error, final: true }) : [];
    case "unknown":
      return isAwaited ? endAsking(view, task, error) : [];
  }
}

/** On record with the mail that says so: who takes the saga over after a crash would wait for a reply that has come. */
function endAsking(view: View, task: Task, error: RecordedError): SagaEvent[] {
  const events = settle(view, task, { type: "unknown", error });
  return events.length > 0 ? events : [{ type: "attempts_noted", data: {} }];
}

function undone(state: StepState, { step, result }: ReplyRequest): SagaEvent[] {
  if (!mayHaveHappened(state) && state.status !== "compensation_failed") return [];
  return [{ type: "step_compensated", step, data: result === undefined ? {} : { result } }];
}

const KINDS = { failed: "business", refused: "error", unknown: "ambiguous", unusable: "ambiguous" } as const;

function toError({ outcome, error }: ReplyRequest): RecordedError {
  const { message = `the participant answered "${outcome}"`, code, details } = error ?? {};
  return {
    name: "ParticipantReply",
    message: message.slice(0, LIMITS.errorTextMax),
    kind: outcome === "done" ? "error" : KINDS[outcome],
    ...(code === undefined ? {} : { code }),
    ...(details === undefined ? {} : { details }),
  };
}

function unknownReply(view: View, { step, direction, round }: ReplyRequest, why: string): SagaError {
  return new SagaError("SAGAZ_UNKNOWN_REPLY", { sagaId: view.state.sagaId, step, direction, round, why });
}
