import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { createDatabase } from "../../../../../../tools/servers/postgres-databases.ts";
import { toOutboxRow } from "../../../core/delivery/outbox-event.ts";
import { PostgreSQLStorage } from "../index.ts";
import { queries } from "../sql.generated.ts";

const toRow = (n: number, key: string) =>
  toOutboxRow(
    { topic: "t", type: "e", key, payload: n },
    { newId: () => `e-${n}`, source: "/s", bytesMax: 100 },
  );

/** A reader, and events of so many keys in turn that are left to the tables. */
async function open({ events, keys }: { readonly events: number; readonly keys: number }) {
  const { url } = await createDatabase(inject("postgresUrl"), { name: "left" });
  const pool = new pg.Pool({ connectionString: url, max: 10 });
  const storage = new PostgreSQLStorage({ pool });
  await storage.start();
  onTestFinished(async () => {
    await storage.stop();
    await pool.end();
  });
  const { epoch } = await storage.leases.register({ workerName: "w", leaseMs: 60_000, definitions: [] });
  const streams = storage.eventStreams;
  const become = async () => {
    const answer = await streams.become(epoch);
    if (answer.kind !== "reader") throw new Error(answer.kind);
    return answer.reader;
  };
  const reader = await become();
  const all = Array.from({ length: events }, (_, n) => n + 1);
  for (let from = 0; from < events; from += 5_000)
    await storage.outbox.addIn(
      async (sql, params = []) => (await pool.query(sql, [...params])).rows,
      all.slice(from, from + 5_000).map((n) => toRow(n, `k-${n % keys}`)),
    );
  const { rows } = await pool.query<{ id: string }>("select id from sagaz.saga_outbox_pending order by id");
  const ids = rows.map(({ id }) => Number(id));
  const leave = (left: readonly number[]) => streams.settle(reader, { sent: [], failed: [], dead: [], left });
  const take = async (request: Partial<Parameters<typeof streams.takeLeft>[1]> = {}, who = reader) => {
    const wanted = {
      limit: 1_000,
      bytesMax: 1_000_000,
      held: [],
      inFlight: [],
      again: undefined,
      ...request,
    };
    return (await streams.takeLeft(who, wanted)).events.map(({ id }) => id);
  };
  const leftRows = async () => (await pool.query("select from sagaz.saga_outbox_left")).rowCount;
  return { pool, streams, reader, become, ids, leave, take, leftRows };
}

test("what is left is told as far as there is room, one at least", async () => {
  const { ids, leave, take } = await open({ events: 4, keys: 2 });
  const [one = 0, two = 0, three = 0, four = 0] = ids; // of one byte each
  await leave(ids);
  expect(await take({ bytesMax: 2 })).toEqual([one, two]);
  expect(await take({ bytesMax: 1 })).toEqual([three]);
  expect(await take({ bytesMax: 2 })).toEqual([four]);
});

test("what is left is told once, page by page, and again when that is asked for", async () => {
  const { ids, leave, take } = await open({ events: 6, keys: 2 });
  const [one = 0, two = 0, three = 0, four = 0, five = 0, six = 0] = ids;
  await leave([two, three, four, five, six]);
  expect(await take({ limit: 2 })).toEqual([two, three]);
  expect(await take({ inFlight: [{ id: two, bytes: 2 }] })).toEqual([four, five, six]);
  expect(await take()).toEqual([]);
  expect(await take({ again: four, held: ["k-0"] })).toEqual([five]);
  expect(await take()).toEqual([four, five, six]);
  await leave([one]);
  expect(await take()).toEqual([one, two, three, four, five, six]);
});

test("a reader that comes anew is told all of it, and one that reads no more takes nothing from it", async () => {
  const { ids, leave, take, become } = await open({ events: 3, keys: 3 });
  await leave(ids);
  expect(await take()).toEqual(ids);
  const next = await become();
  expect(await take({ limit: 1 }, next)).toEqual(ids.slice(0, 1));
  expect(await take()).toEqual(ids);
  expect(await take({}, next)).toEqual(ids.slice(1));
});

test("what is settled is left no more, and its key is through", async () => {
  const { ids, leave, streams, reader, leftRows } = await open({ events: 4, keys: 3 });
  await leave(ids);
  const [one = 0, two = 0, three = 0] = ids;
  const failed = [{ id: three, attempts: 1, delayMs: 60_000, error: "no" }];
  const dead = [{ id: two, attempts: 5, code: "SAGAZ_MESSAGE_REFUSED", error: "no" }];
  await streams.settleLeft(reader, { sent: [one], failed, dead });
  expect(await leftRows()).toBe(2);
  const keys = ["k-0", "k-1", "k-2", "nobody's"];
  expect([...(await streams.stillLeft(keys))].sort()).toEqual(["k-0", "k-1"]);
  expect([...(await streams.leftKeys(10))].sort()).toEqual(["k-0", "k-1"]);
  const stale = { ...reader, term: reader.term - 1 };
  await expect(streams.settleLeft(stale, { sent: [one], failed: [], dead: [] })).rejects.toMatchObject({
    code: "SAGAZ_FENCED",
  });
});

test("with a long backlog a look reads what it takes, and no more", async () => {
  const { pool, ids, leave } = await open({ events: 30_000, keys: 1_000 });
  await leave(ids);
  const client = await pool.connect();
  onTestFinished(() => client.release());
  const readSoFar = async () => {
    const { rows } = await client.query<{ read: string }>(
      `select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) as read
         from pg_stat_xact_user_tables where schemaname = 'sagaz'`,
    );
    return Number(rows[0]?.read);
  };
  const readBy = async (sql: string, values: readonly unknown[]) => {
    await client.query("begin");
    const before = await readSoFar();
    const { rowCount } = await client.query(sql.replaceAll("{{schema}}", "sagaz"), [...values]);
    const read = (await readSoFar()) - before;
    await client.query("commit");
    return { rowCount, read };
  };
  const take = "select * from sagaz.take_left($1, $2, 1000000, $3, $4, $5)";
  const last = ids.at(-1) ?? 0;
  for (const isAnalyzed of [false, true]) {
    if (isAnalyzed) await client.query("analyze");
    const first = await readBy(take, [0, 100, [], [], null]);
    expect(first.rowCount).toBe(100);
    expect(first.read).toBeLessThan(600);
    const rest = await readBy(take, [last - 10, 100, [], [], null]);
    expect(rest.rowCount).toBe(10);
    expect(rest.read).toBeLessThan(100);
    const still = await readBy(queries.stillLeft, [["k-1", "k-2", "nobody's"]]);
    expect(still.rowCount).toBe(2);
    expect(still.read).toBeLessThan(20);
  }
});
