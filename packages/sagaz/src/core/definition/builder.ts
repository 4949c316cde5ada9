import { DraftBuilder } from "./draft-builder.ts";
import type {
  ChildSpec,
  ForwardCommand,
  ForwardStep,
  NoUndo,
  SignalSpec,
  SleepSpec,
  UndoableCommand,
  UndoableMap,
  UndoableStep,
} from "./builder-steps.ts";
import type { SagaDefinition } from "./definition.ts";
import type { SagaOptions } from "./draft.ts";
import type { NotAllowed } from "./not-allowed.ts";
import type { StandardSchema } from "./standard-schema.ts";

/** Options of {@link saga}. Times are milliseconds. */
export interface BuilderOptions<Input> extends SagaOptions {
  /** Standard Schema of the input, which also gives it its type; `unchecked<Order>()` gives only the type. */
  readonly input?: StandardSchema<unknown, Input>;
}

/** What the types remember of a step: its result, and the names of all steps before it. A saga's steps are a union. */
interface Built<Name extends string = string, Result = unknown, Before extends string = string> {
  readonly name: Name;
  readonly result: Result;
  readonly before: Before;
}

/** The named steps and all before them. */
type Reaching<Steps extends Built, Name extends string> = Name | Extract<Steps, { name: Name }>["before"];

/** The results of the steps of these names. */
type ResultsOf<Steps extends Built, Name extends string> = {
  readonly [Step in Extract<Steps, { name: Name }> as Step["name"]]: Step["result"];
};

/** What a step that comes after the named ones sees. */
type Visible<Steps extends Built, Name extends string> = ResultsOf<Steps, Reaching<Steps, Name>>;

type Fresh<Name extends string, Steps extends Built> = Name extends Steps["name"]
  ? NotAllowed<`a step named "${Name}" exists already`>
  : unknown;

/** An undo whose type says nothing (`never`, `any`) counts as none here; `build` finds what the types let pass. */
type IfUndo<Undone, Name extends string> = [Undone] extends [never]
  ? never
  : Undone extends NoUndo
    ? never
    : Name;

type ForwardOnly<Pivot extends string> = [Pivot] extends [never]
  ? unknown
  : { readonly undo?: NotAllowed<`after the pivot "${Pivot}" nothing is undone`> };

type PivotRules<Pivot extends string, Missed extends string> = [Pivot] extends [never]
  ? [Missed] extends [never]
    ? unknown
    : NotAllowed<`the pivot must come after "${Missed}", which can be undone`>
  : NotAllowed<`the saga has a pivot already: "${Pivot}"`>;

/**
 * A saga under construction. Immutable: each call returns a new one, which knows the steps so far, so a name that is
 * taken, a dependency that does not exist, a result that is not visible and an undo after the pivot do not compile.
 */
export interface SagaBuilder<
  Input,
  Steps extends Built = never,
  Undoable extends string = never,
  Pivot extends string = never,
