import { runSql, type TestDatabaseOptions } from "../../tools/servers/postgres-databases.ts";
import { startPostgres, type TestPostgres } from "../../tools/servers/postgres.ts";
import { waitUntil } from "../../tools/servers/wait-until.ts";
import { serverSettings } from "../server.ts";

/** Starts a server that keeps a logical log; the other measures are not to pay for that. */
export function startLoggedPostgres(): Promise<TestPostgres> {
  return startPostgres({ own: true, settings: { ...serverSettings, wal_level: "logical" } });
}

/** Uses a database of its own, and leaves no slot of it behind: a server has few, and keeps its log for each of them. */
export async function withLoggedDatabase(
  postgres: TestPostgres,
  options: TestDatabaseOptions,
  use: (url: string) => Promise<void>,
): Promise<void> {
  const database = await postgres.createDatabase(options);
  await use(database.url);
  await waitUntil("its slots are dropped", () => dropSlots(database.url), { withinMs: 30_000, everyMs: 50 });
  await database.drop();
}

/** Drops the slots that nobody reads any more; true when none is left. */
async function dropSlots(url: string): Promise<boolean> {
  const ofDatabase = "FROM pg_replication_slots WHERE database = current_database()";
  const [, left] = await runSql(
    url,
    `SELECT pg_drop_replication_slot(slot_name) ${ofDatabase} AND NOT active`,
    `SELECT ${ofDatabase}`,
  );
  return left?.rowCount === 0;
}
