import type { StepContext, StepMethod, Verdict, VerifyContext } from "./context.ts";
import { declare, rememberStepName } from "./declared.ts";
import type { StepOptions, UndoOptions } from "./draft.ts";
import type { NotAllowed } from "./not-allowed.ts";
import type { RetryPolicy } from "./policies.ts";
import type { Sagaish } from "./sagaish.ts";
import type { StandardSchema } from "./standard-schema.ts";

export { stepNameOf } from "./declared.ts";

/** What every decorator of a step takes. */
interface Edges {
  /** The steps that must be done before. Without it the step starts at once, unless the class is `sequential`. */
  readonly dependsOn?: readonly string[];
}

/** Options of `@action`. Times are milliseconds. */
export interface ActionOptions<Input = unknown> extends StepOptions, Edges {
  /** Asked when nobody knows whether an attempt took effect. A method of the class is made that by {@link verify}. */
  readonly verify?: (ctx: VerifyContext<Input>) => Verdict | Promise<Verdict>;
  /** Runs in the engine's own transaction (`ctx.tx`): done exactly once. */
  readonly transactional?: boolean;
  /** The point of no return: after it the saga only goes forward. */
  readonly pivot?: boolean;
}

/** Options of `@map`. Times are milliseconds. */
export interface MapOptions<Input = unknown, This = unknown> extends StepOptions, Edges {
  /**
   * Lists the items (at most 10,000). The list is recorded before the first item starts. Its `this` is the instance:
   * `over(this: OrderSaga, ctx: StepContext<Order>) { return this.catalogue.split(ctx.input); }`.
   */
  readonly over: (this: This, ctx: StepContext<Input>) => readonly unknown[] | Promise<readonly unknown[]>;
  /** How many items run at a time. 10 if not set. */
  readonly concurrency?: number;
  /** Asked, for one item, when nobody knows whether an attempt took effect; see also {@link verify}. */
  readonly verify?: (ctx: VerifyContext<Input>) => Verdict | Promise<Verdict>;
}

/** Options of `@command`. Times are milliseconds. */
export interface CommandOptions<Input = unknown> extends StepOptions, Edges {
  /** Where the participant gets its commands from: a topic, or a URL to which an `HttpOutlet` posts them. */
  readonly topic: string;
  /** What the participant calls it; the step's name if not set. */
  readonly command?: string;
  /** Asked when no reply came in time; see also {@link verify}. */
  readonly verify?: (ctx: VerifyContext<Input>) => Verdict | Promise<Verdict>;
  /**
   * How long to wait for the reply before the outcome counts as unknown: then `verify` is asked, or the participant again,
   * as `onUnknown` and `retry` say. Without it nobody asks again. It must be well above the time that a command stands in the
   * participant's queue when that is full: nothing gets lost on the way, so that asking sooner only gives up what would be done.
   */
  readonly replyTimeoutMs?: number;
  /** Without `replyTimeoutMs`: how long to wait for the reply before the saga is parked. 7 days if not set. */
  readonly waitMs?: number;
  /** The point of no return: after it the saga only goes forward. */
  readonly pivot?: boolean;
}

/** Options of `@signal`. */
export interface SignalOptions extends Edges {
  /** The name under which the event is sent; the step's name if not set. */
  readonly signal?: string;
  /** How long to wait before the saga is parked, in milliseconds. 7 days if not set. */
  readonly waitMs?: number;
  /** Standard Schema of the payload. */
  readonly payload?: StandardSchema;
}

/** Options of `@sleep`. */
export interface SleepOptions extends Edges {
  readonly retry?: Partial<RetryPolicy>;
  readonly timeoutMs?: number;
}

/** Options of `@child`. */
export interface ChildOptions extends SleepOptions {
  /** The saga to start; the decorated method makes its input. */
  readonly saga: Sagaish;
}

type MethodDecorator<Method extends StepMethod = StepMethod> = (
  method: Method,
  context: ClassMethodDecoratorContext,
) => void;

/** Without a typed item the type of `ctx.resultOf(this.method)` would be wrong: it is a list. */
type TakesItem<Method extends StepMethod> =
  Parameters<Method> extends [{ readonly index: number }]
    ? unknown
    : NotAllowed<"the method of a @map step takes one MapContext">;

/**
 * Makes a method the action of a step. The method stays what it is: it can be called directly in a test.
 *
 * @example
 * @action("charge_payment", { dependsOn: ["reserve_inventory"], timeoutMs: 5_000 })
 * async charge(ctx: StepContext<Order>) { return payments.charge(ctx.input, { key: ctx.idempotencyKey }); }
 */
