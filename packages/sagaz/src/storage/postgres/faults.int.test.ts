import { afterAll, beforeAll, beforeEach, expect, inject, onTestFinished, test } from "vitest";
import {
  append,
  begin,
  openRoom,
  register,
  toEntry,
  type PostgresRoom,
} from "../../../../../tests/storage/postgres-room.ts";
import { startFaultProxy, type FaultProxy } from "../../../../../tools/servers/fault-proxy.ts";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { startPostgres } from "../../../../../tools/servers/postgres.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import {
  absent,
  claimIds,
  idsOf,
  released,
  throws,
  toKeyed,
  toMail,
  toStart,
  toRow,
  toStartEntry,
  typesOf,
} from "../../testing/conformance/storage/material.ts";

let proxy: FaultProxy;
let room: PostgresRoom;
let epoch: number;

beforeAll(async () => {
  const { url } = await createDatabase(inject("postgresUrl"), { name: "faults" });
  await (await openRoom({ url })).close(); // makes the tables, which takes longer than the tests let a call take
  proxy = await startFaultProxy(url);
  room = await openRoom(
    { url: proxy.through(url), directUrl: url },
    { writeTimeoutMs: 700, connectTimeoutMs: 700 },
  );
});
beforeEach(async () => {
  epoch = await register(room.storage);
});
afterAll(async () => {
  proxy.heal();
  await room.close();
  await proxy.stop();
});

const write = (sagaId: string, seq: number) => append({ storage: room.storage, epoch }, toEntry(sagaId, seq));

test("an append whose acknowledgement is lost is in doubt, and the tail says that it happened", async () => {
  const sagaId = await begin(room.t, epoch);
  const dropped = proxy.dropRepliesOnce("append_event");
  await throws("SAGAZ_COMMIT_IN_DOUBT", () => write(sagaId, 2));
  await dropped;
  expect(await room.storage.journal.tails([sagaId])).toEqual([{ sagaId, seq: 2, owner: epoch }]);
  await throws("SAGAZ_CONFLICT", () => write(sagaId, 2));
  await write(sagaId, 3);
});

test("an append that never arrives is in doubt, and the tail says that it did not happen", async () => {
  const sagaId = await begin(room.t, epoch);
  const dropped = proxy.dropRequestsOnce("append_event");
  await throws("SAGAZ_COMMIT_IN_DOUBT", () => write(sagaId, 2));
  await dropped;
  expect(await room.storage.journal.tails([sagaId])).toEqual([{ sagaId, seq: 1, owner: epoch }]);
  await write(sagaId, 2);
});

test("while no connection can be opened nothing was written, for sure; afterwards everything goes on", async () => {
  const sagaId = await begin(room.t, epoch);
  proxy.cut();
  await waitUntil("the writer has lost its connection", () => proxy.openConnections === 0);
  for (const call of [
    () => write(sagaId, 2),
    () => room.storage.leases.beat(epoch),
    () => room.storage.queries.find(sagaId),
    () => room.storage.journal.startKeyed(epoch, [toKeyed(room.t, "cut")]),
    () => room.storage.journal.transaction(async () => {}),
  ])
    await throws("SAGAZ_STORAGE_UNAVAILABLE", call);
  proxy.heal();
  await write(sagaId, 2);
  expect((await room.storage.leases.beat(epoch)).alive).toBe(true);
});

test("a network that swallows everything is noticed in time, and what it held back cannot happen twice", async () => {
  const sagaId = await begin(room.t, epoch);
  proxy.blackHole("toClient");
  const begun = performance.now();
  await throws("SAGAZ_COMMIT_IN_DOUBT", () => write(sagaId, 2));
  await throws("SAGAZ_STORAGE_UNAVAILABLE", () => room.storage.queries.find(sagaId));
  expect(performance.now() - begun).toBeLessThan(5_000);
  proxy.heal();
  // The statement had reached the server: its commit is waited for, not guessed.
  expect((await room.storage.journal.tails([sagaId]))[0]?.seq).toBe(2);
  await write(sagaId, 3);
});

test("an answer that is cut off in the middle is in doubt", async () => {
  const sagaId = await begin(room.t, epoch);
  const truncated = proxy.truncateAfter(7);
  await throws("SAGAZ_COMMIT_IN_DOUBT", () => write(sagaId, 2));
  await truncated;
  expect((await room.storage.journal.tails([sagaId]))[0]?.seq).toBe(2);
});

