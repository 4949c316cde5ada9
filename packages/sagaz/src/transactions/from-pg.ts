import type { SqlRunner } from "../core/definition/context.ts";
import { notATransaction } from "./not-a-transaction.ts";

/** The part of a `pg` connection that {@link fromPg} uses. */
export interface PgClient {
  query(text: string, values: unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
  /** `I` while no transaction is open. Older versions of `pg` do not tell. */
  getTransactionStatus?(): string | null;
  /** A pool has it, and a pool is refused. */
  readonly totalCount?: never;
}

/**
 * Lets sagaz write in a transaction of `pg`: hand in the connection, `Client` or `PoolClient`, on which `begin` has run.
 *
 * A pool would send each statement over whatever connection is free, so that it commits by itself.
 *
 * @example
 * const client = await pool.connect();
 * try {
 *   await client.query("begin");
 *   await client.query("insert into orders (id) values ($1)", [order.id]);
 *   await outbox.add(fromPg(client), { topic: "orders", type: "order.placed", key: order.id, payload: order });
 *   await client.query("commit");
 * } catch (error) {
 *   await client.query("rollback");
 *   throw error;
 * } finally {
 *   client.release();
 * }
 *
 * @throws SagaError `SAGAZ_NOT_A_TRANSACTION` for a pool, and, when something is written, for a connection on which no
 * transaction is open, as far as this version of `pg` tells.
 */
export function fromPg(client: PgClient): SqlRunner {
  const adapter = "fromPg";
  if ("totalCount" in client)
    throw notATransaction({
      adapter,
      value: "a pool",
      advice: "Hand in the client that pool.connect() gave, after its begin",
    });
  return async (sql, params = []) => {
    if (client.getTransactionStatus?.() === "I")
      throw notATransaction({
        adapter,
        value: "a connection without an open transaction",
        advice: "Await its begin before, and commit after",
      });
    const { rows } = await client.query(sql, [...params]);
    return rows;
  };
}
