import pg from "pg";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { createDatabase, runSql } from "../../../../../tools/servers/postgres-databases.ts";
import { toOutboxRow } from "../../core/delivery/outbox-event.ts";
import { PostgreSQLStorage, type PostgreSQLStorageOptions } from "./index.ts";

const dayMs = 24 * 3_600_000;
const longAgo = Date.UTC(2026, 0, 10, 12);
const shards = Array.from({ length: 64 }, (_, shard) => shard);

/** A storage that has written events to publish on 10 January, and one day each before and after. */
async function open(options: Partial<PostgreSQLStorageOptions> = {}, settings = "") {
  const { name, url } = await createDatabase(inject("postgresUrl"), { name: "days" });
  await runSql(url, settings.replaceAll("set ", `alter database ${name} set `));
  const pool = new pg.Pool({ connectionString: url, max: 12 });
  const clock = { now: longAgo };
  const storage = new PostgreSQLStorage({ pool, now: () => clock.now, ...options });
  await storage.start();
  onTestFinished(async () => {
    await storage.stop();
    await pool.end();
  });
  const sql = async (text: string) => (await pool.query<Record<string, unknown>>(text)).rows;
  const add = async (...keys: string[]) => {
    const rows = keys.map((key) =>
      toOutboxRow(
        { topic: "orders", type: "order.changed", key, id: `event-${key}`, payload: key },
        { newId: () => key, source: "test", bytesMax: 1_000 },
      ),
    );
    await storage.outbox.addIn(
      async (text, params = []) => (await pool.query(text, [...params])).rows as Record<string, unknown>[],
      rows,
    );
  };
  const send = async (...keys: string[]) => {
    const { epoch } = await storage.leases.register({
      workerName: "relay",
      leaseMs: 30_000,
      definitions: [],
    });
    await storage.outbox.balance(epoch);
    const usual = { limit: 100, bytesMax: 1_000_000, inFlight: [], held: [], again: 0 };
    const { events } = await storage.outbox.take({ epoch, shards, ...usual });
    const sent = events.filter(({ key }) => keys.includes(key)).map(({ id }) => id);
    await storage.outbox.settle({ epoch, sent, failed: [], dead: [] });
    return events.map(({ key }) => key);
  };
  const days = async () =>
    (
      await sql(
        `select relname from pg_class where relname ~ '^saga_outbox_.*2026_01_\\d\\d$' and relkind = 'r' order by 1`,
      )
    ).map(({ relname }) => relname);
  for (const day of [-1, 0, 1]) {
    clock.now = longAgo + day * dayMs;
    await storage.upkeep.maintain();
    await add(`${10 + day}`);
  }
  return { pool, clock, storage, sql, add, send, days, url };
}

const all = ["saga_outbox_2026_01_09", "saga_outbox_2026_01_10", "saga_outbox_2026_01_11"];

