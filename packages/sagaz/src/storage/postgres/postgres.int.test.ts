import pg from "pg";
import { inject, test } from "vitest";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { FakeClock, storageRules, toProvided, toTitle, unmetNeeds, withFaults } from "../../testing/index.ts";
import type { OpenStorage, StorageUnderTest } from "../../testing/index.ts";
import { PostgreSQLStorage } from "./index.ts";

const { url } = await createDatabase(inject("postgresUrl"), { name: "rules" });
const tables = [
  "executions",
  "events",
  "workers",
  "worker_definitions",
  "definitions",
  "idempotency_keys",
  "mailbox",
  "outbox",
  "outbox_pending",
  "flow_events",
  "participant_inbox",
  "dead_letters",
];
const provided = toProvided(
  { can: { joinTransaction: true, transactionalSteps: true, participants: true } },
  ["faults", "lostRows"],
);

/** All rules run in one schema, one after the other; the rows go in between, which takes a hundredth of making tables. */
const open: OpenStorage = async () => {
  const clock = new FakeClock();
  const opened: { pool: pg.Pool; storage: PostgreSQLStorage }[] = [];
  const another = async () => {
    const pool = new pg.Pool({ connectionString: url, max: 8 });
    const storage = new PostgreSQLStorage({ pool, now: () => clock.now() });
    opened.push({ pool, storage });
    await storage.start();
    return storage;
  };
  const { storage, failNext } = withFaults(await another());
  const query = (text: string) => opened[0]!.pool.query(text);
  await query("create table if not exists notes (note text)");
  return {
    storage,
    failNext,
    another,
    now: () => clock.now(),
    setNow: (ms) => clock.setNow(ms),
    begin: () => beginOn(opened[0]!.pool),
    notes: {
      write: async (tx, text) => void (await tx("insert into notes values ($1)", [text])),
      read: async () => (await query("select note from notes")).rows.map(({ note }) => note as string),
    },
    loseRows: async () => void (await query("delete from sagaz.saga_executions")),
    close: async () => {
      for (const one of opened) await one.storage.stop();
      await query(
        ["notes", "sagaz.consumer_inbox", ...tables.map((table) => `sagaz.saga_${table}`)]
          .map((table) => `delete from ${table};`)
          .concat("update sagaz.saga_outbox_shards set owner = null;")
          .join("\n"),
      );
      for (const { pool } of opened) await pool.end();
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
  // Rules for adapters that cannot do what this one can say nothing about it.
  if (rule.needs.some((need) => need.startsWith("no "))) continue;
  const unmet = unmetNeeds(rule, provided);
  test.skipIf(unmet.length > 0)(toTitle(rule, unmet), () => rule.check(open));
}
