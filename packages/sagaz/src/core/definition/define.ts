import { DEFAULTS } from "./policies.ts";
import type { FailureStrategy, OnExhausted, OnUnknown, RetryPolicy } from "./policies.ts";
import type { StepContext, UndoContext, Verdict, VerifyContext } from "./context.ts";
import type { SagaDefinition, StepDefinition, StepRole } from "./definition.ts";
import type { StandardSchema } from "./standard-schema.ts";
import { checkDefinition } from "./check.ts";
import { buildGraph, hashGraph, inDependencyOrder } from "./graph.ts";

/** Options that every step takes; all have defaults (see `docs/reference/options.md`). Times are milliseconds. */
export interface StepOptions {
  readonly retry?: Partial<RetryPolicy>;
  readonly attemptTimeoutMs?: number;
  readonly stepTimeoutMs?: number;
  readonly onUnknown?: OnUnknown;
  /** Standard Schema of the result; a result that does not fit is a final failure. */
  readonly result?: StandardSchema;
}

/** Options of a compensation. */
export interface UndoOptions {
  /** These steps' compensations complete first, besides those that the graph already demands. */
  readonly after?: readonly string[];
  readonly retry?: Partial<RetryPolicy>;
  readonly onExhausted?: OnExhausted;
}

/** Options of a whole saga. */
export interface SagaOptions {
  readonly version?: number;
  readonly strategy?: FailureStrategy;
  readonly graceMs?: number;
  readonly settleMs?: number;
  readonly timeoutMs?: number;
  /** The retry policy of steps that set none. */
  readonly retry?: Partial<RetryPolicy>;
}

/** A step as an author wrote it, before checks and defaults: what class, classic form and builder all produce. */
export interface StepDraft {
  readonly name: string;
  readonly dependsOn: readonly string[];
  readonly pivot: boolean;
  readonly options: StepOptions;
  readonly work: StepWork;
  readonly undo?: { readonly run: (ctx: UndoContext) => unknown; readonly options: UndoOptions };
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
  | { readonly kind: "signal"; readonly signal: string; readonly waitMs?: number | undefined }
  | { readonly kind: "sleep"; readonly forMs: number | ((ctx: StepContext) => unknown) }
  | { readonly kind: "child"; readonly child: SagaDefinition; readonly input: (ctx: StepContext) => unknown };

/** A saga as an author wrote it. */
export interface SagaDraft {
  readonly name: string;
  readonly options: SagaOptions;
  readonly steps: readonly StepDraft[];
  readonly input?: StandardSchema | undefined;
  readonly output?: ((results: Readonly<Record<string, unknown>>, input: never) => unknown) | undefined;
}

/**
 * Checks a draft by every rule of definitions and makes the immutable {@link SagaDefinition}.
 *
 * @throws SagaError with the code of the first rule that is broken (`docs/reference/errors.md`).
 */
export function define(draft: SagaDraft): SagaDefinition {
  checkDefinition(draft);
  const { options } = draft;
  const pivot = draft.steps.find(isPivot)?.name;
  const steps = inDependencyOrder(draft.steps).map((step) => toStep(step, { draft, pivot }));
  const settled = {
    name: draft.name,
    version: options.version ?? 1,
    steps: Object.freeze(steps.map((step) => Object.freeze(step))),
    pivot,
    strategy: options.strategy ?? DEFAULTS.strategy,
    graceMs: options.graceMs ?? DEFAULTS.graceMs,
    settleMs: options.settleMs ?? DEFAULTS.settleMs,
    timeoutMs: options.timeoutMs,
    inputSchema: draft.input,
    output: draft.output as SagaDefinition["output"],
  };
  return Object.freeze({ ...settled, graph: buildGraph(steps), graphHash: hashGraph(settled) });
}

/** A child with a pivot makes its step the parent's pivot: once the child cannot go back, neither can the parent. */
export function isPivot(step: StepDraft): boolean {
  return step.pivot || (step.work.kind === "child" && step.work.child.pivot !== undefined);
}
