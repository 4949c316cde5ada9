import type { SqlRunner } from "../../core/definition/context.ts";

/** The part of a `pg` pool that a transaction needs, by structure. */
export interface TransactionPool {
  connect(): Promise<TransactionConnection>;
}

/** A checked-out `pg` connection. */
export interface TransactionConnection {
  query(
    text: string,
    values?: unknown[],
  ): Promise<{
    readonly rows: readonly Readonly<Record<string, unknown>>[];
    readonly command?: string;
  }>;
  /** Gives it back; with true it is closed instead. */
  release(destroy?: boolean): void;
}

/**
 * Runs work between BEGIN and COMMIT; what it throws rolls back. A connection that does not even roll back is closed, and
 * with it its transaction.
 */
export async function inTransaction<T>(
  pool: TransactionPool,
  work: (tx: SqlRunner) => Promise<T>,
): Promise<T> {
  const connection = await pool.connect();
  let isBroken = false;
  try {
    await connection.query("begin");
    const result = await work(async (sql, params = []) => (await connection.query(sql, [...params])).rows);
    const { command } = await connection.query("commit");
    // After a failed statement the server answers COMMIT with ROLLBACK.
    if (command === "ROLLBACK")
      throw new Error("the transaction was rolled back, because a statement in it had failed");
    return result;
  } catch (error) {
    await connection.query("rollback").catch(() => {
      isBroken = true;
    });
    throw error;
  } finally {
    connection.release(isBroken);
  }
}
