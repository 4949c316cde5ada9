import type { SqlRunner } from "../core/definition/context.ts";
import { notATransaction } from "./not-a-transaction.ts";
import { throwWithoutStatement, toQuestionMarks } from "./question-marks.ts";

/** The part of a `Knex.Transaction` that {@link fromKnex} uses. */
export interface KnexTransaction {
  raw(sql: string, bindings: readonly never[]): PromiseLike<unknown>;
  readonly isTransaction?: boolean;
  /** Only a transaction has it. */
  isCompleted(): boolean;
}

/**
 * Lets sagaz write in a transaction of Knex: hand in the `trx` that `knex.transaction` gives to its callback or returns.
 *
 * `knex` itself takes any free connection: what goes through it commits by itself, also inside the callback.
 *
 * @example
 * await knex.transaction(async (trx) => {
 *   await trx("orders").insert(order);
 *   await outbox.add(fromKnex(trx), { topic: "orders", type: "order.placed", key: order.id, payload: order });
 * });
 *
 * @throws SagaError `SAGAZ_NOT_A_TRANSACTION` for a `knex` that is no transaction, and, when something is written, for
 * a transaction that has ended.
 */
export function fromKnex(trx: KnexTransaction): SqlRunner {
  const adapter = "fromKnex";
  const advice = "Hand in the trx that the callback of knex.transaction gets";
  if (trx.isTransaction !== true)
    throw notATransaction({ adapter, value: "a knex that is no transaction", advice });
  return async (text, params = []) => {
    if (trx.isCompleted())
      throw notATransaction({ adapter, value: "a transaction that has ended", advice: "Await it inside" });
    const { sql, values } = toQuestionMarks(text, params);
    const result = await trx
      .raw(sql, values as readonly never[])
      .then(undefined, (error: unknown) => throwWithoutStatement(error, text));
    return (result as { readonly rows: readonly Record<string, unknown>[] }).rows;
  };
}