test("a write that is still under way when its connection is lost is waited for before it is looked up", async () => {
  const sagaId = await begin(room.t, epoch);
  // Somebody holds the saga's row, so that the append waits inside the server.
  const holder = await room.pool.connect();
  onTestFinished(() => holder.release());
  await holder.query("begin");
  await holder.query("select 1 from sagaz.saga_executions where saga_id = $1 for update", [sagaId]);
  const entry = toEntry(sagaId, 2, { row: released(null) });
  await throws("SAGAZ_COMMIT_IN_DOUBT", () => append({ storage: room.storage, epoch }, entry));
  const looked = room.storage.journal.tails([sagaId]);
  await waitUntil("the look-up waits for the write", async () => {
    const rows = await room.sql(
      "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%for update%'",
    );
    return rows.length > 0;
  });
  await holder.query("commit");
  expect(await looked).toEqual([{ sagaId, seq: 2, owner: null }]);
});

test("a transactional step whose COMMIT is lost is in doubt; one that fails before it wrote nothing", async () => {
  const sagaId = await begin(room.t, epoch);
  await room.sql("create table if not exists notes (note text)");
  const step = (seq: number) =>
    room.storage.journal.transaction(async (tx, appendIn) => {
      await tx("insert into notes values ($1)", [`step ${seq}`]);
      await appendIn({ epoch, entries: [toEntry(sagaId, seq)] });
    });
  const dropped = proxy.dropRepliesOnce("commit");
  await throws("SAGAZ_COMMIT_IN_DOUBT", () => step(2));
  await dropped;
  expect((await room.storage.journal.tails([sagaId]))[0]?.seq).toBe(2);
  const early = proxy.dropRepliesOnce("append_event");
  await throws("SAGAZ_STORAGE_UNAVAILABLE", () => step(3));
  await early;
  expect((await room.storage.journal.tails([sagaId]))[0]?.seq).toBe(2);
  expect(await room.sql("select note from notes")).toEqual([{ note: "step 2" }]);
});

test("a transactional step that hides a failed statement does not count as done", async () => {
  const sagaId = await begin(room.t, epoch);
  const step = room.storage.journal.transaction(async (tx) => {
    await tx("select 1 / 0").catch(() => {});
  });
  await expect(step).rejects.toMatchObject({ code: "SAGAZ_STORAGE_REFUSED" });
  let escaped: (() => Promise<unknown>) | undefined;
  await room.storage.journal.transaction(async (tx) => {
    escaped = () => tx("select 1");
  });
  await expect(escaped?.()).rejects.toMatchObject({
    code: "SAGAZ_CALL_SETTLED",
    details: { whose: "a step" },
  });
  expect(await typesOf(room.storage, sagaId)).toEqual(["saga_started"]);
});

test("a claim whose commit is still under way is waited for before it is looked up", async () => {
  const sagaId = await begin(room.t, epoch, { start: toStart(room.t, { owned: false }) });
  const [{ partition } = { partition: "" }] = await room.sql(
    "select tableoid::regclass::text as partition from sagaz.saga_executions where saga_id = $1",
    [sagaId],
  );
  // Commits of claims wait for a lock that somebody holds.
  await room.sql(`create function slow_commit() returns trigger language plpgsql as
    'begin perform pg_advisory_xact_lock_shared(7); return null; end'`);
  await room.sql(`create constraint trigger slow_commit after update on ${String(partition)}
    deferrable initially deferred for each row execute function slow_commit()`);
  onTestFinished(async () => void (await room.sql("drop function slow_commit() cascade")));
  const holder = await room.pool.connect();
  await holder.query("select pg_advisory_lock(7)");
  await throws("SAGAZ_COMMIT_IN_DOUBT", () => claimIds(room.storage, epoch));
  await throws("SAGAZ_STORAGE_UNAVAILABLE", () => claimIds(room.storage, epoch));
  await holder.query("select pg_advisory_unlock(7)");
  holder.release();
  expect(await claimIds(room.storage, epoch)).toEqual([sagaId]);
});

test("sagas of a claim whose commit is lost come with the next claim", async () => {
  const sagaId = await begin(room.t, epoch, { start: toStart(room.t, { owned: false }) });
  const dropped = proxy.dropRepliesOnce("commit");
  await throws("SAGAZ_COMMIT_IN_DOUBT", () => claimIds(room.storage, epoch));
  await dropped;
  expect((await room.storage.queries.find(sagaId))?.owner).toBe(epoch);
  expect((await room.storage.leases.beat(epoch)).work).toBe(true);
  expect(await claimIds(room.storage, epoch)).toEqual([sagaId]);
  expect(await claimIds(room.storage, epoch)).toEqual([]);
});

test("sagas of a claim whose commit is lost are among the forgotten, and come once", async () => {
  const sagaId = await begin(room.t, epoch, { start: toStart(room.t, { owned: false }) });
  const dropped = proxy.dropRepliesOnce("commit");
  await throws("SAGAZ_COMMIT_IN_DOUBT", () => claimIds(room.storage, epoch));
  await dropped;
  expect((await room.storage.queries.find(sagaId))?.owner).toBe(epoch);
  expect((await room.storage.leases.beat(epoch)).work).toBe(true);
  const forgotten = await room.storage.leases.forgotten({ epoch, known: [] });
  expect(idsOf(forgotten)).toContain(sagaId);
  expect(await claimIds(room.storage, epoch)).toEqual([]);
});