export function action<Input = unknown>(name: string, options: ActionOptions<Input> = {}): MethodDecorator {
  const declaration = declare({ decorator: "action", name, options });
  return (method, context) => {
    declaration.add(context);
    rememberStepName(method, name);
  };
}

/** The same as {@link action}. */
export const step: typeof action = action;

/**
 * Makes a method the payload of a command: a message that asks a participant, another service, to do something. The step's
 * result is the reply: read it from `ctx.results`. A method that `@compensate` names makes the payload of the message that
 * asks for the undo.
 *
 * @example
 * @command("reserve_inventory", { topic: "inventory-commands" })
 * reserve(ctx: StepContext<Order>) { return { items: ctx.input.items }; }
 */
export function command<Input = unknown>(name: string, options: CommandOptions<Input>): MethodDecorator {
  const declaration = declare({ decorator: "command", name, options });
  return (_, context) => declaration.add(context);
}

/**
 * Makes a method the compensation of the step of that name: of an `@action`, or of each item of a `@map`.
 *
 * @example
 * @compensate("reserve_inventory")
 * async release(ctx: UndoContext<Order, Reservation>) { await inventory.release(ctx.result.id); }
 */
export function compensate(name: string, options: UndoOptions = {}): MethodDecorator {
  const declaration = declare({ decorator: "compensate", name, options });
  return (_, context) => declaration.add(context);
}

/**
 * Makes a method the one that is asked when nobody knows whether an attempt of the step of that name took effect: of an
 * `@action`, or of one item of a `@map`. Write its return type, `Promise<Verdict<…>>`: the compiler then checks the answer.
 *
 * @example
 * @verify("charge_payment")
 * async findCharge(ctx: VerifyContext<Order>): Promise<Verdict<Charge>> {
 *   const charge = await this.payments.find(ctx.idempotencyKey);
 *   return charge ? { outcome: "done", result: charge } : { outcome: "not_done" };
 * }
 */
export function verify(name: string): MethodDecorator<StepMethod<Verdict>> {
  const declaration = declare({ decorator: "verify", name, options: {} });
  return (_, context) => declaration.add(context);
}

/**
 * Makes a method the action of a step that runs once for each item of a list. Each item has its own outcome and its own
 * undo; the step's result is the list of results.
 *
 * @example
 * @map("ship", { over: (ctx: StepContext<Order>) => ctx.input.items, dependsOn: ["charge"] })
 * async ship(ctx: MapContext<Order, Item>) { return carrier.ship(ctx.item, { key: ctx.idempotencyKey }); }
 */
export function map<Input = unknown, This = unknown>(name: string, options: MapOptions<Input, This>) {
  const declaration = declare({ decorator: "map", name, options });
  return <Method extends StepMethod>(
    method: Method & TakesItem<Method>,
    context: ClassMethodDecoratorContext<This>,
  ): void => {
    declaration.add(context);
    rememberStepName(method, name);
  };
}

/**
 * Makes a field a step that waits for an external event; `ctx.resultOf(this.field)` is the event's payload.
 *
 * @example
 * @signal("approval", { dependsOn: ["reserve"], waitMs: 3_600_000 })
 * approval = payload<Approval>();
 */
export function signal(name: string, options: SignalOptions = {}) {
  const declaration = declare({ decorator: "signal", name, options });
  return (_: undefined, context: ClassFieldDecoratorContext<never, StepMethod>): void =>
    declaration.add(context);
}

/** What a `@signal` field holds: `ctx.resultOf(this.field)` is the event's payload. */
export type SignalField<Payload> = () => Payload;

/** Stands for the payload of a `@signal` field, to give it a type. It is never called. */
export function payload<Payload>(): SignalField<Payload> {
  return () => undefined as Payload;
}

/**
 * Makes a method a step that waits, through restarts too; the method returns for how many milliseconds.
 *
 * @example
 * @sleep("cool_down", { dependsOn: ["charge"] })
 * coolDown() { return 60_000; }
 */
export function sleep(name: string, options: SleepOptions = {}): MethodDecorator<StepMethod<number>> {
  const declaration = declare({ decorator: "sleep", name, options });
  return (_, context) => declaration.add(context);
}

/**
 * Makes a method a step that runs another saga; the method returns that saga's input. The step's result is that saga's
 * output: read it from `ctx.results`.
 *
 * @example
 * @child("shipping", { saga: ShippingSaga, dependsOn: ["charge"] })
 * shipping(ctx: StepContext<Order>) { return { orderId: ctx.input.orderId }; }
 */
export function child(name: string, options: ChildOptions): MethodDecorator {
  const declaration = declare({ decorator: "child", name, options });
  return (_, context) => declaration.add(context);
}