describe("old days of the outbox's log", () => {
  test("are dropped once they have ended as many days ago as they are kept", async () => {
    const { clock, storage, send, days, sql } = await open();
    await send("9", "10", "11");
    clock.now = Date.UTC(2026, 0, 10) + 30 * dayMs - 1;
    await storage.upkeep.maintain();
    expect(await days()).toEqual(expect.arrayContaining(all));
    clock.now += 1; // the 9th has ended 30 days ago, and with it what was made before it
    await storage.upkeep.maintain();
    expect((await days())[0]).toBe("saga_outbox_2026_01_10");
    expect(await sql("select event_id from sagaz.saga_outbox order by id")).toEqual([
      { event_id: "event-10" },
      { event_id: "event-11" },
    ]);
  });

  test("stay as long as an event of them is to be sent, and it can be sent", async () => {
    const { clock, storage, send, days } = await open({ outboxKeptDays: 1 });
    await send("9", "11");
    clock.now = longAgo + 60 * dayMs;
    await storage.upkeep.maintain();
    expect(await days()).toEqual(["saga_outbox_2026_01_10"]);
    expect(await send("10")).toEqual(["10"]);
    await storage.upkeep.maintain();
    expect(await days()).toEqual([]);
  });

  test.each(["SQL, DMY", "Postgres", "German", "ISO"])(
    "begin and end at midnight in UTC, with times in the style of %s and wherever the database is",
    async (style) => {
      // "IST" is the time of India there, and is read as that of Israel.
      const settings = `set timezone = 'Asia/Kolkata'; set datestyle = '${style}'`;
      const { clock, storage, send, days, url } = await open({}, settings);
      await send("9", "10", "11");
      clock.now = Date.UTC(2026, 0, 10) + 30 * dayMs - 1;
      await storage.upkeep.maintain();
      expect(await days()).toEqual(expect.arrayContaining(all));
      const bound = `select pg_get_expr(relpartbound, oid) as bound from pg_class where relname = 'saga_outbox_2026_01_10'`;
      const [, , seen] = await runSql(url, "set datestyle = 'ISO'", "set timezone = 'UTC'", bound);
      expect(seen?.rows).toEqual([
        { bound: "FOR VALUES FROM ('2026-01-10 00:00:00+00') TO ('2026-01-11 00:00:00+00')" },
      ]);
      clock.now += 1;
      await storage.upkeep.maintain();
      expect((await days())[0]).toBe("saga_outbox_2026_01_10");
    },
  );

  test("are kept as tables of their own with `archive`", async () => {
    const { clock, storage, send, sql } = await open({ outboxKeptDays: 34, oldOutboxDays: "archive" });
    await send("9", "10", "11");
    clock.now = longAgo + 60 * dayMs;
    await storage.upkeep.maintain();
    await storage.upkeep.maintain();
    expect(await sql("select event_id, payload from sagaz.saga_outbox_archive_2026_01_10")).toEqual([
      { event_id: "event-10", payload: '"10"' },
    ]);
    expect(await sql("select * from sagaz.saga_outbox where created_at < '2026-02-01'")).toEqual([]);
  });

  test("that left while somebody was stopped are cleared away by the next", async () => {
    const { clock, storage, send, days, sql } = await open();
    await send("9", "10", "11");
    await sql("alter table sagaz.saga_outbox detach partition sagaz.saga_outbox_2026_01_10 concurrently");
    clock.now = longAgo + 60 * dayMs;
    await storage.upkeep.maintain();
    expect(await days()).toEqual([]);
  });

  test("whose leaving was cut off half way go on to leave", async () => {
    const { pool, clock, storage, send, days, sql } = await open();
    await send("9", "10", "11");
    const reader = await pool.connect();
    await reader.query("begin; select count(*) from sagaz.saga_outbox");
    const stopped = await pool.connect();
    await stopped.query("set statement_timeout = 300");
    const leaving = stopped.query(
      "alter table sagaz.saga_outbox detach partition sagaz.saga_outbox_2026_01_10 concurrently",
    );
    await expect(leaving).rejects.toThrow("statement timeout");
    await reader.query("rollback");
    reader.release();
    stopped.release(true);
    expect(
      await sql(
        "select state from sagaz.old_partitions('saga_outbox', '1 day', 'infinity') where name like '%01_10'",
      ),
    ).toEqual([{ state: "leaving" }]);
    clock.now = longAgo + 60 * dayMs;
    await storage.upkeep.maintain();
    expect(await days()).toEqual([]);
  });

  test("come back when an event of them has come to light meanwhile", async () => {
    const { clock, storage, send, days, sql } = await open();
    await send("9", "11"); // of the 10th one waits: nobody saw it before the day left
    await sql("alter table sagaz.saga_outbox detach partition sagaz.saga_outbox_2026_01_10 concurrently");
    clock.now = longAgo + 60 * dayMs;
    await storage.upkeep.maintain();
    expect(await days()).toEqual(["saga_outbox_2026_01_10"]);
    expect(await send("10")).toEqual(["10"]);
    await storage.upkeep.maintain();
    expect(await days()).toEqual([]);
  });

  test("are cleared by many at a time without harm, while events are added and sent", async () => {
    const { pool, clock, storage, add, send, days } = await open();
    const others = [1, 2, 3].map(() => new PostgreSQLStorage({ pool, now: () => clock.now }));
    for (const other of others) await other.start();
    await send("9", "10", "11");
    clock.now = longAgo + 60 * dayMs;
    await Promise.allSettled([...others, storage].map(({ upkeep }) => upkeep.maintain()));
    await Promise.all([add("new"), storage.upkeep.maintain()]);
    expect(await send("new")).toEqual(["new"]);
    expect(await days()).toEqual([]);
    for (const other of others) await other.stop();
  });

  test.each([
    [{ outboxKeptDays: 0 }, "1 to 34"],
    [{ outboxKeptDays: 35 }, "1 to 34"],
    [{ outboxKeptDays: 1.5 }, "1 to 34"],
    [{ oldOutboxDays: "keep" as "drop" }, '"drop" or "archive"'],
  ])("%o is refused", (options, rule) => {
    const pool = new pg.Pool({ max: 12 });
    expect(() => new PostgreSQLStorage({ pool, ...options })).toThrow(rule);
  });
});
