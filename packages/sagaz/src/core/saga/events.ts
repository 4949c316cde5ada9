/**
 * The journal: everything that changes a saga is one of these events. State is `events.reduce(evolve)`.
 * The types are the file format of `saga_events`: a field may be added, none may change its meaning.
 */
export type SagaEvent = SagaLevelEvent | StepEvent;

/** Who did something by hand, and why. `actor` is a free name; the service puts the authenticated one here. */
export interface Deed {
  readonly actor: string;
  readonly reason: string;
}

/** An error as it is kept: enough to explain, never the object itself. */
export interface RecordedError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  /**
   * `business`: thrown by `fail(…)`. `error`: any other throw. `timeout` and `cut_off`: aborted, outcome unknown.
   * `lost`: the process that ran it died. `ambiguous`: it threw, but the effect may have happened.
   */
  readonly kind: "business" | "error" | "timeout" | "cut_off" | "lost" | "ambiguous";
  readonly details?: unknown;
  /** Where a retry waits, left out when it was the same error the time before. */
  readonly stack?: string;
}

/** Attempts so far that no event of their own tells: they ride on the saga's next event. */
export interface Tries {
  /** Attempts of the action, of its compensation, that ended without success. */
  readonly action?: number;
  readonly undo?: number;
  /** True when one of the action's attempts may have taken effect. */
  readonly unknown?: boolean;
}

/** Carried by any event: tries of the steps that changed since the last event. */
interface Carrier {
  readonly tries?: Readonly<Record<string, Tries>>;
}

/** What a participant is asked for: to do something, or to undo it. */
export type Direction = "do" | "undo";

/** Why a saga goes back. */
export type UnwindCause =
  | { readonly kind: "step"; readonly step: string; readonly error: RecordedError }
  | { readonly kind: "timeout" }
  | ({ readonly kind: "cancel" } & Deed);

/** Why a saga is parked. */
export type ParkReason =
  | "compensation_failed"
  | "pivot_unknown"
  | "outcome_unknown"
  | "step_failed_after_pivot"
  | "saga_timeout_after_pivot"
  | "signal_timeout"
  | "reply_timeout"
  | "child_failed"
  | "definition_missing"
  | "crash_loop"
  | "output_failed"
  | "stuck";

/** What a new saga is made of; the first event of every journal. */
export interface SagaStarted {
  readonly name: string;
  readonly version: number;
  readonly graphHash: string;
  /** The step after which there is no way back, so that a journal can be read without the definition. */
  readonly pivot?: string;
  readonly input: unknown;
  readonly headers: Readonly<Record<string, string>>;
  readonly correlationId?: string;
  readonly tenantId?: string;
  /** Free attributes to search by. */
  readonly attributes?: Readonly<Record<string, string>>;
  readonly idempotencyKey?: string;
  /** Milliseconds since 1970: not before. */
  readonly startAt?: number;
  /** The worker that started it runs it: no admission event follows. */
  readonly admitted: boolean;
  readonly parent?: Parent;
  readonly forkOf?: { readonly sagaId: string; readonly fromStep: string };
  /** Steps whose results (and whose undo) a fork took over, by step key. */
  readonly reused?: Readonly<Record<string, Reused>>;
}

/** The saga whose step a child saga is. */
export interface Parent {
  readonly sagaId: string;
  readonly step: string;
}

/** What a fork takes over of a step or an item that is done. */
export interface Reused {
  /** Absent for a map step of which only items are done. */
  readonly result?: unknown;
  /** Of a map step: its list. */
  readonly items?: readonly unknown[];
  /** Of a child step: the saga that its undo compensates. */
  readonly childId?: string;
  /** Of a child step whose child was closed by force: that reason. */
  readonly childParked?: string;
  /** The idempotency key of the action, which another saga called: its undo has to name it. */
  readonly actionKey?: string;
}

interface Of<Type extends string, Data extends object = object> {
  readonly type: Type;
  readonly data: Data & Carrier;
}

interface OfStep<Type extends string, Data extends object = object> extends Of<Type, Data> {
  /** Step name, or `name[3]` for an item of a map step. */
  readonly step: string;
}

/** Events of the saga as a whole. */
export type SagaLevelEvent =
  | Of<"saga_started", SagaStarted>
  | Of<"saga_admitted">
  /** Carries tries of a saga that leaves memory without anything else to say. */
  | Of<"attempts_noted">
  | Of<"signal_received", { signal: string; payload: unknown; signalId?: string }>
  | Of<"saga_timed_out">
  | Of<"cancel_requested", Deed>
  | Of<"cancel_refused", { pivot: string }>
  | Of<"compensation_started", { cause: UnwindCause }>
  | Of<"saga_paused", Deed>
  | Of<"saga_resumed", Deed>
  | Of<"retry_requested", Deed>
  /** `crashed`: its last owner vanished, and whoever parked it did not ask what became of the attempts in flight. */
  | Of<"saga_parked", { reason: ParkReason; step?: string; detail?: string; crashed?: true }>
  | Of<"saga_unparked", { reason: ParkReason }>
  | Of<"saga_completed", { output?: unknown }>
  | Of<"saga_compensated", { exceptions: readonly string[] }>
  | Of<"saga_force_closed", Deed>
  /** A fork of the parent took this child over: it undoes it now, and hears of its end. */
  | Of<"parent_changed", { parent: Parent }>
  | Of<"saga_forked", { forkId: string; fromStep: string; input?: unknown } & Deed>;

/** Events of one step. */
export type StepEvent =
  | OfStep<"step_done", { result?: unknown; consumed?: string; by?: Deed; verified?: true }>
  | OfStep<"step_failed", { error: RecordedError; by?: Deed }>
  | OfStep<"step_maybe_done", { error: RecordedError }>
  | OfStep<"retry_scheduled", { at: number; error: RecordedError }>
  | OfStep<"pivot_started">
  | OfStep<"timer_set", { until: number }>
  /** A participant was asked: the message is in the outbox by the same write. `attempt`: of this direction, from 1. */
  | OfStep<"command_sent", { direction: Direction; attempt: number }>
  | OfStep<"map_listed", { items: readonly unknown[] }>
  | OfStep<"child_started", { childId: string; input: unknown }>
  | OfStep<"child_parked", { reason: string }>
  | OfStep<"late_effect", { result?: unknown }>
  | OfStep<"undo_retry_scheduled", { at: number; error: RecordedError }>
  | OfStep<"child_undo_requested">
  | OfStep<"step_compensated", { result?: unknown; by?: Deed }>
  | OfStep<"compensation_failed", { error: RecordedError; policy: "park" | "continue" }>
  | OfStep<"step_skipped", Deed>;

/** An event with its place in the journal. */
export type JournalEntry = SagaEvent & {
  /** From 1, without gaps. */
  readonly seq: number;
  /** Milliseconds since 1970, database time, never before the previous entry's. */
  readonly at: number;
};
