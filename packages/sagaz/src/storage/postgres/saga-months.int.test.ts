import { randomBytes } from "node:crypto";
import pg from "pg";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { toSagaId } from "../../core/saga/saga-id.ts";
import { PostgreSQLStorage, type PostgreSQLStorageOptions } from "./index.ts";

const dayMs = 24 * 3_600_000;
const november = Date.UTC(2024, 10, 15);
const december = Date.UTC(2024, 11, 15);

/** What a saga's row is to say. */
interface Row {
  readonly at?: number;
  readonly status?: string;
  readonly parent?: string;
  readonly key?: string;
}

/** A storage that began in November 2024, and sagas of that time. */
async function open(options: Partial<PostgreSQLStorageOptions> = {}) {
  const { url } = await createDatabase(inject("postgresUrl"), { name: "months" });
  const pool = new pg.Pool({ connectionString: url, max: 14 });
  const clock = { now: november };
  const storage = new PostgreSQLStorage({ pool, now: () => clock.now, ...options });
  await storage.start();
  onTestFinished(async () => {
    await storage.stop();
    await pool.end();
  });
  const sql = async (text: string, values: unknown[] = []) =>
    (await pool.query<Record<string, unknown>>(text, values)).rows;
  /** Writes a saga as the engine would have left it. */
  const write = async ({ at = november, status = "completed", parent, key }: Row = {}): Promise<string> => {
    const id = toSagaId(at, randomBytes(10));
    const ended = status === "completed" ? new Date(at + 1_000) : null;
    await sql(
      `insert into sagaz.saga_executions (saga_id, created_at, saga_name, version, graph_hash, parent_id, status, updated_at, finished_at)
         values ($1, $2, 'order', 1, 'hash', $3, $4, $2, $5)`,
      [id, new Date(at), parent ?? null, status, ended],
    );
    await sql(
      `insert into sagaz.saga_events (saga_id, created_at, at, seq, type, data) values ($1, $2, $2, 1, 'saga_started', '{}')`,
      [id, new Date(at)],
    );
    if (key !== undefined)
      await sql(
        "insert into sagaz.saga_idempotency_keys (saga_name, key, saga_id) values ('order', $1, $2)",
        [key, id],
      );
    return id;
  };
  const end = (id: string) =>
    sql(
      "update sagaz.saga_executions set status = 'completed', finished_at = updated_at where saga_id = $1",
      [id],
    );
  const months = async () =>
    (
      await sql(
        `select relname from pg_class where relname ~ '^saga_(executions|events)_2024_1[12]$' and relkind = 'r' order by 1`,
      )
    ).map(({ relname }) => String(relname).slice("saga_".length));
  const keys = async () =>
    (await sql("select key from sagaz.saga_idempotency_keys order by 1")).map(({ key }) => key);
  const count = async (table: string) =>
    Number((await sql(`select count(*) as n from sagaz.${table}`))[0]?.["n"]);
  return { pool, clock, storage, sql, write, end, months, keys, count };
}

const ofNovember = ["events_2024_11", "executions_2024_11"];
const ofDecember = ["events_2024_12", "executions_2024_12"];
const all = ["events_2024_11", "events_2024_12", "executions_2024_11", "executions_2024_12"];
const detach = (table: string) =>
  `alter table sagaz.saga_${table} detach partition sagaz.saga_${table}_2024_11 concurrently`;

