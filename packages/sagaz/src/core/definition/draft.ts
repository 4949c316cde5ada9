import type { StepContext, UndoContext, Verdict, VerifyContext } from "./context.ts";
import type { SagaDefinition } from "./definition.ts";
import type { FailureStrategy, OnExhausted, OnUnknown, RetryPolicy } from "./policies.ts";
import type { StandardSchema } from "./standard-schema.ts";

/** Options that every step takes; all have defaults (see `docs/reference/options.md`). Times are milliseconds. */
export interface StepOptions {
  /** What differs from the saga's retry policy; for a step after the pivot, from a day of retries. */
  readonly retry?: Partial<RetryPolicy>;
  /** One attempt of any of the step's functions, undo and verify included. 60 s if not set. */
  readonly timeoutMs?: number;
  /** All attempts together, from the moment the step became ready. Not limited if not set. */
  readonly stepTimeoutMs?: number;
  /** What to do when nobody knows whether an attempt took effect and `verify` does not tell. `"rerun"` if not set. */
  readonly onUnknown?: OnUnknown;
  /** Standard Schema of the result; a result that does not fit is a final failure. */
  readonly result?: StandardSchema;
}

/** Options of a compensation. */
export interface UndoOptions {
  /** These steps' compensations complete first, besides those that the graph already demands. */
  readonly after?: readonly string[];
  /** What differs from ten attempts with a delay of up to a minute. */
  readonly retry?: Partial<RetryPolicy>;
  /** What to do when all attempts are used up. `"park"` if not set. */
  readonly onExhausted?: OnExhausted;
}

/** Options of a whole saga. Times are milliseconds. */
export interface SagaOptions {
  /** From 1. A running saga stays with its version: raise it when the graph changes. */
  readonly version?: number;
  /** What happens to steps in flight when another finally fails. `"FAIL_FAST_WITH_GRACE"` if not set. */
  readonly strategy?: FailureStrategy;
  /** How long `FAIL_FAST_WITH_GRACE` lets steps in flight go on. 2 s if not set. */
  readonly graceMs?: number;
  /** How long an aborted attempt may take to settle before anything else is done about it. 5 s if not set. */
  readonly settleMs?: number;
  /** Over the whole saga: before the pivot it starts compensation, after it it parks. Not limited if not set. */
  readonly timeoutMs?: number;
  /** The retry policy of steps that set none. Steps after the pivot keep trying for a day unless they say otherwise. */
  readonly retry?: Partial<RetryPolicy>;
  /** Chains steps that name no dependencies in the order in which they are written. Otherwise they run in parallel. */
  readonly sequential?: boolean;
  /** How many sagas of this definition one process runs at a time; more wait in the storage. Not limited if not set. */
  readonly inFlightMax?: number;
}

/** A step as an author wrote it, before checks and defaults: what class, classic form and builder all produce. */
export interface StepDraft {
  readonly name: string;
  /** Undefined when the author named none: then `sequential` decides. An empty list means: none. */
  readonly dependsOn: readonly string[] | undefined;
  readonly pivot: boolean;
  readonly options: StepOptions;
  readonly work: StepWork;
  readonly undo?: UndoDraft | undefined;
}

/** A compensation as an author wrote it. */
export interface UndoDraft {
  readonly run: (ctx: UndoContext) => unknown;
  readonly options: UndoOptions;
}

/** What a step does, by kind. */
export type StepWork =
  | {
      readonly kind: "action";
      readonly transactional: boolean;
      readonly do: (ctx: StepContext) => unknown;
      readonly verify?: ((ctx: VerifyContext) => Verdict | Promise<Verdict>) | undefined;
    }
  | {
      readonly kind: "map";
      readonly over: (ctx: StepContext) => unknown;
      readonly concurrency?: number | undefined;
      readonly do: (ctx: StepContext) => unknown;
      readonly verify?: ((ctx: VerifyContext) => Verdict | Promise<Verdict>) | undefined;
    }
  | {
      readonly kind: "command";
      readonly command: string;
      readonly topic: string;
      readonly payload: (ctx: StepContext) => unknown;
      readonly verify?: ((ctx: VerifyContext) => Verdict | Promise<Verdict>) | undefined;
      readonly replyTimeoutMs?: number | undefined;
      readonly waitMs?: number | undefined;
    }
  | { readonly kind: "signal"; readonly signal: string; readonly waitMs?: number | undefined }
  | { readonly kind: "sleep"; readonly forMs: number | ((ctx: StepContext) => unknown) }
  | {
      readonly kind: "child";
      readonly child: SagaDefinition;
      readonly input: (ctx: StepContext) => unknown;
    };

/** A saga as an author wrote it. */
export interface SagaDraft {
  readonly name: string;
  readonly options: SagaOptions;
  readonly steps: readonly StepDraft[];
  readonly input?: StandardSchema | undefined;
  readonly output?: ((results: Readonly<Record<string, unknown>>, input: never) => unknown) | undefined;
}

/** A child with a pivot makes its step the parent's pivot: once the child cannot go back, neither can the parent. */
export function isPivot(step: StepDraft): boolean {
  return step.pivot || (step.work.kind === "child" && step.work.child.pivot !== undefined);
}

/** Tells whether a step can be undone: by its own compensation, or by compensating the child that it started. */
export function isCompensatable(step: StepDraft): boolean {
  return step.undo !== undefined || (step.work.kind === "child" && step.work.child.pivot === undefined);
}
