import type { StepContext, UndoContext, Verdict, VerifyContext } from "../core/definition/context.ts";
import { checkOptionNames } from "../core/definition/check-options.ts";
import type { CommandOptions } from "../core/definition/decorators.ts";
import { define } from "../core/definition/define.ts";
import type { SagaDefinition } from "../core/definition/definition.ts";
import type { SagaDraft, SagaOptions, StepDraft, StepOptions } from "../core/definition/draft.ts";
import { SAGA_OPTIONS, STEP_OPTIONS, UNDO_OPTIONS } from "../core/definition/option-names.ts";
import { toUndoDraft } from "../core/definition/undo-options.ts";
import type { FlatUndoOptions } from "../core/definition/undo-options.ts";
import { definitionKey } from "../core/definition/sagaish.ts";
import type { StandardSchema } from "../core/definition/standard-schema.ts";
import { runOnce } from "./configure.ts";
import type { RunOptions, SagaResult } from "./configure.ts";

type Results = Readonly<Record<string, unknown>>;

/** What a {@link ClassicSaga} is made of, besides its steps. */
export interface ClassicSagaOptions<Input = unknown, Output = Results> extends SagaOptions {
  readonly name: string;
  /** Standard Schema of the input. */
  readonly input?: StandardSchema<unknown, Input>;
  /** Makes the output from the results; without it the output is the results, keyed by step. */
  readonly output?: (results: Results, input: Input) => Output;
}

/** Options of {@link ClassicSaga.addStep}. Times are milliseconds. */
export interface ClassicStepOptions<Input = unknown, Result = unknown> extends StepOptions, FlatUndoOptions {
  /** The steps that must be done before. Without it the step starts at once, unless the saga is `sequential`. */
  readonly dependsOn?: readonly string[];
  /** Asked when nobody knows whether an attempt took effect. */
  readonly verify?: (ctx: VerifyContext<Input>) => Verdict<Result> | Promise<Verdict<Result>>;
  /** Runs in the engine's own transaction (`ctx.tx`): done exactly once. */
  readonly transactional?: boolean;
  /** The point of no return: after it the saga only goes forward. */
  readonly pivot?: boolean;
}

/** Options of {@link ClassicSaga.addCommand}. Times are milliseconds. */
export interface ClassicCommandOptions<Input = unknown, Result = unknown>
  extends Omit<CommandOptions<Input>, "verify">, FlatUndoOptions {
  /** Makes what is sent along. */
  readonly payload: (ctx: StepContext<Input>) => unknown;
  /** Makes what is sent along with the command that asks for the undo. */
  readonly undo?: (ctx: UndoContext<Input, Result>) => unknown;
  /** Asked when no reply came in time. */
  readonly verify?: (ctx: VerifyContext<Input>) => Verdict<Result> | Promise<Verdict<Result>>;
}

/**
 * A saga put together step by step, in the imperative way.
 *
 * @example
 * const order = new ClassicSaga<Order>({ name: "order-processing" })
 *   .addStep("reserve", (ctx) => reserve(ctx.input), (ctx) => release(ctx.result))
 *   .addStep("charge", (ctx) => charge(ctx.input), undefined, { dependsOn: ["reserve"] });
 * const { status } = await order.execute({ orderId: "4711" });
 */
export class ClassicSaga<Input = unknown, Output = Results> {
  readonly #options: ClassicSagaOptions<Input, Output>;
  readonly #steps: StepDraft[] = [];
  #definition: SagaDefinition<Input, Output> | undefined;

  constructor(options: ClassicSagaOptions<Input, Output>) {
    checkOptionNames(`saga "${options.name}"`, options, ["name", "input", "output", ...SAGA_OPTIONS]);
    this.#options = options;
  }

  /**
   * Adds a step: its action, then its compensation if it can be undone, then its options. Steps that name no
   * `dependsOn` run in parallel, unless the saga is `sequential`. The rules are checked when the saga is first used.
   *
   * @throws SagaError `SAGAZ_INVALID_OPTION` for an option that does not exist.
   */
  addStep<Result>(
    name: string,
    action: (ctx: StepContext<Input>) => Result,
    ...[compensation, options = {}]: [
      compensation?: ((ctx: UndoContext<Input, NoInfer<Awaited<Result>>>) => unknown) | null | undefined,
      options?: ClassicStepOptions<Input, NoInfer<Awaited<Result>>>,
    ]
  ): this {
    checkOptionNames(`step "${name}" of "${this.#options.name}"`, options, STEP_OPTION_NAMES);
    const { transactional = false, verify } = options;
    this.#steps.push({
      name,
      dependsOn: options.dependsOn,
      pivot: options.pivot ?? false,
      options,
      work: { kind: "action", transactional, do: action, verify } as StepDraft["work"],
      undo: toUndoDraft({ ...options, undo: compensation ?? undefined }),
    });
    this.#definition = undefined;
    return this;
  }

  /**
   * Adds a command to a participant, another service, whose reply is the step's result. `undo` makes what is sent along
   * with the command that asks for the undo.
   *
   * @throws SagaError `SAGAZ_INVALID_OPTION` for an option that does not exist.
   */
  addCommand<Result = unknown>(name: string, options: ClassicCommandOptions<Input, Result>): this {
    checkOptionNames(`step "${name}" of "${this.#options.name}"`, options, COMMAND_OPTION_NAMES);
    const { command = name, topic, payload, verify, replyTimeoutMs, waitMs } = options;
    this.#steps.push({
      name,
      dependsOn: options.dependsOn,
      pivot: options.pivot ?? false,
      options,
      work: { kind: "command", command, topic, payload, verify, replyTimeoutMs, waitMs } as StepDraft["work"],
      undo: toUndoDraft(options),
    });
    this.#definition = undefined;
    return this;
  }

  /**
   * Starts this saga and waits for its end, on the storage given to `configure`, or in memory.
   *
   * @throws SagaError when it breaks a rule of definitions or cannot be started. A saga that was undone is a result, not
   * an error.
   */
  async execute(input: Input, options?: RunOptions): Promise<SagaResult<Output>> {
    return (await runOnce(this[definitionKey](), input, options)) as SagaResult<Output>;
  }

  /** The definition as it stands; a step added later makes a new one. */
  [definitionKey](): SagaDefinition<Input, Output> {
    const { name, input, output, ...options } = this.#options;
    const draft: SagaDraft = { name, options, steps: [...this.#steps], input, output };
    return (this.#definition ??= define(draft) as SagaDefinition<Input, Output>);
  }
}

const STEP_OPTION_NAMES = ["dependsOn", "pivot", ...STEP_OPTIONS.action, ...UNDO_OPTIONS];
const COMMAND_OPTION_NAMES = ["dependsOn", "pivot", "undo", ...STEP_OPTIONS.command, ...UNDO_OPTIONS];
