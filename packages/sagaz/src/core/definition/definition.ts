import type { StepContext, UndoContext, Verdict, VerifyContext } from "./context.ts";
import type { FailureStrategy, OnExhausted, OnUnknown, RetryPolicy } from "./policies.ts";
import type { StandardSchema } from "./standard-schema.ts";

/**
 * What a saga is: a name, a version, a graph of steps and policies. Immutable; one value serves any number of sagas.
 *
 * All three ways to write a saga (class, `ClassicSaga`, builder) produce this.
 */
export interface SagaDefinition<Input = unknown, Output = unknown> {
  readonly name: string;
  /** A saga is pinned to name, version and graph; raise the version when the graph changes. */
  readonly version: number;
  /** Fingerprint of everything that decides what may run when: 16 hex digits. */
  readonly graphHash: string;
  /** In an order in which every step comes after its dependencies; otherwise as written. */
  readonly steps: readonly StepDefinition[];
  readonly graph: StepGraph;
  readonly pivot: string | undefined;
  readonly strategy: FailureStrategy;
  readonly graceMs: number;
  readonly settleMs: number;
  /** Over the whole saga; before the pivot it starts compensation, after it it parks. */
  readonly timeoutMs: number | undefined;
  /** Sagas of it that one process runs at a time; more wait in the storage. */
  readonly inFlightMax: number | undefined;
  readonly inputSchema: StandardSchema<unknown, Input> | undefined;
  /** Makes the saga's output from its results; without it the output is the results, keyed by step. */
  readonly output: OutputMaker<Input, Output> | undefined;
}

/**
 * Makes a saga's output. Written as a method so that a definition of any input can be held as a `SagaDefinition`.
 */
export type OutputMaker<Input, Output> = {
  make(results: Readonly<Record<string, unknown>>, input: Input): Output;
}["make"];

/** Where a step stands towards undoing. */
export type StepRole = "compensatable" | "plain" | "pivot" | "retriable";

/** One node of the graph. */
export type StepDefinition = ActionStep | CommandStep | MapStep | SignalStep | SleepStep | ChildStep;

/** What every step has. */
interface EveryStep {
  readonly name: string;
  readonly role: StepRole;
  readonly dependsOn: readonly string[];
  /** Extra edges for undoing: these steps' compensations complete before this one's starts. */
  readonly undoAfter: readonly string[];
  readonly retry: RetryPolicy;
  readonly undoRetry: RetryPolicy;
  /** One attempt of any of the step's functions; authors write `timeoutMs`. */
  readonly attemptTimeoutMs: number;
  /** All attempts together, from the moment the step became ready. */
  readonly stepTimeoutMs: number | undefined;
  readonly onUnknown: OnUnknown;
  readonly onExhausted: OnExhausted;
  readonly resultSchema: StandardSchema | undefined;
}

/** A function with an optional undo. */
export interface ActionStep extends EveryStep {
  readonly kind: "action";
  /** Runs in the engine's own transaction, so that it is done exactly once. */
  readonly transactional: boolean;
  readonly do: (ctx: StepContext) => unknown;
  readonly undo: ((ctx: UndoContext) => unknown) | undefined;
  readonly verify: ((ctx: VerifyContext) => Verdict | Promise<Verdict>) | undefined;
}

/** Asks a participant, another service, and waits for its reply, which is the step's result. */
export interface CommandStep extends EveryStep {
  readonly kind: "command";
  /** What the participant calls it. */
  readonly command: string;
  /** Where its messages go: a topic or a URL. */
  readonly topic: string;
  readonly payload: (ctx: StepContext) => unknown;
  /** Makes the payload of the message that asks for the undo. */
  readonly undo: ((ctx: UndoContext) => unknown) | undefined;
  readonly verify: ((ctx: VerifyContext) => Verdict | Promise<Verdict>) | undefined;
  /** So long without a reply, and the outcome is unknown; undefined: then `waitMs` counts. */
  readonly replyTimeoutMs: number | undefined;
  /** So long without a reply, and the saga is parked. */
  readonly waitMs: number;
}

/** The same action over a list; each item has its own outcome and its own undo. Its result is the list of results. */
export interface MapStep extends EveryStep {
  readonly kind: "map";
  readonly over: (ctx: StepContext) => unknown;
  readonly concurrency: number;
  readonly do: (ctx: StepContext) => unknown;
  readonly undo: ((ctx: UndoContext) => unknown) | undefined;
  readonly verify: ((ctx: VerifyContext) => Verdict | Promise<Verdict>) | undefined;
}

/** Waits for an external event; its result is the event's payload. */
export interface SignalStep extends EveryStep {
  readonly kind: "signal";
  readonly signal: string;
  /** How long to wait before the saga is parked. */
  readonly waitMs: number;
}

/** A durable timer. */
export interface SleepStep extends EveryStep {
  readonly kind: "sleep";
  readonly forMs: (ctx: StepContext) => unknown;
  /** The duration when it is known beforehand; undefined when `forMs` computes it. */
  readonly fixedMs: number | undefined;
}

/** Another saga as a step; its result is that saga's output. */
export interface ChildStep extends EveryStep {
  readonly kind: "child";
  readonly child: SagaDefinition;
  readonly input: (ctx: StepContext) => unknown;
}

/** What can be computed from the dependencies once and for all. */
export interface StepGraph {
  readonly byName: ReadonlyMap<string, StepDefinition>;
  /** The steps that ask participants. */
  readonly commands: readonly CommandStep[];
  /** Direct dependents. */
  readonly dependents: ReadonlyMap<string, readonly string[]>;
  /** All steps that come before, through any number of edges. */
  readonly ancestors: ReadonlyMap<string, ReadonlySet<string>>;
  /** For a compensatable step: the compensatable steps whose undo completes before its own starts. */
  readonly undoneBefore: ReadonlyMap<string, ReadonlySet<string>>;
}