test("sagas of a claim that was rolled back are claimed as if nothing had been", async () => {
  const sagaId = await begin(room.t, epoch, { start: toStart(room.t, { owned: false }) });
  const dropped = proxy.dropRequestsOnce("commit");
  await throws("SAGAZ_COMMIT_IN_DOUBT", () => claimIds(room.storage, epoch));
  await dropped;
  await waitUntil(
    "the claim is rolled back",
    async () => (await room.storage.queries.find(sagaId))?.owner === null,
  );
  expect(await claimIds(room.storage, epoch)).toEqual([sagaId]);
});

test("a database that is read-only says so, goes on answering reads, and is written to again later", async () => {
  const sagaId = await begin(room.t, epoch);
  const database = String((await room.sql("select current_database() as name"))[0]?.["name"]);
  const reconnect = async (setting: string) => {
    await room.sql(`alter database "${database}" ${setting}`);
    proxy.reset();
    await waitUntil("connections are gone", () => proxy.openConnections === 0);
  };
  await reconnect("set default_transaction_read_only = on");
  await throws("SAGAZ_STORAGE_READ_ONLY", () => write(sagaId, 2));
  await throws("SAGAZ_STORAGE_READ_ONLY", () => room.storage.mailbox.send(toMail(sagaId)));
  await throws("SAGAZ_STORAGE_READ_ONLY", () => room.storage.leases.beat(epoch));
  expect((await room.storage.queries.find(sagaId))?.sagaId).toBe(sagaId);
  await reconnect("reset default_transaction_read_only");
  await write(sagaId, 2);
});

test("a worker that stalls in the middle of a write is shut out all the same", async () => {
  const victim = await register(room.storage, { leaseMs: 1 });
  const sagaId = await begin(room.t, victim);
  // A connection that holds the victim's row as its writer would, and does not go on.
  const stalled = await room.pool.connect();
  stalled.on("error", () => {});
  onTestFinished(() => stalled.release(true));
  await stalled.query("begin");
  await stalled.query("select 1 from sagaz.saga_workers where epoch = $1 for key share", [victim]);
  expect(await room.storage.leases.fenceExpired()).toBeGreaterThanOrEqual(1);
  await expect(stalled.query("commit")).rejects.toThrow();
  await throws("SAGAZ_FENCED", () => append({ storage: room.storage, epoch: victim }, toEntry(sagaId, 2)));
  expect((await room.storage.queries.find(sagaId))?.owner).toBe(null);
});

test("a fence that may not end what holds it up leaves the worker to the next sweep", async () => {
  const { url } = await createDatabase(inject("postgresUrl"), { name: "limited" });
  const owner = await openRoom({ url });
  const role = `limited_${process.pid}_${Date.now()}`;
  await owner.sql(`create role ${role} login`);
  await owner.sql(`grant all on schema sagaz to ${role}`);
  await owner.sql(`grant all on all tables in schema sagaz to ${role}`);
  const limitedUrl = new URL(url);
  limitedUrl.username = role;
  const limited = await openRoom({ url: limitedUrl.href });
  onTestFinished(async () => {
    await limited.close();
    await owner.sql(`drop owned by ${role}`);
    await owner.sql(`drop role ${role}`);
    await owner.close();
  });
  const victim = await register(limited.storage, { leaseMs: 1 });
  const stalled = await owner.pool.connect();
  await stalled.query("begin");
  await stalled.query("select 1 from sagaz.saga_workers where epoch = $1 for key share", [victim]);
  expect(await limited.storage.leases.fenceExpired()).toBe(0);
  const watcher = await register(limited.storage);
  expect((await limited.storage.leases.beat(watcher)).upkeep).toBe(true);
  await stalled.query("commit");
  stalled.release();
  await limited.storage.leases.fenceExpired();
  expect((await limited.storage.leases.beat(watcher)).upkeep).toBe(false);
});

