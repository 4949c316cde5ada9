import { SagaError } from "../errors.ts";
import type { SagaErrorCode } from "../errors.ts";
import { LIMITS } from "../definition/policies.ts";
import { didYouMean } from "../definition/suggest.ts";
import { need } from "../must.ts";
import type { Deed, Parent, RecordedError, SagaEvent } from "../saga/events.ts";
import { createdAtOf } from "../saga/saga-id.ts";
import { findStep } from "../saga/state.ts";
import { isEnded } from "../saga/status.ts";
import type { SagaStatus } from "../saga/status.ts";
import type { Outcome } from "./outcome.ts";
import { noteUndelivered, receiveReply } from "./reply.ts";
import type { ReplyRequest, UndeliveredNotice } from "./reply.ts";
import { failForGood, settleLate } from "./settle.ts";
import { toTask } from "./task.ts";
import { isPastPivot, isPivotOpen, stepOf, triesOf } from "./view.ts";
import type { View } from "./view.ts";

/** What people, other sagas and participants can ask of a saga; the body of its mail. */
export type SagaRequest =
  | {
      readonly kind: "signal";
      readonly signal: string;
      readonly payload: unknown;
      readonly signalId?: string;
    }
  | ({ readonly kind: "cancel" } & Deed)
  | ({ readonly kind: "pause" } & Deed)
  | ({ readonly kind: "resume" } & Deed)
  | ({ readonly kind: "retry" } & Deed)
  | ({ readonly kind: "force_close" } & Deed)
  | ({ readonly kind: "skip"; readonly step: string } & Deed)
  | ({
      readonly kind: "resolve";
      readonly step: string;
      readonly outcome: "done" | "not_done";
      readonly result?: unknown;
    } & Deed)
  | ({
      readonly kind: "fork";
      readonly forkId: string;
      readonly fromStep: string;
      readonly input?: unknown;
    } & Deed)
  | {
      readonly kind: "child_ended";
      readonly step: string;
      readonly childId: string;
      readonly status: SagaStatus;
      readonly output?: unknown;
      readonly detail?: string;
    }
  | {
      readonly kind: "child_parked";
      readonly step: string;
      readonly childId: string;
      readonly reason: string;
    }
  | ReplyRequest
  | UndeliveredNotice
  /** The parent `from` was forked: its fork takes this child over. */
  | { readonly kind: "new_parent"; readonly from: string; readonly parent: Parent }
  /** Without `result` it returned something that cannot be kept. */
  | { readonly kind: "late_effect"; readonly step: string; readonly result?: unknown };

type Kind = SagaRequest["kind"];
type Of<K extends Kind> = Extract<SagaRequest, { kind: K }>;

/**
 * What a request means for a saga: the events that carry it out.
 *
 * @throws SagaError with a code that says why it is refused; then nothing happens.
 */
export function answer(view: View, request: SagaRequest): SagaEvent[] {
  const handler = HANDLERS[request.kind] as (view: View, request: SagaRequest) => SagaEvent[];
  return handler(view, request);
}

const HANDLERS: { readonly [K in Kind]: (view: View, request: Of<K>) => SagaEvent[] } = {
  signal: receiveSignal,
  cancel,
  pause,
  resume,
  retry,
  force_close: forceClose,
  skip,
  resolve,
  fork,
  child_ended: childEnded,
  child_parked: childParked,
  reply: receiveReply,
  undelivered: noteUndelivered,
  new_parent: newParent,
  late_effect: lateEffect,
};

function deed({ actor, reason }: Deed): Deed {
  return { actor, reason };
}

function receiveSignal(view: View, { signal, payload, signalId }: Of<"signal">): SagaEvent[] {
  const { state, definition } = view;
  if (isEnded(state.status)) throw ended(view, `signal "${signal}"`);
  const known = definition.steps.flatMap((step) => (step.kind === "signal" ? [step.signal] : []));
  if (!known.includes(signal)) {
    throw refusal("SAGAZ_UNKNOWN_SIGNAL", { saga: definition.name, signal, hint: didYouMean(signal, known) });
  }
  if (signalId !== undefined && state.signalIds.has(signalId)) return [];
  const limit = LIMITS.signalsWaitingMax;
  if (state.signals.length >= limit) {
    throw refusal("SAGAZ_SIGNALS_FULL", { sagaId: state.sagaId, count: state.signals.length, limit });
  }
  return [
    { type: "signal_received", data: { signal, payload, ...(signalId === undefined ? {} : { signalId }) } },
  ];
}