describe("old months of ended sagas", () => {
  test("leave, with journals and keys, once they have ended as many days ago as they are kept", async () => {
    const { clock, storage, write, months, keys, count } = await open();
    await write({ key: "first" });
    await write({ at: Date.UTC(2024, 11, 1) - 1, key: "last of November" });
    await write({ at: Date.UTC(2024, 11, 1), key: "first of December" });
    clock.now = Date.UTC(2024, 11, 1) + 366 * dayMs - 1;
    await storage.upkeep.maintain();
    expect(await months()).toEqual(all);
    clock.now += 1;
    await storage.upkeep.maintain();
    expect(await months()).toEqual(ofDecember);
    expect(await keys()).toEqual(["first of December"]);
    expect([await count("saga_executions"), await count("saga_events")]).toEqual([1, 1]);
  });

  test.each(["running", "parked"])("stay as long as one of them is %s", async (status) => {
    const { clock, storage, write, end, months, keys } = await open({ endedKeptDays: 62 });
    await write({ key: "ended" });
    const unended = await write({ status, key: "open" });
    await write({ at: december });
    clock.now = november + 2 * 366 * dayMs;
    await storage.upkeep.maintain();
    expect(await months()).toEqual(ofNovember);
    expect(await keys()).toEqual(["ended", "open"]);
    await end(unended);
    await storage.upkeep.maintain();
    expect(await months()).toEqual([]);
    expect(await keys()).toEqual([]);
  });

  test("stay as long as a parent that has not ended may want a child of theirs undone", async () => {
    const { clock, storage, write, end, months } = await open();
    const parent = await write({ status: "running" });
    await write({ at: december, parent });
    clock.now = november + 2 * 366 * dayMs;
    await storage.upkeep.maintain();
    expect(await months()).toEqual(all);
    await end(parent);
    await storage.upkeep.maintain();
    expect(await months()).toEqual([]);
  });

  test("stay as long as there is unread mail for one of them", async () => {
    const { clock, storage, sql, write, months } = await open();
    const id = await write();
    await sql(
      `insert into sagaz.saga_mailbox (saga_id, mail_id, mail_seq, created_at, kind, body, sent_at) values ($1, 'm', 1, $2, 'retry', '{}', $2)`,
      [id, new Date(november)],
    );
    clock.now = november + 2 * 366 * dayMs;
    await storage.upkeep.maintain();
    expect(await months()).toEqual(ofNovember);
    await sql("delete from sagaz.saga_mailbox");
    await storage.upkeep.maintain();
    expect(await months()).toEqual([]);
  });

  test.each([
    ["the sagas", ["executions"]],
    ["both tables", ["executions", "events"]],
  ])("of which %s had left while somebody was stopped are gone on with by the next", async (_, left) => {
    const { clock, storage, sql, write, months, keys } = await open();
    await write({ key: "old" });
    for (const table of left) await sql(detach(table));
    clock.now = november + 2 * 366 * dayMs;
    await storage.upkeep.maintain();
    expect(await months()).toEqual([]);
    expect(await keys()).toEqual([]);
  });

  test("come back whole when one of them is at work after all", async () => {
    const { clock, storage, sql, write, end, months, keys, count } = await open();
    await write({ key: "ended" });
    const busy = await write({ key: "busy", status: "compensating" });
    await sql(detach("executions")); // who looked did not see it yet
    clock.now = november + 2 * 366 * dayMs;
    await storage.upkeep.maintain();
    expect(await months()).toEqual(ofNovember);
    expect(await keys()).toEqual(["busy", "ended"]);
    expect([await count("saga_executions"), await count("saga_events")]).toEqual([2, 2]);
    await end(busy);
    await storage.upkeep.maintain();
    expect(await months()).toEqual([]);
  });

  test("are not dropped by whoever judged them before another worker brought them back", async () => {
    const { sql, write, months, count } = await open();
    await write();
    await sql("select sagaz.drop_saga_month('2024_11')");
    expect(await months()).toEqual(all);
    expect([await count("saga_executions"), await count("saga_events")]).toEqual([1, 1]);
  });

  test("are cleared by many at a time without harm", async () => {
    const { pool, clock, storage, write, months, keys } = await open();
    const others = [1, 2].map(() => new PostgreSQLStorage({ pool, now: () => clock.now }));
    for (const other of others) await other.start();
    await Promise.all(Array.from({ length: 20 }, (_, n) => write({ key: `old ${n}` })));
    await write({ at: december, status: "running", key: "stays" });
    clock.now = november + 2 * 366 * dayMs;
    // One that meets another says so, and comes again within the hour.
    await Promise.allSettled([storage, ...others].map(({ upkeep }) => upkeep.maintain()));
    await storage.upkeep.maintain();
    expect(await months()).toEqual(ofDecember);
    expect(await keys()).toEqual(["stays"]);
    for (const other of others) await other.stop();
  });
});

describe("what is kept", () => {
  test("holds for processes that set nothing, a relay beside the application say", async () => {
    const { pool, clock, storage, sql, write, months } = await open({ endedKeptDays: 4_000 });
    await write();
    const relay = new PostgreSQLStorage({ pool, now: () => clock.now });
    await relay.start();
    clock.now = november + 2 * 366 * dayMs;
    await relay.upkeep.maintain();
    expect(await months()).toEqual(all);
    expect(
      await sql("select ended_kept_days, outbox_kept_days, old_outbox_days from sagaz.saga_retention"),
    ).toEqual([{ ended_kept_days: 4_000, outbox_kept_days: null, old_outbox_days: null }]);
    const other = new PostgreSQLStorage({
      pool,
      now: () => clock.now,
      endedKeptDays: 400,
      oldOutboxDays: "archive",
    });
    await other.start();
    await storage.upkeep.maintain();
    expect(await months()).toEqual([]);
    await Promise.all([relay.stop(), other.stop()]);
  });

  test("is refused where somebody has written what cannot be", async () => {
    const { storage, sql } = await open();
    await sql("update sagaz.saga_retention set outbox_kept_days = 40");
    await expect(storage.upkeep.maintain()).rejects.toMatchObject({
      code: "SAGAZ_INVALID_OPTION",
      details: { option: "outboxKeptDays", value: "40" },
    });
  });
});

test.each([0, 61, 62.5, Number.NaN])("endedKeptDays of %s is refused", (endedKeptDays) => {
  const pool = new pg.Pool();
  expect(() => new PostgreSQLStorage({ pool, endedKeptDays })).toThrow(
    expect.objectContaining({ code: "SAGAZ_INVALID_OPTION" }) as Error,
  );
});
