import type { SqlRunner } from "../core/definition/context.ts";
import { notATransaction } from "./not-a-transaction.ts";

/** The part of a postgres.js `TransactionSql` that {@link fromPostgresJs} uses. */
export interface PostgresJsTransaction {
  unsafe(query: string, parameters: never[]): PromiseLike<readonly Record<string, unknown>[]>;
  /** Only the `sql` of a transaction has it. */
  savepoint(name: string, work: () => unknown): unknown;
}

/**
 * Lets sagaz write in a transaction of postgres.js: hand in the `sql` that `sql.begin` gives to its callback.
 *
 * The outer `sql` is a pool: what goes through it commits by itself, also inside the callback. Await what you do with
 * this one: after the callback's end its connection serves others.
 *
 * @example
 * await sql.begin(async (tx) => {
 *   await tx`insert into orders (id) values (${order.id})`;
 *   await outbox.add(fromPostgresJs(tx), { topic: "orders", type: "order.placed", key: order.id, payload: order });
 * });
 *
 * @throws SagaError `SAGAZ_NOT_A_TRANSACTION` for the outer `sql`.
 */
export function fromPostgresJs(sql: PostgresJsTransaction): SqlRunner {
  if (typeof sql.savepoint !== "function")
    throw notATransaction({
      adapter: "fromPostgresJs",
      value: "an sql that is not of a transaction",
      advice: "Hand in the one that the callback of sql.begin gets",
    });
  // By itself it is no named prepared statement, which a pooler in transaction mode would not keep.
  return async (text, params = []) => [...(await sql.unsafe(text, [...params] as never[]))];
}