> {
  /** Adds an action and, if it can be undone, its compensation. Write `do` before `undo`: its types come from it. */
  step<
    const Name extends string,
    Returned,
    After extends Steps["name"] = never,
    Recorded = Awaited<Returned>,
    Undone = NoUndo,
  >(
    name: Name & Fresh<Name, Steps>,
    step: UndoableStep<After, Input, Visible<Steps, After>, Returned, Recorded, Undone> & ForwardOnly<Pivot>,
  ): SagaBuilder<
    Input,
    Steps | Built<Name, Recorded, Reaching<Steps, After>>,
    Undoable | IfUndo<Undone, Name>,
    Pivot
  >;

  /**
   * Adds the action after which the saga can only go forward. It comes after every step that can be undone; steps after
   * it are retried until they are done, or parked.
   */
  pivot<
    const Name extends string,
    Returned,
    After extends Steps["name"] = never,
    Recorded = Awaited<Returned>,
  >(
    name: Name & Fresh<Name, Steps>,
    step: ForwardStep<After, Input, Visible<Steps, After>, Returned, Recorded> &
      PivotRules<Pivot, Exclude<Undoable, Reaching<Steps, After>>>,
  ): SagaBuilder<Input, Steps | Built<Name, Recorded, Reaching<Steps, After>>, Undoable, Name>;

  /** Adds a command to a participant after which the saga can only go forward. */
  pivot<const Name extends string, Recorded = unknown, After extends Steps["name"] = never>(
    name: Name & Fresh<Name, Steps>,
    step: ForwardCommand<After, Input, Visible<Steps, After>, Recorded> &
      PivotRules<Pivot, Exclude<Undoable, Reaching<Steps, After>>>,
  ): SagaBuilder<Input, Steps | Built<Name, Recorded, Reaching<Steps, After>>, Undoable, Name>;

  /**
   * Adds a command: a message that asks a participant, another service, to do something, and the wait for its reply. If
   * `undo` is there, a message asks it to undo that.
   */
  command<
    const Name extends string,
    Recorded = unknown,
    After extends Steps["name"] = never,
    Undone = NoUndo,
  >(
    name: Name & Fresh<Name, Steps>,
    step: UndoableCommand<After, Input, Visible<Steps, After>, Recorded, Undone> & ForwardOnly<Pivot>,
  ): SagaBuilder<
    Input,
    Steps | Built<Name, Recorded, Reaching<Steps, After>>,
    Undoable | IfUndo<Undone, Name>,
    Pivot
  >;

  /** Adds an action that runs for each item of a list; its result is the list of results. */
  map<
    const Name extends string,
    Item,
    Returned,
    After extends Steps["name"] = never,
    Recorded = Awaited<Returned>,
    Undone = NoUndo,
  >(
    name: Name & Fresh<Name, Steps>,
    step: UndoableMap<After, Input, Visible<Steps, After>, Item, Returned, Recorded, Undone> &
      ForwardOnly<Pivot>,
  ): SagaBuilder<
    Input,
    Steps | Built<Name, readonly Recorded[], Reaching<Steps, After>>,
    Undoable | IfUndo<Undone, Name>,
    Pivot
  >;

  /** Adds a step that waits for an external event; its result is the event's payload. */
  signal<const Name extends string, After extends Steps["name"] = never, Payload = unknown>(
    name: Name & Fresh<Name, Steps>,
    step?: SignalSpec<After, Payload>,
  ): SagaBuilder<Input, Steps | Built<Name, Payload, Reaching<Steps, After>>, Undoable, Pivot>;

  /** Adds a wait that outlives restarts. */
  sleep<const Name extends string, After extends Steps["name"] = never>(
    name: Name & Fresh<Name, Steps>,
    step: SleepSpec<After, Input, Visible<Steps, After>>,
  ): SagaBuilder<Input, Steps | Built<Name, undefined, Reaching<Steps, After>>, Undoable, Pivot>;

  /** Adds another saga as a step; its result is that saga's output. Undoing it compensates that saga. */
  child<const Name extends string, ChildInput, ChildOutput, After extends Steps["name"] = never>(
    name: Name & Fresh<Name, Steps>,
    step: ChildSpec<After, Input, Visible<Steps, After>, ChildInput, ChildOutput>,
  ): SagaBuilder<Input, Steps | Built<Name, ChildOutput, Reaching<Steps, After>>, Undoable, Pivot>;

  /**
   * Checks every rule and makes the definition. Without `output` the saga's output is its results, keyed by step.
   *
   * @throws SagaError with the code of the first rule that is broken (`docs/reference/errors.md`).
   */
  build<Output = ResultsOf<Steps, Steps["name"]>>(options?: {
    readonly output?: (results: ResultsOf<Steps, Steps["name"]>, input: Input) => Output;
  }): SagaDefinition<Input, Output>;
}

/**
 * Begins a saga whose types the compiler checks: input, results, the order of steps and the rules of the pivot.
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION` for an option that does not exist.
 *
 * @example
 * const trip = saga("trip", { input: TripInput })
 *   .step("flight", { do: (ctx) => bookFlight(ctx.input), undo: (ctx) => cancelFlight(ctx.result.ref) })
 *   .step("hotel", { do: (ctx) => bookHotel(ctx.input), undo: (ctx) => cancelHotel(ctx.result.ref) })
 *   .pivot("pay", { after: ["flight", "hotel"], do: (ctx) => pay(ctx.results.flight.price + ctx.results.hotel.price) })
 *   .step("tickets", { after: ["pay"], do: (ctx) => sendTickets(ctx.results.flight.ref) })
 *   .build();
 */
export function saga<Input = unknown>(name: string, options: BuilderOptions<Input> = {}): SagaBuilder<Input> {
  return DraftBuilder.start(name, options) as unknown as SagaBuilder<Input>;
}
