import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { createDatabase, runSql } from "../../../../../tools/servers/postgres-databases.ts";
import { startPostgres } from "../../../../../tools/servers/postgres.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { toOutboxRow } from "../../core/delivery/outbox-event.ts";
import type { SqlRunner } from "../../core/definition/context.ts";
import { PostgreSQLStorage } from "./index.ts";

const shards = Array.from({ length: 64 }, (_, shard) => shard);
let made = 0;

/** A storage in a database of its own, on this server. */
async function open(serverUrl: string) {
  const { url } = await createDatabase(serverUrl, { name: "outbox" });
  const pool = new pg.Pool({ connectionString: url, max: 12 });
  const storage = new PostgreSQLStorage({ pool });
  await storage.start();
  onTestFinished(async () => {
    await storage.stop();
    await pool.end();
  });
  const take = async (held: readonly string[] = [], again?: number) => {
    const usual = { limit: 1_000, bytesMax: 1_000_000, inFlight: [] };
    const { events } = await storage.outbox.take({ epoch: 1, shards, ...usual, held, again });
    return events.map(({ id }) => id);
  };
  /** Looks until it is certain that the ids up to now were asked for, and asked for again: ten times a second they are. */
  const lookForLong = async (held: readonly string[] = []) => {
    let looks = 0;
    const look = async () => (await take(held), (looks += 1) > 6);
    await waitUntil("it has looked for a while", look, { everyMs: 60 });
  };
  return { url, pool, storage, take, lookForLong };
}

async function begin(
  pool: pg.Pool,
  how = "begin",
): Promise<{ readonly tx: SqlRunner; end(how: "commit" | "rollback"): Promise<void> }> {
  const client = await pool.connect();
  const ignore = () => {};
  client.on("error", ignore); // its server may be killed
  await client.query(how);
  return {
    tx: async (sql, params = []) => (await client.query(sql, [...params])).rows as Record<string, unknown>[],
    end: async (how) => {
      await client.query(how);
      client.off("error", ignore);
      client.release();
    },
  };
}

function toRow(key: string) {
  made += 1;
  const defaults = { newId: () => `event-${made}`, source: "test", bytesMax: 1_000 };
  return toOutboxRow({ topic: "orders", type: "order.changed", key, payload: made }, defaults);
}

async function add(
  { pool, storage }: { pool: pg.Pool; storage: PostgreSQLStorage },
  key: string,
): Promise<number> {
  const { tx, end } = await begin(pool);
  const id = await addIn(storage, tx, key);
  await end("commit");
  return id;
}

/** Adds one in this transaction; answers its id. */
async function addIn(storage: PostgreSQLStorage, tx: SqlRunner, key: string): Promise<number> {
  await storage.outbox.addIn(tx, [toRow(key)]);
  const [row] = await tx("select currval('sagaz.saga_outbox_id')::text as id");
  return Number(row?.["id"]);
}

test("a payload is handed over as bytes, JSON too", async () => {
  const room = await open(inject("postgresUrl"));
  await add(room, "k");
  const usual = { limit: 1, bytesMax: 1_000_000, inFlight: [], held: [], again: undefined };
  const { events } = await room.storage.outbox.take({ epoch: 1, shards, ...usual });
  const [event] = events;
  expect(event?.payload).toBeInstanceOf(Uint8Array);
  expect(JSON.parse(new TextDecoder().decode(event?.payload as Uint8Array))).toBe(made);
});

test("an event that comes to light while its key is held, and was written before what it is held for, is found afterwards", async () => {
  const town = await open(inject("postgresUrl"));
  const early = await begin(town.pool);
  const earlyId = await addIn(town.storage, early.tx, "k");
  const lateId = await add(town, "k");
  expect(await town.take()).toEqual([lateId]);
  await early.end("commit");
  await town.lookForLong(["k"]);
  expect(await town.take([], lateId)).toEqual([earlyId, lateId]);
});

