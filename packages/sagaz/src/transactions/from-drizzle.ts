import type { SqlRunner } from "../core/definition/context.ts";
import { notATransaction } from "./not-a-transaction.ts";

/** The part of a Drizzle `PgTransaction` that {@link fromDrizzle} uses, on node-postgres or postgres.js. */
export interface DrizzleTransaction {
  /** Takes whatever has a `getSQL()`, as Drizzle's own `sql` has. */
  execute(query: { getSQL(): never }): PromiseLike<unknown>;
  /** Only a transaction has it. */
  rollback(): never;
}

type Rows = readonly Record<string, unknown>[];

/**
 * Lets sagaz write in a transaction of Drizzle: hand in the `tx` that `db.transaction` gives to its callback. It may
 * stand on `drizzle-orm/node-postgres` or on `drizzle-orm/postgres-js`.
 *
 * `db` itself takes any free connection: what goes through it commits by itself, also inside the callback. Await what
 * you do with the transaction: after the callback's end its connection serves others.
 *
 * @example
 * await db.transaction(async (tx) => {
 *   await tx.insert(orders).values(order);
 *   await outbox.add(fromDrizzle(tx), { topic: "orders", type: "order.placed", key: order.id, payload: order });
 * });
 *
 * @throws SagaError `SAGAZ_NOT_A_TRANSACTION` for a database that is no transaction.
 */
export function fromDrizzle(tx: DrizzleTransaction): SqlRunner {
  if (typeof tx.rollback !== "function")
    throw notATransaction({
      adapter: "fromDrizzle",
      value: "a database that is no transaction",
      advice: "Hand in the tx that the callback of db.transaction gets",
    });
  return async (sql, params = []) => {
    // Drizzle asks a query for its SQL, and that for its text. Ours has it already, with the placeholders of PostgreSQL.
    const finished = { toQuery: () => ({ sql, params: [...params] }) };
    const result = await tx.execute({ getSQL: () => finished as never }).then(undefined, throwDriverError);
    return Array.isArray(result) ? (result as Rows) : (result as { readonly rows: Rows }).rows;
  };
}

/** Drizzle's own error says the whole statement with all values; what the server said is behind it. */
function throwDriverError(error: unknown): never {
  throw (error as Error).cause ?? error;
}