test("a server that is killed in the middle loses nothing that was acknowledged", async () => {
  const server = await startPostgres({ own: true });
  const own = await openRoom({ url: server.url }, { connectTimeoutMs: 500, writeTimeoutMs: 5_000 });
  onTestFinished(async () => {
    await own.close();
    await server.stop();
  });
  const worker = await register(own.storage, { leaseMs: 60_000 });
  const acknowledged: string[] = [];
  const isDown = { killed: false };
  const writing = (async () => {
    for (;;) {
      const start = toStart(own.t);
      try {
        await append({ storage: own.storage, epoch: worker }, toStartEntry(start));
        acknowledged.push(start.sagaId);
      } catch (error) {
        if (isDown.killed) return error;
        throw error;
      }
    }
  })();
  await waitUntil("some sagas are started", () => acknowledged.length > 50);
  isDown.killed = true;
  await server.kill();
  const last = await writing;
  expect(["SAGAZ_COMMIT_IN_DOUBT", "SAGAZ_STORAGE_UNAVAILABLE"]).toContain((last as { code: string }).code);
  await throws("SAGAZ_STORAGE_UNAVAILABLE", () => own.storage.leases.beat(worker));
  await server.restart();
  const next = toStart(own.t);
  await absent(own.storage, next.sagaId);
  await append({ storage: own.storage, epoch: worker }, toStartEntry(next));
  const tails = await own.storage.journal.tails(acknowledged);
  expect(tails.length).toBe(acknowledged.length);
});

test("what goes wrong in the caller's transaction is told as having changed nothing", async () => {
  const start = toStart(room.t, { owned: false });
  const broken = () => Promise.reject(new Error("the caller's connection is gone"));
  await throws("SAGAZ_STORAGE_UNAVAILABLE", () => room.storage.journal.startIn(broken, start));
  const refused = { ...start, attributes: "not JSON" };
  const tx = async (sql: string, params: readonly unknown[] = []) =>
    (await room.pool.query(sql, [...params])).rows;
  await throws("SAGAZ_STORAGE_REFUSED", () => room.storage.journal.startIn(tx, refused));
  await absent(room.storage, start.sagaId);
});

test("more transactional steps than connections wait their turn, and leave room for reads", async () => {
  const sagas: string[] = [];
  for (let n = 0; n < 12; n += 1) sagas.push(await begin(room.t, epoch));
  const most = { now: 0, seen: 0 };
  await Promise.all(
    sagas.map((sagaId) =>
      room.storage.journal.transaction(async (_tx, appendIn) => {
        most.now += 1;
        most.seen = Math.max(most.seen, most.now);
        expect((await room.storage.queries.find(sagaId))?.sagaId).toBe(sagaId);
        await appendIn({ epoch, entries: [toEntry(sagaId, 2)] });
        most.now -= 1;
      }),
    ),
  );
  // Of 8 connections 5 are held, and one is left to read with.
  expect(most.seen).toBe(2);
});

test("batches that send mail to each other's sagas do not block each other", async () => {
  const [one, two] = [epoch, await register(room.storage)];
  const [first, second] = [await begin(room.t, one), await begin(room.t, one)];
  const [third, fourth] = [await begin(room.t, two), await begin(room.t, two)];
  const row = toRow({ error: "e" });
  for (let seq = 2; seq < 22; seq += 1) {
    await Promise.all([
      append(
        { storage: room.storage, epoch: one },
        toEntry(second, seq, { row, mails: [toMail(fourth), toMail(third)] }),
        toEntry(first, seq, { row }),
      ),
      append(
        { storage: room.storage, epoch: two },
        toEntry(fourth, seq, { row, mails: [toMail(first), toMail(second)] }),
        toEntry(third, seq, { row }),
      ),
    ]);
  }
  expect((await room.storage.mailbox.fetch(one, 99)).length).toBe(40);
});

test("a failover that has lost a registration does not give its epoch to another worker", async () => {
  // As after a takeover by a standby that had not received it.
  await room.sql(`delete from sagaz.saga_workers where epoch = ${epoch}`);
  const others = await Promise.all([register(room.storage), register(room.storage)]);
  expect(new Set([epoch, ...others]).size).toBe(3);
  expect((await room.storage.leases.beat(epoch)).alive).toBe(false);
  expect((await room.storage.leases.beat(others[0])).alive).toBe(true);
});

test.for(["read committed", "repeatable read"])(
  "workers that register at the same time get epochs of their own: %s",
  async (isolation) => {
    const { url } = await createDatabase(inject("postgresUrl"), { name: "epochs" });
    const before = await openRoom({ url });
    const [{ name } = { name: "" }] = await before.sql("select current_database() as name");
    await before.sql(`alter database "${String(name)}" set default_transaction_isolation = '${isolation}'`);
    await before.close();
    const others = await openRoom({ url });
    onTestFinished(() => others.close());
    // Without definitions: two that note the same one at once are to be repeated at repeatable read.
    const epochs = await Promise.all(
      Array.from({ length: 10 }, () => register(others.storage, { definitions: [] })),
    );
    expect(new Set(epochs).size).toBe(10);
  },
);

test("a registration that waits holds up no other", async () => {
  const waiting = await room.pool.connect();
  await waiting.query("begin; select sagaz.register_worker('waits', 5000, '[]', null)");
  await register(room.storage);
  await waiting.query("rollback");
  waiting.release();
});