function cancel(view: View, request: Of<"cancel">): SagaEvent[] {
  const { state, definition } = view;
  if (state.forkId !== undefined) throw forked(view, "cancel");
  if (state.status === "completed" && !isPastPivot(view)) {
    return [{ type: "compensation_started", data: { cause: { kind: "cancel", ...deed(request) } } }];
  }
  if (isPastPivot(view) && !isPivotOpen(view)) {
    throw refusal("SAGAZ_PIVOT_PASSED", { sagaId: state.sagaId, pivot: definition.pivot });
  }
  if (isEnded(state.status)) throw ended(view, "cancel");
  if (state.direction === "backward" || state.failure || state.cancel) return [];
  return [{ type: "cancel_requested", data: deed(request) }];
}

function pause(view: View, request: Of<"pause">): SagaEvent[] {
  if (isEnded(view.state.status)) throw ended(view, "pause");
  return view.state.pausedAt === undefined ? [{ type: "saga_paused", data: deed(request) }] : [];
}

function resume(view: View, request: Of<"resume">): SagaEvent[] {
  return view.state.pausedAt === undefined ? [] : [{ type: "saga_resumed", data: deed(request) }];
}

function retry(view: View, request: Of<"retry">): SagaEvent[] {
  needParked(view, "retry");
  const again = [...view.state.blocked.keys()].filter((key) => isUnknownForward(view, key));
  for (const key of again) {
    const error: RecordedError = findStep(view.state, key)?.error ?? {
      name: "Unknown",
      message: "",
      kind: "lost",
    };
    view.live.unsettled.set(key, { error, verified: false, final: false, again: true });
  }
  view.live.retryAt.clear();
  return [{ type: "retry_requested", data: deed(request) }];
}

function isUnknownForward(view: View, key: string): boolean {
  const open = (findStep(view.state, key)?.status ?? "pending") === "pending";
  return view.state.direction === "forward" && open && triesOf(view, key).unknown;
}

function forceClose(view: View, request: Of<"force_close">): SagaEvent[] {
  needParked(view, "forceClose");
  return [{ type: "saga_force_closed", data: deed(request) }];
}

function skip(view: View, request: Of<"skip">): SagaEvent[] {
  needParked(view, "skip");
  const { step: key } = request;
  const status = blockedStatus(view, key, "skip");
  const skipped: SagaEvent = { type: "step_skipped", step: key, data: deed(request) };
  if (view.state.direction === "backward") return [skipped];
  const dependents = view.definition.graph.dependents.get(key) ?? [];
  const needed = dependents.length > 0 || key !== stepOf(view, key)?.name || status === "maybe_done";
  if (needed)
    throw refusal("SAGAZ_STEP_NEEDED", { step: key, dependents: dependents.join(", ") || "others" });
  if (isPivotOpen(view) && key === view.definition.pivot) {
    throw refusal("SAGAZ_STEP_NEEDED", { step: key, dependents: "the way forward or back" });
  }
  return [skipped];
}

function resolve(view: View, request: Of<"resolve">): SagaEvent[] {
  needParked(view, "resolve");
  const { step: key, outcome, result } = request;
  blockedStatus(view, key, "resolve");
  const by = deed(request);
  if (view.state.direction === "backward") {
    if (outcome === "done")
      return [{ type: "step_compensated", step: key, data: { ...withResult(result), by } }];
    throw refusal("SAGAZ_STEP_NOT_BLOCKED", {
      step: key,
      sagaId: view.state.sagaId,
      status: "to be undone",
      request: 'resolve with outcome "not_done"',
      possible: "an action; use retry, or skip with a reason",
    });
  }
  if (outcome === "done") return [{ type: "step_done", step: key, data: { ...withResult(result), by } }];
  const failedAfterPivot = isPastPivot(view) && key !== view.definition.pivot;
  if (failedAfterPivot)
    throw refusal("SAGAZ_PIVOT_PASSED", { sagaId: view.state.sagaId, pivot: view.definition.pivot });
  const error: RecordedError = { name: "Resolved", message: request.reason, kind: "business" };
  return [{ type: "step_failed", step: key, data: { error, by } }];
}

function fork(view: View, request: Of<"fork">): SagaEvent[] {
  const { state, definition } = view;
  const { forkId, fromStep } = request;
  if (!isEnded(state.status))
    throw refusal("SAGAZ_NOT_FORKABLE", { sagaId: state.sagaId, why: `it is ${state.status}, not ended` });
  if (state.forkId !== undefined) throw forked(view, "fork");
  if (!definition.graph.byName.has(fromStep)) throw unknownStep(view, fromStep);
  checkAge(view, forkId);
  const input = "input" in request ? { input: request.input } : {};
  return [{ type: "saga_forked", data: { forkId, fromStep, ...input, ...deed(request) } }];
}

/** A request that waited too long, for instance through an outage, names an id that no storage takes any more. */
function checkAge(view: View, id: string): void {
  const skewMs = createdAtOf(id) - view.now;
  const limit = LIMITS.idSkewMsMax;
  if (Math.abs(skewMs) > limit) throw refusal("SAGAZ_CLOCK_SKEW", { id, skewMs, limit });
}

