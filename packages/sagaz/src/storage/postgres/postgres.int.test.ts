import pg from "pg";
import { inject, test } from "vitest";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { FakeClock, storageRules, toProvided, toTitle, unmetNeeds, withFaults } from "../../testing/index.ts";
import type { OpenStorage, StorageUnderTest } from "../../testing/index.ts";
import { PostgreSQLStorage } from "./index.ts";

const url = inject("postgresUrl");
let rooms = 0;
const { url: databaseUrl } = await createDatabase(url, { name: "rules" });

const provided = toProvided({ can: { joinTransaction: true, transactionalSteps: true } }, [
  "faults",
  "lostRows",
]);

/** Each rule gets a schema of its own: quicker than a database, and as empty. */
const open: OpenStorage = async () => {
  const clock = new FakeClock();
  rooms += 1;
  const schema = `room_${rooms}`;
  const pools: pg.Pool[] = [];
  const storages: PostgreSQLStorage[] = [];
  const another = async () => {
    const pool = new pg.Pool({ connectionString: databaseUrl, max: 8 });
    pools.push(pool);
    const storage = new PostgreSQLStorage({ pool, schema, now: () => clock.now() });
    storages.push(storage);
    await storage.start();
    return storage;
  };
  const { storage, failNext } = withFaults(await another());
  const query = (text: string, values: unknown[] = []) => pools[0]!.query(text, values);
  await query(`create table ${schema}.notes (note text)`);
  return {
    storage,
    failNext,
    another,
    now: () => clock.now(),
    setNow: (ms) => clock.setNow(ms),
    begin: () => beginOn(pools[0]!),
    notes: {
      write: async (tx, text) => void (await tx(`insert into ${schema}.notes values ($1)`, [text])),
      read: async () =>
        (await query(`select note from ${schema}.notes`)).rows.map(({ note }) => note as string),
    },
    loseRows: async () => void (await query(`delete from ${schema}.saga_executions`)),
    close: async () => {
      for (const one of storages) await one.stop();
      await query(`drop schema ${schema} cascade`);
      for (const pool of pools) await pool.end();
    },
  } satisfies StorageUnderTest;
};

async function beginOn(pool: pg.Pool) {
  const client = await pool.connect();
  await client.query("begin");
  const end = (command: string) => async () => {
    await client.query(command);
    client.release();
  };
  return {
    tx: async (sql: string, params: readonly unknown[] = []) => (await client.query(sql, [...params])).rows,
    commit: end("commit"),
    rollback: end("rollback"),
  };
}

for (const rule of storageRules) {
  const unmet = unmetNeeds(rule, provided);
  test.skipIf(unmet.length > 0)(toTitle(rule, unmet), () => rule.check(open));
}
