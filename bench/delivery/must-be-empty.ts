import { runSql } from "../../tools/servers/postgres-databases.ts";

/** @throws Error when a table has rows: what was sent has not been noted as sent. */
export async function mustBeEmpty(url: string, table: string): Promise<void> {
  const [result] = await runSql(url, `SELECT FROM ${table} LIMIT 1`);
  if (result?.rowCount !== 0) throw new Error(`Something is left in ${table}.`);
}
