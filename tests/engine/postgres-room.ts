import pg from "pg";
import { PostgreSQLStorage } from "../../packages/sagaz/src/storage/postgres/index.ts";
import { createDatabase } from "../../tools/servers/postgres-databases.ts";
import type { Room } from "./room.ts";

let database: Promise<string> | undefined;
let rooms = 0;

/** A schema of its own in a database of this test file: quicker than a database, and as empty. */
export async function openPostgres(serverUrl: string, now: () => number): Promise<Room> {
  database ??= createDatabase(serverUrl, { name: "engine" }).then(({ url }) => url);
  const connectionString = await database;
  rooms += 1;
  const schema = `room_${rooms}`;
  const pools: pg.Pool[] = [];
  const storages: PostgreSQLStorage[] = [];
  const another = async () => {
    const pool = new pg.Pool({ connectionString, max: 8 });
    pools.push(pool);
    const storage = new PostgreSQLStorage({ pool, schema, now });
    storages.push(storage);
    await storage.start();
    return storage;
  };
  const storage = await another();
  const first = pools[0]!;
  const sql: Room["sql"] = async (text, values = []) =>
    (await first.query(text.replaceAll("{schema}", schema), [...values])).rows as Record<string, unknown>[];
  return {
    storage,
    another,
    sql,
    loseRows: async () => void (await sql("delete from {schema}.saga_executions")),
    begin: () => beginOn(first),
    close: async () => {
      for (const one of storages) await one.stop();
      await sql("drop schema {schema} cascade");
      for (const pool of pools) await pool.end();
    },
  };
}

async function beginOn(pool: pg.Pool) {
  const client = await pool.connect();
  await client.query("begin");
  const end = (command: string) => async () => {
    await client.query(command);
    client.release();
  };
  return {
    tx: async (text: string, params: readonly unknown[] = []) =>
      (await client.query(text, [...params])).rows as Record<string, unknown>[],
    commit: end("commit"),
    rollback: end("rollback"),
  };
}