function childEnded(view: View, request: Of<"child_ended">): SagaEvent[] {
  const { step: key, childId, status } = request;
  if (findStep(view.state, key)?.childId !== childId) return [];
  // A child that was closed by force reads no mail any more: whoever wants it undone has to know without asking.
  const closed: SagaEvent[] =
    status === "forced_closed" ? [{ type: "child_parked", step: key, data: { reason: status } }] : [];
  return isEnded(view.state.status) ? closed : [...closed, ...childOver(view, request)];
}

function childOver(view: View, request: Of<"child_ended">): SagaEvent[] {
  const { step: key, status, output } = request;
  if (view.state.direction === "backward") return childUndone(view, key, status);
  if (findStep(view.state, key)?.status !== "pending") return [];
  if (status === "completed") return [{ type: "step_done", step: key, data: withResult(output) }];
  return childFailed(view, request);
}

function childFailed(view: View, { step: key, status, detail }: Of<"child_ended">): SagaEvent[] {
  const message = detail ?? `the child saga ended as ${status}`;
  if (status === "forced_closed") {
    return [{ type: "saga_parked", data: { reason: "child_failed", step: key, detail: message } }];
  }
  const error: RecordedError = { name: "ChildEnded", message, kind: "business" };
  const step = need(stepOf(view, key), "a child was started by a step of its parent");
  return failForGood(view, { key, step }, error);
}

function childUndone(view: View, key: string, status: SagaStatus): SagaEvent[] {
  const step = findStep(view.state, key);
  // "completed" is the answer from before it read our request: its undo is still to come.
  if (!step?.childUndoRequested || status === "completed" || step.status === "compensated") return [];
  if (status === "compensated") return [{ type: "step_compensated", step: key, data: {} }];
  const error: RecordedError = {
    name: "ChildEnded",
    message: `the child saga ended as ${status}`,
    kind: "business",
  };
  if (status === "compensated_with_exceptions") {
    return [{ type: "compensation_failed", step: key, data: { error, policy: "continue" } }];
  }
  return [
    { type: "compensation_failed", step: key, data: { error, policy: "park" } },
    { type: "saga_parked", data: { reason: "compensation_failed", step: key, detail: error.message } },
  ];
}

function childParked(view: View, { step: key, childId, reason }: Of<"child_parked">): SagaEvent[] {
  const step = findStep(view.state, key);
  return step?.childId === childId && !isEnded(view.state.status)
    ? [{ type: "child_parked", step: key, data: { reason } }]
    : [];
}

function newParent({ state }: View, { from, parent }: Of<"new_parent">): SagaEvent[] {
  return state.parent?.sagaId === from ? [{ type: "parent_changed", data: { parent } }] : [];
}

/** An action of an owner before us, or of this saga after its end, turned out to have taken effect. */
function lateEffect(view: View, request: Of<"late_effect">): SagaEvent[] {
  const step = stepOf(view, request.step);
  if (!step) return [];
  const task = { ...toTask(view, { kind: "do", step }), key: request.step };
  return settleLate(view, task, "result" in request ? { type: "done", result: request.result } : UNUSABLE);
}

const UNUSABLE: Outcome = {
  type: "unknown",
  error: { name: "Unusable", message: "it took effect, but its result could not be kept", kind: "ambiguous" },
  final: true,
};

function needParked(view: View, request: string): void {
  const { status, sagaId } = view.state;
  if (isEnded(status)) throw ended(view, request);
  if (status !== "parked") throw refusal("SAGAZ_NOT_PARKED", { sagaId, status, request });
}

function blockedStatus(view: View, key: string, request: string): string {
  if (!stepOf(view, key)) throw unknownStep(view, key);
  const status = findStep(view.state, key)?.status ?? "pending";
  if (view.state.blocked.has(key)) return status;
  throw refusal("SAGAZ_STEP_NOT_BLOCKED", {
    step: key,
    sagaId: view.state.sagaId,
    status,
    request,
    possible:
      [...view.state.blocked.keys()].map((blocked) => `"${blocked}"`).join(", ") ||
      "steps that wait for a person",
  });
}

function unknownStep(view: View, step: string): SagaError {
  const saga = view.definition.name;
  return refusal("SAGAZ_UNKNOWN_STEP", {
    saga,
    step,
    hint: didYouMean(step, view.definition.graph.byName.keys()),
  });
}

function ended(view: View, request: string): SagaError {
  return refusal("SAGAZ_SAGA_ENDED", { sagaId: view.state.sagaId, status: view.state.status, request });
}

function forked(view: View, request: string): SagaError {
  return refusal("SAGAZ_FORKED", { sagaId: view.state.sagaId, forkId: view.state.forkId, request });
}

function refusal(code: SagaErrorCode, details: Readonly<Record<string, unknown>>): SagaError {
  return new SagaError(code, details);
}

function withResult(result: unknown): { result?: unknown } {
  return result === undefined ? {} : { result };
}
