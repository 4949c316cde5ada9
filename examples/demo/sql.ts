import pg, { type Pool } from "pg";
import type { SqlRunner } from "sagaz";
import { fromPg } from "sagaz/transactions";

/** Opens a pool. An idle connection that breaks must not end the process: whoever needs one next finds out. */
export function openPool(connectionString: string | undefined, max = 10): Pool {
  const pool = new pg.Pool({ connectionString, max });
  pool.on("error", () => {});
  return pool;
}

/** Runs `work` in a transaction: all of what it writes is there, or nothing. */
export async function transaction<T>(pool: Pool, work: (sql: SqlRunner) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query("begin");
    const result = await work(fromPg(client));
    await client.query("commit");
    client.release();
    return result;
  } catch (error) {
    client.release(true); // closing the connection rolls back, whatever state it is in
    throw error;
  }
}
