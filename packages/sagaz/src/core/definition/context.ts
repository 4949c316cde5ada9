import type { OutboxEvent } from "../delivery/outbox-event.ts";

declare global {
  // The core compiles without the DOM and without Node; wherever it is used, one of them fills this in.
  interface AbortSignal {}
}

/** Writes a line that carries the ids of saga and step. */
export interface StepLog {
  debug(message: string, details?: Readonly<Record<string, unknown>>): void;
  info(message: string, details?: Readonly<Record<string, unknown>>): void;
  warn(message: string, details?: Readonly<Record<string, unknown>>): void;
  error(message: string, details?: Readonly<Record<string, unknown>>): void;
}

/** What every function of a step gets. */
interface CallContext<Input> {
  /** The saga's input, as its schema returned it. */
  readonly input: Input;
  readonly sagaId: string;
  /** The step's key; items of a map step are `name[3]`. */
  readonly step: string;
  /** 1 for the first attempt. Counting goes on after a crash. */
  readonly attempt: number;
  /**
   * The same for all attempts of this action, different for its compensation. Hand it to the services you call, so
   * that a repeated attempt does nothing twice.
   */
  readonly idempotencyKey: string;
  /** Aborts on timeout, when the strategy cuts the step off, and when this worker may not go on. */
  readonly signal: AbortSignal;
  /** What was given at the start: correlation, trace, tenant. */
  readonly headers: Readonly<Record<string, string>>;
  readonly log: StepLog;
  /**
   * Publishes an event if and only if what this call returns is recorded: it goes to the outbox in the same transaction.
   * Its key and subject are the saga, its correlation and trace those of the start, unless it says otherwise.
   *
   * @throws SagaError `SAGAZ_INVALID_EVENT`, `SAGAZ_NOT_JSON`, `SAGAZ_PAYLOAD_TOO_LARGE`, `SAGAZ_TOO_MANY_EVENTS`;
   * `SAGAZ_CALL_SETTLED` once the function has returned.
   */
  publish(event: OutboxEvent): void;
}

/** A step's method of a class, to name its result: `ctx.resultOf(this.reserve)`. */
export type StepMethod<Result = unknown> = (...args: never[]) => Result | Promise<Result>;

/** The recorded result of a step's method: what it returns, or a list of that for a map step. */
export type ResultOf<Method extends StepMethod> =
  Parameters<Method> extends [{ readonly index: number }, ...unknown[]]
    ? readonly Awaited<ReturnType<Method>>[]
    : Awaited<ReturnType<Method>>;

/** What an action gets. `Results` holds the results of the step's (transitive) dependencies, keyed by step name. */
export interface StepContext<
  Input = unknown,
  Results = Readonly<Record<string, unknown>>,
> extends CallContext<Input> {
  /** Reading the result of a step that is no dependency throws `SAGAZ_NOT_A_DEPENDENCY`. */
  readonly results: Results;
  /** The result of a decorated method of this class, typed from it; checked when read like `results`. */
  resultOf<Method extends StepMethod>(method: Method): ResultOf<Method>;
  /** The item of a map step, and its place in the list; undefined in other steps. */
  readonly item: unknown;
  readonly index: number | undefined;
  /**
   * The engine's own transaction: what is written through it commits together with the step's result, or not at
   * all. Only in steps declared `transactional`, else reading it throws `SAGAZ_NOT_TRANSACTIONAL`.
   */
  readonly tx: SqlRunner;
}

/** What the action of a map step gets: one item of the list. */
export interface MapContext<
  Input = unknown,
  Item = unknown,
  Results = Readonly<Record<string, unknown>>,
> extends StepContext<Input, Results> {
  readonly item: Item;
  /** The item's place in the list, from 0. */
  readonly index: number;
}

/** What a compensation gets. */
export interface UndoContext<
  Input = unknown,
  Result = unknown,
  Results = Readonly<Record<string, unknown>>,
> extends CallContext<Input> {
  /**
   * What the action returned. When `outcome` is `unknown` reading it throws `SAGAZ_RESULT_UNKNOWN`, so that code that
   * cannot cope is parked instead of guessing.
   */
  readonly result: Result;
  /** `done`: the action is recorded as done. `unknown`: it may have been done. */
  readonly outcome: "done" | "unknown";
  /** The idempotency key that the action's attempts carried. */
  readonly actionKey: string;
  /** Results of the action's dependencies, as the action saw them. */
  readonly results: Results;
  resultOf<Method extends StepMethod>(method: Method): ResultOf<Method>;
  /** What compensations that ran before this one returned, keyed by step. */
  readonly undone: Readonly<Record<string, unknown>>;
  readonly item: unknown;
  readonly index: number | undefined;
  readonly tx: SqlRunner;
}

/** What the compensation of a map step gets: one item that was, or may have been, done. */
export interface MapUndoContext<
  Input = unknown,
  Item = unknown,
  Result = unknown,
  Results = Readonly<Record<string, unknown>>,
> extends UndoContext<Input, Result, Results> {
  readonly item: Item;
  /** The item's place in the list, from 0. */
  readonly index: number;
}

/** What `verify` gets: asked whether an attempt with this idempotency key took effect. */
export type VerifyContext<Input = unknown, Results = Readonly<Record<string, unknown>>> = Omit<
  StepContext<Input, Results>,
  "tx"
>;

/** What `verify` answers. */
export type Verdict<Result = unknown> =
  | { readonly outcome: "done"; readonly result: Result }
  | { readonly outcome: "not_done" }
  | { readonly outcome: "unknown" };

/** Runs one SQL statement in a transaction that the caller holds, and returns its rows. The whole adapter. */
export type SqlRunner = (
  sql: string,
  params?: readonly unknown[],
) => Promise<readonly Readonly<Record<string, unknown>>[]>;