test("ids that a server gives out again, since it has forgotten them, are read all the same", async () => {
  const server = await startPostgres({ own: true });
  onTestFinished(() => server.stop());
  const town = await open(server.url);
  await add(town, "k");
  await town.pool.query("select nextval('sagaz.saga_outbox_id') from generate_series(1, 500)");
  await town.lookForLong();
  const epoch = await register(town.storage);
  await town.storage.outbox.settle({ epoch, sent: await town.take([], 1), failed: [], dead: [] });
  await server.kill();
  await server.restart();
  // A crash forgets what was not flushed, and a standby that takes over what it had not received.
  await runSql(town.url, "select setval('sagaz.saga_outbox_id', 1)");
  const look = () =>
    town.take().then(
      () => true,
      () => false,
    );
  await waitUntil("the storage has found the server again", look);
  await town.lookForLong();
  const id = await add(town, "k");
  expect(id).toBe(2);
  expect(await town.take()).toEqual([id]);
});

async function register(storage: PostgreSQLStorage): Promise<number> {
  const { epoch } = await storage.leases.register({ workerName: "relay", leaseMs: 60_000, definitions: [] });
  return epoch;
}

test("a view tells what has become of each event", async () => {
  const { pool, storage, take } = await open(inject("postgresUrl"));
  for (const key of ["sent", "dead", "failed", "waits"]) await add({ pool, storage }, key);
  const states = async () => {
    const { rows } = await pool.query<Record<"partition_key" | "state" | "last_error", string | null>>(
      "select partition_key, state, last_error from sagaz.saga_outbox_events order by id",
    );
    return rows.map(({ partition_key: key, state, last_error: error }) => [key, state, error]);
  };
  const before = await states();
  expect(before.map(([, state]) => state)).toEqual(["pending", "pending", "pending", "pending"]);
  const { epoch } = await storage.leases.register({ workerName: "w", leaseMs: 60_000, definitions: [] });
  await storage.outbox.balance(epoch);
  const [sent = 0, dead = 0, failed = 0] = await take();
  await storage.outbox.settle({
    epoch,
    sent: [sent],
    failed: [{ id: failed, attempts: 1, delayMs: 60_000, error: "refused" }],
    dead: [{ id: dead, attempts: 5, code: "SAGAZ_MESSAGE_REFUSED", error: "refused" }],
  });
  expect(await states()).toEqual([
    ["sent", "sent", null],
    ["dead", "dead_letter", null],
    ["failed", "claimed", "refused"],
    ["waits", "claimed", null],
  ]);
  const [letter] = (await storage.deadLetters.list({ limit: 1 })).letters;
  await storage.deadLetters.redrive({ ids: [letter?.id ?? 0], actor: "somebody" });
  await storage.outbox.release({ epoch, shards });
  expect((await states()).slice(1)).toEqual([
    ["dead", "sent", null],
    ["failed", "pending", "refused"],
    ["waits", "pending", null],
    ["dead", "pending", null],
  ]);
});

/** Holds events of these keys in a transaction of its own; answers their ids, and which of them may wait behind others. */
async function hold(
  { pool, storage }: { readonly pool: pg.Pool; readonly storage: PostgreSQLStorage },
  keys: readonly string[],
  how: { readonly begin?: string; readonly end?: "rollback" } = {},
): Promise<{ readonly ids: readonly number[]; readonly behind: readonly number[] }> {
  const { tx, end } = await begin(pool, how.begin);
  await tx("select"); // a snapshot, where a transaction has but one
  const added = await storage.outbox.addIn(tx, keys.map(toRow), 2_000);
  await end(how.end ?? "commit");
  const behind = added.flatMap(({ isFree }, n) => (isFree ? [] : [n]));
  return { ids: added.map(({ id }) => id), behind };
}

/** Until it is known up to which id nothing is pending. */
async function untilKnown(room: Parameters<typeof hold>[0]): Promise<void> {
  const isFree = async () => (await hold(room, [`free ${made}`])).behind.length === 0;
  await waitUntil("it is known", isFree);
}

/** Until it is known that what is written now is decided: ten times a second it is asked for. */
async function untilDecided(
  room: Parameters<typeof hold>[0],
  before: () => Promise<unknown> = async () => {},
): Promise<void> {
  let looks = 0;
  const look = async () => {
    await before();
    await untilKnown(room);
    return (looks += 1) > 8;
  };
  await waitUntil("it is decided", look, { everyMs: 60 });
}

