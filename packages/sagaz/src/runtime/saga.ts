import { definitionOfInstance } from "../core/definition/definition-of.ts";
import type { SagaDefinition } from "../core/definition/definition.ts";
import { definitionKey } from "../core/definition/sagaish.ts";
import { runOnce } from "./configure.ts";
import type { RunOptions, SagaResult } from "./configure.ts";

/**
 * A saga written as a class: methods decorated with `@action` and `@compensate` are its steps, statics say the rest.
 *
 * `static sagaName` is required; `version`, `strategy`, `timeoutMs`, `graceMs`, `settleMs`, `retry`, `sequential`,
 * `inFlightMax`, `input` (a Standard Schema) and `output` are optional statics. Instances hold no state of a run.
 *
 * @example
 * class OrderSaga extends Saga<Order> {
 *   static sagaName = "order-processing";
 *
 *   @action("reserve_inventory")
 *   async reserve(ctx: StepContext<Order>) { return inventory.reserve(ctx.input.items, { key: ctx.idempotencyKey }); }
 *
 *   @compensate("reserve_inventory")
 *   async release(ctx: UndoContext<Order, Reservation>) { await inventory.release(ctx.result.id); }
 * }
 * await new OrderSaga().run({ orderId: "4711", items });
 */
export abstract class Saga<Input = unknown, Output = Readonly<Record<string, unknown>>> {
  /**
   * Starts this saga and waits for its end, on the storage given to `configure`, or in memory.
   *
   * @throws SagaError when it cannot be started (`SAGAZ_NO_STORAGE`, `SAGAZ_INPUT_INVALID` …). A saga that was undone is a
   * result, not an error.
   */
  async run(input: Input, options?: RunOptions): Promise<SagaResult<Output>> {
    return (await runOnce(this[definitionKey](), input, options)) as SagaResult<Output>;
  }

  /** The definition whose steps run on this instance. */
  [definitionKey](): SagaDefinition<Input, Output> {
    return definitionOfInstance(this);
  }
}
