import type {
  MapContext,
  MapUndoContext,
  StepContext,
  UndoContext,
  Verdict,
  VerifyContext,
} from "./context.ts";
import type { StepOptions } from "./draft.ts";
import type { NotAllowed } from "./not-allowed.ts";
import type { RetryPolicy } from "./policies.ts";
import type { Sagaish } from "./sagaish.ts";
import type { StandardSchema } from "./standard-schema.ts";
import type { FlatUndoOptions } from "./undo-options.ts";

/** The result of a compensation that was not written: tells it from one that returns nothing. */
export type NoUndo = NotAllowed<"no compensation was written">;

/** The edge that every step may have: a misspelt or later name does not compile. */
export interface After<Name extends string> {
  /** The steps that must be done before. Without it the step starts at once, unless the saga is `sequential`. */
  readonly after?: readonly Name[];
}

/** An action without its compensation. Write `do` first: the types of what follows come from it. */
export interface ForwardStep<Name extends string, Input, Results, Returned, Recorded>
  extends After<Name>, Omit<StepOptions, "result"> {
  readonly do: (ctx: StepContext<Input, Results>) => Returned;
  /** Asked when nobody knows whether an attempt took effect. */
  readonly verify?: (
    ctx: VerifyContext<Input, Results>,
  ) => Verdict<NoInfer<Recorded>> | Promise<Verdict<NoInfer<Recorded>>>;
  /** Standard Schema of the result; a result that does not fit is a final failure. */
  readonly result?: StandardSchema<unknown, Recorded>;
  /** Runs in the engine's own transaction (`ctx.tx`): done exactly once. */
  readonly transactional?: boolean;
}

/** An action and, if it can be undone, its compensation. Write `do` before `undo`: its types come from it. */
export interface UndoableStep<Name extends string, Input, Results, Returned, Recorded, Undone>
  extends ForwardStep<Name, Input, Results, Returned, Recorded>, FlatUndoOptions {
  readonly undo?: (ctx: UndoContext<Input, NoInfer<Recorded>, Results>) => Undone;
}

/**
 * A command to a participant, another service, without its undo. Its reply is the step's result: `result` gives that its
 * type, and checks it.
 */
export interface ForwardCommand<Name extends string, Input, Results, Recorded>
  extends After<Name>, Omit<StepOptions, "result"> {
  /** Where the participant gets its commands from: a topic, or a URL to which an `HttpOutlet` posts them. */
  readonly topic: string;
  /** What the participant calls it; the step's name if not set. */
  readonly command?: string;
  /** Makes what is sent along. */
  readonly payload: (ctx: StepContext<Input, Results>) => unknown;
  /** Standard Schema of the result; a result that does not fit counts as one that cannot be read. */
  readonly result?: StandardSchema<unknown, Recorded>;
  /** Asked when no reply came in time, or one that says that nobody knows. */
  readonly verify?: (
    ctx: VerifyContext<Input, Results>,
  ) => Verdict<NoInfer<Recorded>> | Promise<Verdict<NoInfer<Recorded>>>;
  /**
   * How long to wait for the reply before the outcome counts as unknown: then `verify` is asked, or the participant again,
   * as `onUnknown` and `retry` say. Without it nobody asks again. It must be well above the time that a command stands in the
   * participant's queue when that is full: nothing gets lost on the way, so that asking sooner only gives up what would be done.
   */
  readonly replyTimeoutMs?: number;
  /** Without `replyTimeoutMs`: how long to wait for the reply before the saga is parked, in milliseconds. 7 days if not set. */
  readonly waitMs?: number;
}

/** A command to a participant and, if that can undo it, what is sent along with the command that asks for it. */
export interface UndoableCommand<Name extends string, Input, Results, Recorded, Undone>
  extends ForwardCommand<Name, Input, Results, Recorded>, FlatUndoOptions {
  /** Makes what is sent along. The participant knows what it did: often there is nothing to say. */
  readonly undo?: (ctx: UndoContext<Input, NoInfer<Recorded>, Results>) => Undone;
}

/** An action for each item of a list. Write `over`, then `do`, then the rest. */
export interface ForwardMap<Name extends string, Input, Results, Item, Returned, Recorded>
  extends After<Name>, Omit<StepOptions, "result"> {
  /** Lists the items (at most 10,000). The list is recorded before the first item starts. */
  readonly over: (ctx: StepContext<Input, Results>) => readonly Item[] | Promise<readonly Item[]>;
  readonly do: (ctx: MapContext<Input, Item, Results>) => Returned;
  /** How many items run at a time. 10 if not set. */
  readonly concurrency?: number;
  /** Asked, for one item, when nobody knows whether an attempt took effect. */
  readonly verify?: (
    ctx: VerifyContext<Input, Results>,
  ) => Verdict<NoInfer<Recorded>> | Promise<Verdict<NoInfer<Recorded>>>;
  /** Standard Schema of one item's result. */
  readonly result?: StandardSchema<unknown, Recorded>;
}

/** An action for each item of a list, and the compensation of one item. */
export interface UndoableMap<Name extends string, Input, Results, Item, Returned, Recorded, Undone>
  extends ForwardMap<Name, Input, Results, Item, Returned, Recorded>, FlatUndoOptions {
  readonly undo?: (ctx: MapUndoContext<Input, Item, NoInfer<Recorded>, Results>) => Undone;
}

/** A step that waits for an external event. */
export interface SignalSpec<Name extends string, Payload> extends After<Name> {
  /** The name under which the event is sent; the step's name if not set. */
  readonly signal?: string;
  /** How long to wait before the saga is parked, in milliseconds. 7 days if not set. */
  readonly waitMs?: number;
  /** Standard Schema of the payload. */
  readonly payload?: StandardSchema<unknown, Payload>;
}

/** A durable timer. */
export interface SleepSpec<Name extends string, Input, Results>
  extends After<Name>, Pick<StepOptions, "retry" | "timeoutMs"> {
  /** Milliseconds, or a function that computes them when the step starts. */
  readonly forMs: number | ((ctx: StepContext<Input, Results>) => number | Promise<number>);
}

/** Another saga as a step. */
export interface ChildSpec<Name extends string, Input, Results, ChildInput, ChildOutput> extends After<Name> {
  readonly saga: Sagaish<ChildInput, ChildOutput>;
  /** Makes the child's input. */
  readonly input: (ctx: StepContext<Input, Results>) => NoInfer<ChildInput> | Promise<NoInfer<ChildInput>>;
  readonly retry?: Partial<RetryPolicy>;
  readonly timeoutMs?: number;
}