const old = "begin isolation level repeatable read";

test("what is held is told together with its write what waits before it, where that is known by then", async () => {
  const room = await open(inject("postgresUrl"));
  // Nothing is known yet: after the commit it is to be asked for.
  expect((await hold(room, ["first"])).behind).toEqual([0]);
  await untilKnown(room);
  await runSql(room.url, "delete from sagaz.saga_outbox_pending");

  const { ids, behind } = await hold(room, ["a"]);
  expect(behind).toEqual([]);
  expect((await hold(room, ["b"])).behind).toEqual([]);
  expect((await hold(room, ["a"])).behind).toEqual([0]);
  expect((await hold(room, ["c", "a", "c", "b"])).behind).toEqual([1, 3]);
  await room.storage.outbox.settleHeld({ sent: ids, released: [] });
  expect((await hold(room, ["a"])).behind).toEqual([0]); // there is a second one
  await runSql(room.url, "delete from sagaz.saga_outbox_pending where partition_key = 'a'");
  expect((await hold(room, ["a"])).behind).toEqual([]);
  // This one would not see what committed while it waited for its lock.
  expect((await hold(room, ["d"], { begin: old })).behind).toEqual([0]);
  expect((await hold(room, ["d", "e"], { begin: old })).behind).toEqual([0, 1]);
  // Behind very many others nobody looks for long.
  await runSql(
    room.url,
    `insert into sagaz.saga_outbox_pending (id, created_at, shard, bytes, partition_key)
      select nextval('sagaz.saga_outbox_id'), now(), 1, 1, 'other' from generate_series(1, 1000)`,
  );
  expect((await hold(room, ["new"])).behind).toEqual([0]);
  expect((await hold(room, ["new", "newer"])).behind).toEqual([0, 1]);
});

test("who does not look does not tell either that nothing waits", async () => {
  const room = await open(inject("postgresUrl"));
  await untilKnown(room);
  await hold(room, ["k"]);
  await untilDecided(room);
  for (const keys of [["other"], ["other", "another"]])
    for (const end of [{}, { end: "rollback" as const }]) await hold(room, keys, { begin: old, ...end });
  const { ids, behind } = await hold(room, ["k"]);
  expect(behind).toEqual([0]);
  expect(await room.storage.outbox.behindOthers([{ id: ids[0] ?? 0, key: "k" }])).toEqual(ids);
});

test("behind a transaction that is open for long a write does not walk over all that has come and gone since", async () => {
  const room = await open(inject("postgresUrl"));
  await untilKnown(room);
  const long = await begin(room.pool);
  await addIn(room.storage, long.tx, "long");
  await untilKnown(room);
  await runSql(room.url, "select count(nextval('sagaz.saga_outbox_id')) from generate_series(1, 20000)");
  await waitUntil("it asks afterwards", async () => (await hold(room, [`far ${made}`])).behind.length === 1);
  await long.end("commit");
  await runSql(room.url, "delete from sagaz.saga_outbox_pending");
  await waitUntil("it looks by itself again", async () => {
    const { ids, behind } = await hold(room, [`near ${made}`]);
    await room.storage.outbox.behindOthers([{ id: ids[0] ?? 0, key: "near" }]);
    return behind.length === 0;
  });
});

test("what was learnt of one server says nothing of another one that takes over", async () => {
  const room = await open(inject("postgresUrl"));
  await untilKnown(room);
  await untilDecided(room, () => runSql(room.url, "delete from sagaz.saga_outbox_pending"));
  await runSql(room.url, "delete from sagaz.saga_outbox_pending");
  // As on a standby that has not received the last ids, and gives them out again.
  const takeOver = [
    "create or replace function sagaz.server_life() returns text language sql as $$ select 'another' $$",
    "select setval('sagaz.saga_outbox_id', 2)",
    `insert into sagaz.saga_outbox_pending (id, created_at, shard, bytes, partition_key)
       values (nextval('sagaz.saga_outbox_id'), now(), 1, 1, 'k')`,
  ];
  for (const sql of takeOver) await runSql(room.url, sql);
  expect((await hold(room, ["k"])).behind).toEqual([0]);
  expect((await hold(room, ["k", "l"])).behind).toEqual([0]);
});
