import { writeFileSync } from "node:fs";
import path from "node:path";
import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { startFaultProxy } from "../../../../../tools/servers/fault-proxy.ts";
import { findPgBouncer, startPgBouncer } from "../../../../../tools/servers/pgbouncer.ts";
import { createDatabase, runSql } from "../../../../../tools/servers/postgres-databases.ts";
import { startPostgres } from "../../../../../tools/servers/postgres.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import type { OutboxEvent } from "../../core/delivery/outbox-event.ts";
import { SagaError } from "../../core/errors.ts";
import type { BrokerMessage } from "../../ports/broker.ts";
import { silentLog } from "../../ports/log.ts";
import { PostgreSQLStorage } from "../../storage/postgres/index.ts";
import type { PostgreSQLStorageOptions } from "../../storage/postgres/index.ts";
import { fromPg } from "../../transactions/from-pg.ts";
import { OptimisticPublisher } from "./optimistic-publisher.ts";
import { Outbox } from "./outbox.ts";
import { OutboxWorker } from "./outbox-worker.ts";
import type { OutboxWorkerOptions } from "./outbox-worker.ts";

/** A broker that writes down what it took, and has moods. */
class Ledger extends InMemoryBroker {
  readonly taken: string[] = [];
  mood: (text: string) => "refused" | "away" | undefined = () => undefined;

  override async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    await new Promise(setImmediate);
    const stopped = new Set<string>();
    return messages.map(({ topic, key, payload }) => {
      if (stopped.has(key)) return new SagaError("SAGAZ_BROKER_HELD_BACK");
      const text = `${key}/${String(JSON.parse(String(payload)))}`;
      const mood = this.mood(text);
      if (mood === undefined) return void this.taken.push(text);
      stopped.add(key);
      if (mood === "away")
        return new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker: this.name, message: mood });
      return new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: this.name, topic, message: "no" });
    });
  }

  /** First deliveries of a key. */
  firsts(key: string): readonly string[] {
    return [...new Set(this.taken)].filter((text) => text.startsWith(`${key}/`));
  }
}

const dropSlot = `select pg_drop_replication_slot(slot_name) from pg_replication_slots
  where database = current_database() and not active`;

/** How an outbox is opened: on which server, and what the storage is told besides. */
interface Opening {
  readonly serverUrl?: string;
  /** By way of which the pool goes; default straight. */
  readonly poolUrl?: string;
  readonly toStorage?: (url: string) => Partial<PostgreSQLStorageOptions>;
}

async function open({ serverUrl = inject("postgresUrl"), poolUrl = serverUrl, toStorage }: Opening = {}) {
  const { url, name } = await createDatabase(serverUrl, { name: "cdc" });
  const address = new URL(poolUrl);
  address.pathname = name;
  const pool = new pg.Pool({ connectionString: address.href, max: 20 });
  pool.on("error", () => {}); // a server that is restarted breaks idle connections
  const storage = new PostgreSQLStorage({ pool, ...toStorage?.(url) });
  await storage.start();
  onTestFinished(async () => {
    await storage.stop();
    await pool.query(dropSlot);
    await pool.end();
  });
  const broker = new Ledger();
  const rows = async <T extends Record<string, unknown>>(sql: string) => (await pool.query<T>(sql)).rows;
  const outbox = new Outbox({ storage });
  const write = (...names: readonly string[]) =>
    outbox.transaction(pool, (_, add) =>
      add(
        names.map((name) => {
          const [key = "", payload] = name.split("/");
          return { topic: "t", type: "e", key, payload };
        }),
      ),
    );
  const started = async (options: Partial<OutboxWorkerOptions> = {}) => {
    const worker = new OutboxWorker({
      storage,
      broker,
      delivery: "cdc",
      leaseMs: 1_000,
      log: silentLog,
      ...options,
    });
    await worker.start();
    onTestFinished(() => worker.stop());
    return worker;
  };
  const reading = async (options: Partial<OutboxWorkerOptions> = {}) => {
    const worker = await started(options);
    await untilIt("reads the log", worker, "cdc");
    return worker;
  };
  return { url, pool, storage, broker, rows, outbox, write, started, reading };
}

const untilIt = (what: string, worker: OutboxWorker, mode: "cdc" | "relay") =>
  waitUntil(`it ${what}`, () => worker.delivery.mode === mode, { withinMs: 20_000 });
const untilTaken = (broker: Ledger, count: number) =>
  waitUntil(`${count} have arrived`, () => new Set(broker.taken).size >= count, { withinMs: 30_000 });

test("events are read from the log and are pending no more", async () => {
  const { broker, rows, write, reading } = await open();
  const worker = await reading();
  await write("a/1", "a/2", "b/1");
  await untilTaken(broker, 3);
  expect(broker.taken).toEqual(["a/1", "a/2", "b/1"]);
  await waitUntil(
    "they are noted",
    async () => (await rows("select from sagaz.saga_outbox_pending")).length === 0,
  );
  expect(worker.delivery).toEqual({ mode: "cdc" });
  expect(await rows("select mode from sagaz.saga_delivery")).toEqual([{ mode: "cdc" }]);
});

/** A client for replication, as a user hands one in. */
const replicating = (connectionString: string) =>
  new pg.Client({ connectionString, replication: "database" } as pg.ClientConfig);

const isEmpty = (rows: (sql: string) => Promise<readonly unknown[]>) => async () =>
  (await rows("select from sagaz.saga_outbox_pending limit 1")).length === 0;
const backlogMs = { withinMs: 60_000 };

test("what was pending before the slot was made is sent first, and what rolls back never", async () => {
  const { pool, broker, rows, write, reading, outbox } = await open();
  await write(...Array.from({ length: 2_500 }, (_, n) => `key-${n % 7}/${n}`));
  await reading({ batchMax: 300 });
  await write("key-0/late");
  const failing = outbox.transaction(pool, async (_, add) => {
    add({ topic: "t", type: "e", key: "key-0", payload: "never" });
    throw new Error("no");
  });
  await expect(failing).rejects.toThrow("no");
  await write("key-0/last");
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  await untilTaken(broker, 2_502);
  expect(broker.taken).not.toContain("key-0/never");
  expect(broker.taken).toHaveLength(2_502);
  expect(broker.firsts("key-0").slice(-2)).toEqual(["key-0/late", "key-0/last"]);
});

test("events of concurrent transactions arrive in the order of their aggregates' versions", async () => {
  const { pool, broker, rows, outbox, reading } = await open();
  await pool.query("create table orders (id text primary key, version integer not null default 0)");
  const keys = Array.from({ length: 8 }, (_, n) => `order-${n}`);
  for (const key of keys) await pool.query("insert into orders (id) values ($1)", [key]);
  await reading({ batchMax: 40 });
  let committed = 0;
  const produce = async (producer: number) => {
    for (let n = 0; n < 80; n++) {
      const key = keys[(producer * 7 + n * 3) % keys.length] ?? "";
      const work = outbox.transaction(pool, async (tx, add) => {
        const [order] = await tx("update orders set version = version + 1 where id = $1 returning version", [
          key,
        ]);
        add({ topic: "t", type: "e", key, payload: Number(order?.["version"]) });
        if (n % 4 === 0) await tx("savepoint s");
        if (n % 3 === 0) await tx("select pg_sleep(0.005)");
        if (n % 5 === 4) throw new Error("rolled back");
      });
      await work.then(
        () => (committed += 1),
        () => {},
      );
    }
  };
  await Promise.all([1, 2, 3, 4, 5].map(produce));
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  await untilTaken(broker, committed);
  for (const key of keys) {
    const arrived = broker.taken.filter((text) => text.startsWith(`${key}/`));
    expect(arrived).toEqual(Array.from({ length: arrived.length }, (_, n) => `${key}/${n + 1}`));
  }
  expect(broker.taken).toHaveLength(committed);
});

test("a refused event is tried again from the tables while others flow, and dies after its tries", async () => {
  const { broker, rows, write, reading } = await open();
  let refusals = 0;
  broker.mood = (text) => {
    if (text === "bad/2") return "refused";
    return text === "later/1" && (refusals += 1) < 2 ? "refused" : undefined;
  };
  const worker = await reading({ attemptsMax: 2 });
  await write("bad/1", "bad/2", "bad/3", "later/1", "later/2", "good/1");
  await untilTaken(broker, 2);
  await write("bad/4", "later/3", "good/2");
  await waitUntil("nothing is pending", isEmpty(rows), backlogMs);
  expect(broker.firsts("bad")).toEqual(["bad/1", "bad/3", "bad/4"]);
  expect(broker.firsts("later")).toEqual(["later/1", "later/2", "later/3"]);
  expect(broker.firsts("good")).toEqual(["good/1", "good/2"]);
  expect(broker.taken).toHaveLength(8);
  expect(worker.counts).toMatchObject({ sent: 8, dead: 1 });
  expect(await rows("select attempts from sagaz.saga_dead_letters")).toEqual([{ attempts: 2 }]);
  // Its keys are through: they go straight from the log again.
  await write("bad/5");
  await untilTaken(broker, 9);
  expect(worker.delivery.mode).toBe("cdc");
});

test("an outage of the broker is waited for, and counts against no event", async () => {
  const { broker, rows, write, reading } = await open();
  let isAway = true;
  broker.mood = (text) => (isAway && !text.startsWith("near/") ? "away" : undefined);
  const worker = await reading({ batchMax: 10, attemptsMax: 1 });
  const names = Array.from({ length: 60 }, (_, n) => `${n % 3 === 0 ? "near" : `far-${n % 3}`}/${n}`);
  await write(...names);
  await waitUntil("it has tried", () => worker.counts.outages > 2);
  isAway = false;
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  expect(worker.counts.dead).toBe(0);
  expect(broker.taken).toHaveLength(60);
  for (const key of ["near", "far-1", "far-2"]) {
    expect(broker.firsts(key)).toEqual(names.filter((name) => name.startsWith(`${key}/`)));
  }
});

test("fifty thousand events of one transaction pass through, and a reader that begins anew in the middle goes on there", async () => {
  const { pool, broker, rows, storage, reading } = await open();
  const first = await reading({ batchMax: 500 });
  const names = Array.from({ length: 50_000 }, (_, n) => n);
  const outbox = new Outbox({ storage });
  const before = process.memoryUsage().heapUsed;
  await outbox.transaction(pool, async (_, add) => {
    for (let n = 0; n < names.length; n += 5_000) {
      add(
        names
          .slice(n, n + 5_000)
          .map((i) => ({ topic: "t", type: "e", key: `k${i % 50}`, payload: "x".repeat(200) + i })),
      );
    }
  });
  await waitUntil("a part is sent", () => broker.taken.length > 5_000, backlogMs);
  await first.stop();
  const sentByFirst = broker.taken.length;
  expect(sentByFirst).toBeLessThan(50_000);
  await reading({ batchMax: 500 });
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  await untilTaken(broker, 50_000);
  expect(broker.taken.length).toBe(50_000);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 << 20);
});

test("a worker that stands by takes over, and relays without it hold nothing while one reads", async () => {
  const { broker, rows, write, started, reading } = await open();
  const first = await reading();
  const standby = await started();
  const relay = await started({ delivery: "relay" });
  await write("a/1");
  await untilTaken(broker, 1);
  expect(first.counts.sent).toBe(1);
  expect(await rows("select from sagaz.saga_outbox_shards where owner is not null")).toEqual([]);
  await first.stop();
  await write("a/2");
  await untilIt("has taken over", standby, "cdc");
  await write("a/3");
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  expect(broker.taken).toEqual(["a/1", "a/2", "a/3"]);
  await standby.stop();
  await write("a/4");
  await untilTaken(broker, 4);
  expect(relay.counts.sent).toBeGreaterThan(0);
  expect(await rows("select mode, reason from sagaz.saga_delivery")).toEqual([
    { mode: "relay", reason: "the reader is gone" },
  ]);
});

test("a slot that is dropped under its reader: polling goes on, and nothing is lost when a new one is made", async () => {
  const { pool, broker, rows, write, reading } = await open();
  const worker = await reading();
  await write("a/1");
  await untilTaken(broker, 1);
  await pool.query(
    "select pg_terminate_backend(active_pid) from pg_replication_slots where database = current_database()",
  );
  await waitUntil("it is dropped", async () => (await rows(dropSlot)).length > 0);
  await write("a/2", "a/3");
  const lost = await waitUntil("it says so", () => worker.delivery.trouble, { withinMs: 20_000 });
  expect(lost.code).toBe("SAGAZ_SLOT_LOST");
  await write("a/4");
  await untilIt("reads again", worker, "cdc");
  await write("a/5");
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  expect(broker.firsts("a")).toEqual(["a/1", "a/2", "a/3", "a/4", "a/5"]);
  expect(worker.delivery).toEqual({ mode: "cdc" });
});

test("log beyond the limit: the slot is dropped, polling takes over, and reading begins again once it has caught up", async () => {
  const { pool, broker, rows, write, reading } = await open();
  let isAway = false;
  broker.mood = () => (isAway ? "away" : undefined);
  const worker = await reading({ slotWalBytesMax: 1 << 20 });
  isAway = true;
  await write("a/1", "a/2");
  await pool.query("create table noise as select repeat(md5(n::text), 40) from generate_series(1, 4000) n");
  const behind = await waitUntil("it gives up", () => worker.delivery.trouble, { withinMs: 20_000 });
  expect(behind.code).toBe("SAGAZ_SLOT_BEHIND");
  const slots = () => rows("select from pg_replication_slots where database = current_database()");
  await waitUntil("the slot is gone", async () => (await slots()).length === 0, { withinMs: 20_000 });
  isAway = false;
  await write("a/3");
  await untilIt("reads again", worker, "cdc");
  await write("a/4");
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  expect(broker.firsts("a")).toEqual(["a/1", "a/2", "a/3", "a/4"]);
});

test("what a stale reader notes is refused", async () => {
  const { storage, write, rows } = await open();
  const { epoch } = await storage.leases.register({ workerName: "w", leaseMs: 60_000, definitions: [] });
  const streams = storage.eventStreams;
  const become = async () => {
    const answer = await streams.become(epoch);
    if (answer.kind !== "reader") throw new Error(answer.kind);
    return answer.reader;
  };
  const stale = await become();
  const fresh = await become();
  await write("a/1");
  const [{ id } = { id: 0 }] = await rows<{ id: string }>("select id from sagaz.saga_outbox_pending");
  const note = { sent: [Number(id)], failed: [], dead: [], left: [] };
  await expect(streams.settle(stale, note)).rejects.toMatchObject({ code: "SAGAZ_FENCED" });
  await expect(streams.endDrain(stale, 1)).rejects.toMatchObject({ code: "SAGAZ_FENCED" });
  await streams.end(stale, "stale");
  await streams.settle(fresh, note);
  expect(await rows("select from sagaz.saga_outbox_pending")).toEqual([]);
  await streams.end(fresh, "over");
  await expect(streams.settle(fresh, note)).rejects.toMatchObject({ code: "SAGAZ_FENCED" });
});

test("a slot that is made anew while somebody drains for the one before: what committed in between is drained too", async () => {
  const { pool, storage, write, rows } = await open();
  const { epoch } = await storage.leases.register({ workerName: "w", leaseMs: 60_000, definitions: [] });
  const streams = storage.eventStreams;
  const limits = { slotWalBytesMax: 1 << 30 };
  const become = async () => {
    const answer = await streams.become(epoch);
    if (answer.kind !== "reader") throw new Error(answer.kind);
    return answer;
  };
  expect(await streams.prepare(limits)).toEqual({ kind: "ready" });
  const { reader } = await become();
  const upTo = await streams.lastId();
  await pool.query(dropSlot);
  await write("a/1"); // neither drained nor brought by the slot that another worker makes now
  expect(await streams.prepare(limits)).toEqual({ kind: "ready" });
  await expect(streams.endDrain(reader, upTo)).rejects.toMatchObject({ code: "SAGAZ_FENCED" });
  expect(await become()).toMatchObject({ isDrained: false });
  // One that was about to make a slot, and comes only now.
  await pool.query(dropSlot);
  const [late] = await rows("select sagaz.undrain() as epoch");
  const again = await become();
  await streams.endDrain(again.reader, await streams.lastId());
  expect(await rows(`select sagaz.make_slot(${String(late?.["epoch"])}) as made`)).toEqual([{ made: false }]);
});

test("a server without a logical log: events are polled for, with advice, until the log can be read", async () => {
  const server = await startPostgres({ own: true, fsync: false });
  onTestFinished(() => server.stop());
  const { broker, pool, write, started } = await open({ serverUrl: server.url });
  const worker = await started();
  const trouble = await waitUntil("it says so", () => worker.delivery.trouble);
  expect(trouble).toMatchObject({
    code: "SAGAZ_CDC_UNAVAILABLE",
    details: { why: "wal_level is replica", advice: "Set wal_level = logical and restart the server" },
  });
  const other = await started();
  await waitUntil("the other one says so too", () => other.delivery.trouble);
  await write("a/1");
  await untilTaken(broker, 1);
  await pool.query("alter system set wal_level = logical");
  await server.restart();
  const ways = () => [worker.delivery, other.delivery].sort((a, b) => a.mode.localeCompare(b.mode));
  const isWell = () => ways().every(({ trouble }) => !trouble) && ways()[0]?.mode === "cdc";
  await waitUntil("one reads the log, and the other has no trouble", isWell, { withinMs: 20_000 });
  await write("a/2");
  await untilTaken(broker, 2);
  expect(broker.firsts("a")).toEqual(["a/1", "a/2"]);
});

test("a server that is killed and comes back: the reader goes on with its slot", async () => {
  const server = await startPostgres({ own: true, settings: { wal_level: "logical" } });
  onTestFinished(() => server.stop());
  const { broker, rows, write, reading } = await open({ serverUrl: server.url });
  const worker = await reading();
  await write("a/1");
  await untilTaken(broker, 1);
  await server.kill();
  await untilIt("has noticed", worker, "relay");
  await server.restart();
  await write("a/2", "b/1");
  await untilIt("reads again", worker, "cdc");
  await write("a/3");
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  expect(broker.firsts("a")).toEqual(["a/1", "a/2", "a/3"]);
});

test("a password that the pool asks for each time is asked for the stream too", async () => {
  const server = await startPostgres({ own: true, settings: { wal_level: "logical" } });
  onTestFinished(() => server.stop());
  await runSql(server.url, "create role app login superuser password 'first'", "create database shop");
  const lines = ["host all sagaz 127.0.0.1/32 trust", "host all app 127.0.0.1/32 scram-sha-256", ""];
  writeFileSync(path.join(server.dataDir, "pg_hba.conf"), lines.join("\n"));
  await server.restart();
  let password = "first";
  const address = { host: "127.0.0.1", port: server.port, user: "app", database: "shop" };
  const pool = new pg.Pool({ ...address, max: 10, password: () => password });
  pool.on("error", () => {});
  const storage = new PostgreSQLStorage({ pool });
  await storage.start();
  onTestFinished(async () => {
    await storage.stop();
    await pool.end();
  });
  const { epoch } = await storage.leases.register({ workerName: "w", leaseMs: 60_000, definitions: [] });
  await storage.eventStreams.prepare({ slotWalBytesMax: 1 << 30 });
  const answer = await storage.eventStreams.become(epoch);
  if (answer.kind !== "reader") throw new Error(answer.kind);
  await runSql(server.url, "alter role app password 'second'");
  password = "second";
  const stream = await storage.eventStreams.open(answer.reader);
  await stream.stop();
});

test("a role that may not replicate is told so", async () => {
  const { pool, storage, rows } = await open();
  const [{ name } = { name: "" }] = await rows<{ name: string }>("select current_database() as name");
  await pool.query(`create role "${name}" login; grant all on schema sagaz to "${name}";
    grant all on all tables in schema sagaz to "${name}"; grant all on database "${name}" to "${name}"`);
  const address = new URL(inject("postgresUrl"));
  address.username = name;
  address.pathname = name;
  const others = new pg.Pool({ connectionString: address.href });
  const poor = new PostgreSQLStorage({ pool: others, migrate: false });
  onTestFinished(async () => {
    await others.end();
    await pool.query(`drop owned by "${name}"; drop role "${name}"`);
  });
  await poor.start();
  const limits = { slotWalBytesMax: 1 << 30 };
  expect(await poor.eventStreams.prepare(limits)).toMatchObject({
    kind: "unavailable",
    advice: expect.stringContaining("run: select sagaz.ensure_publication('sagaz_sagaz')") as string,
  });
  await pool.query("select sagaz.ensure_publication('sagaz_sagaz')");
  expect(await poor.eventStreams.prepare(limits)).toMatchObject({
    kind: "unavailable",
    advice: expect.stringContaining("alter role … replication") as string,
  });
  // Even where the owner has made the slot too. The server waits with that for what others have begun.
  const isReady = async () => (await storage.eventStreams.prepare(limits)).kind === "ready";
  await waitUntil("the owner has a slot", isReady);
  await expect(poor.eventStreams.open({ epoch: 1, term: 1 })).rejects.toMatchObject({
    code: "SAGAZ_CDC_UNAVAILABLE",
  });
  await poor.stop();
});

test("under load, between reading and polling and back: nothing is lost, little is sent twice, keys keep their order", async () => {
  const { pool, broker, rows, outbox, reading, started } = await open();
  const worker = await reading({ batchMax: 100 });
  const relay = await started({ delivery: "relay", batchMax: 100 });
  const load = { isOver: false };
  const written = new Map<string, number>();
  const produce = async (producer: number) => {
    for (let n = 0; !load.isOver; n++) {
      const key = `${producer}-${n % 5}`;
      const version = (written.get(key) ?? 0) + 1;
      await outbox.transaction(pool, (_, add) => add({ topic: "t", type: "e", key, payload: version }));
      written.set(key, version);
    }
  };
  const producing = [1, 2, 3].map(produce);
  for (let round = 0; round < 3; round++) {
    await pool.query(
      "select pg_terminate_backend(active_pid) from pg_replication_slots where database = current_database()",
    );
    await waitUntil("it is dropped", async () => (await rows(dropSlot)).length > 0);
    await waitUntil("polling goes on", () => worker.delivery.trouble, { withinMs: 20_000 });
    const { length } = broker.taken;
    await waitUntil("events are relayed", () => broker.taken.length > length, { withinMs: 20_000 });
    await untilIt("reads again", worker, "cdc");
  }
  load.isOver = true;
  await Promise.all(producing);
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  for (const [key, last] of written)
    expect(broker.firsts(key)).toEqual(Array.from({ length: last }, (_, n) => `${key}/${n + 1}`));
  const twice = broker.taken.length - new Set(broker.taken).size;
  expect(twice).toBeLessThanOrEqual(4_000);
  expect(worker.counts.sent + relay.counts.sent).toBe(broker.taken.length);
});

test("what is written for a publisher is the reader's while one reads", async () => {
  const { pool, storage, broker, reading, rows } = await open();
  await reading();
  const publisher = new OptimisticPublisher({ storage, broker, log: silentLog });
  await publisher.start();
  onTestFinished(() => publisher.stop());
  const hasty = new Outbox({ storage, publisher });
  const toEvents = (names: readonly string[]) =>
    names.map((payload) => ({ topic: "t", type: "e", key: "k", payload }));
  await hasty.transaction(pool, (_, add) => add(toEvents(["1"])));
  await hasty.transaction(pool, (_, add) => add(toEvents(["2", "3"])));
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  expect(broker.taken).toEqual(["k/1", "k/2", "k/3"]);
  expect(publisher.counts).toEqual({ sent: 0, released: 0 });
});

test("under debezium no event is pending and nobody here sends; that is refused while events are pending", async () => {
  const { pool, storage, broker, rows, write, started, reading } = await open();
  const set = (mode: string, reason = "a test") =>
    pool.query("select sagaz.set_delivery($1, $2)", [mode, reason]);
  await write("a/1");
  await waitUntil("there is a slot, but ours", async () => {
    const { kind } = await storage.eventStreams.prepare({ slotWalBytesMax: 1 << 30 });
    return kind === "ready";
  });
  await expect(set("debezium")).rejects.toThrow("there is no slot for Debezium");
  await rows(`select pg_create_logical_replication_slot('debezium_' || oid, 'pgoutput')
    from pg_database where datname = current_database()`);
  await expect(set("debezium")).rejects.toThrow("events are pending");
  await expect(set("cdc")).rejects.toThrow("the mode is relay or debezium");
  await expect(set("debezium", "")).rejects.toThrow("say why");
  const relay = await started({ delivery: "relay" });
  const reader = await reading();
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  await set("debezium");
  await write("a/2", "b/1");
  expect(await rows("select from sagaz.saga_outbox_pending")).toEqual([]);
  expect(await rows("select count(*)::integer as logged from sagaz.saga_outbox")).toEqual([{ logged: 3 }]);
  await waitUntil(
    "nobody holds shards",
    async () => (await rows("select from sagaz.saga_outbox_shards where owner is not null")).length === 0,
  );
  await waitUntil("the reader has let go", () => reader.delivery.mode === "relay");
  const ourSlot = "select from pg_replication_slots where slot_name = sagaz.slot_name()";
  await waitUntil("its slot is gone", async () => (await rows(ourSlot)).length === 0);
  expect(await storage.eventStreams.prepare({ slotWalBytesMax: 1 << 30 })).toEqual({ kind: "soon" });
  expect(await rows(ourSlot)).toEqual([]);
  await set("relay");
  await write("a/3");
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  expect(broker.taken).toEqual(["a/1", "a/3"]);
  expect(relay.delivery).toEqual({ mode: "relay" });
});

test("who began before debezium took over leaves it no pending row, and is refused what it would not send", async () => {
  const { pool, storage, rows } = await open();
  const outbox = new Outbox({ storage });
  await rows(`select pg_create_logical_replication_slot('debezium_' || oid, 'pgoutput')
    from pg_database where datname = current_database()`);
  const late = await pool.connect();
  onTestFinished(() => late.release());
  const begin = () => late.query("begin isolation level repeatable read; select from sagaz.saga_delivery");
  const add = (...events: readonly Partial<OutboxEvent>[]) =>
    outbox.add(
      fromPg(late),
      events.map((event) => ({ topic: "t", type: "e", key: "k", payload: {}, ...event })),
    );
  await begin();
  await rows("select sagaz.set_delivery('debezium', 'a test')");
  await add({});
  await add({ topic: "u" }, { topic: "v" });
  await late.query("commit");
  expect(await rows("select from sagaz.saga_outbox_pending")).toEqual([]);
  const topics = await rows("select topic from sagaz.saga_outbox order by id");
  expect(topics.map(({ topic }) => topic)).toEqual(["t", "u", "v"]);
  await rows("select sagaz.set_delivery('relay', 'a test')");
  for (const event of [{ payload: new Uint8Array([1]) }, { topic: "https://a.example.com/" }]) {
    for (const events of [[event], [{}, event]]) {
      await begin();
      await rows("select sagaz.set_delivery('debezium', 'a test')");
      await expect(add(...events)).rejects.toThrow("under debezium");
      await late.query("rollback");
      await rows("select sagaz.set_delivery('relay', 'a test')");
    }
  }
});

test("behind a pooler that knows no replication: events are polled for, with advice", async (context) => {
  const found = await findPgBouncer();
  if ("missing" in found) return context.skip(found.missing);
  const pooler = await startPgBouncer(found.program, inject("postgresUrl"));
  onTestFinished(() => pooler.stop());
  const { broker, write, started } = await open({ poolUrl: pooler.url });
  const worker = await started();
  const trouble = await waitUntil("it says so", () => worker.delivery.trouble);
  expect(trouble).toMatchObject({
    code: "SAGAZ_CDC_UNAVAILABLE",
    details: {
      why: "unsupported startup parameter: replication",
      advice: "Pass the storage a replicationClient that goes straight to the server, past the pooler",
    },
  });
  expect(await worker.health()).toEqual({ isUp: true, detail: trouble.message });
  await write("a/1");
  await untilTaken(broker, 1);
  await write("a/2");
  await untilTaken(broker, 2);
});

test("behind a pooler in transaction mode, with a way around it for the stream alone", async (context) => {
  const found = await findPgBouncer();
  if ("missing" in found) return context.skip(found.missing);
  const pooler = await startPgBouncer(found.program, inject("postgresUrl"));
  onTestFinished(() => pooler.stop());
  const { broker, rows, write, reading } = await open({
    poolUrl: pooler.url,
    toStorage: (url) => ({ replicationClient: () => replicating(url) }),
  });
  await write("a/1");
  const worker = await reading();
  await write("a/2", "b/1");
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  await worker.stop();
  await write("a/3");
  await reading();
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  expect(broker.taken).toEqual(["a/1", "a/2", "b/1", "a/3"]);
});

test("behind a pooler, with a stream that goes by way of it too: the advice is the same", async (context) => {
  const found = await findPgBouncer();
  if ("missing" in found) return context.skip(found.missing);
  const pooler = await startPgBouncer(found.program, inject("postgresUrl"));
  onTestFinished(() => pooler.stop());
  const { broker, write, started } = await open({
    toStorage: (url) => ({
      replicationClient: () => replicating(`${pooler.url.replace(/[^/]*$/, "")}${url.split("/").at(-1)}`),
    }),
  });
  const worker = await started();
  const trouble = await waitUntil("it says so", () => worker.delivery.trouble);
  expect(trouble.code).toBe("SAGAZ_CDC_UNAVAILABLE");
  expect(trouble.message).toContain("past the pooler");
  await write("a/1");
  await untilTaken(broker, 1);
});

test("a transaction that is open for long holds up none that commits meanwhile, and comes when it commits", async () => {
  const { pool, broker, rows, write, outbox, reading } = await open();
  const first = await reading();
  const long = await pool.connect();
  onTestFinished(() => long.release(true));
  await long.query("begin");
  await outbox.add(async (sql, params = []) => (await long.query(sql, [...params])).rows, {
    topic: "t",
    type: "e",
    key: "long",
    payload: 1,
  });
  for (let n = 1; n <= 50; n++) await write(`short/${n}`);
  await untilTaken(broker, 50);
  await first.stop();
  await reading();
  await write("short/51");
  await untilTaken(broker, 51);
  expect(broker.firsts("long")).toEqual([]);
  await long.query("commit");
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  expect(broker.taken.at(-1)).toBe("long/1");
  expect(broker.taken).toHaveLength(52);
});

test("a stream that is cut in silence, and cannot be opened again: polling goes on, until it can", async () => {
  const proxy = await startFaultProxy(inject("postgresUrl"));
  onTestFinished(() => proxy.stop());
  const { broker, write, reading, rows } = await open({
    toStorage: (url) => ({
      connectTimeoutMs: 500,
      replicationClient: () => replicating(proxy.through(url)),
    }),
  });
  const worker = await reading();
  await write("a/1");
  await untilTaken(broker, 1);
  proxy.blackHole();
  await write("a/2", "b/1");
  await waitUntil("they arrive all the same", () => broker.taken.length >= 3, { withinMs: 30_000 });
  expect(worker.delivery).toMatchObject({ mode: "relay", trouble: { code: "SAGAZ_STORAGE_UNAVAILABLE" } });
  await write("a/3");
  await untilTaken(broker, 4);
  proxy.heal();
  await untilIt("reads again", worker, "cdc");
  await write("a/4");
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  expect(broker.firsts("a")).toEqual(["a/1", "a/2", "a/3", "a/4"]);
  expect(worker.delivery).toEqual({ mode: "cdc" });
});

test("a publication that is dropped, or has lost the outbox: its slot is made anew, and nothing is lost", async () => {
  const { pool, broker, write, reading, rows } = await open();
  const worker = await reading();
  await write("a/1");
  await untilTaken(broker, 1);
  await pool.query("drop publication sagaz_sagaz");
  await write("a/2");
  await waitUntil("it says so", () => worker.delivery.trouble?.code === "SAGAZ_SLOT_LOST");
  await untilIt("reads again", worker, "cdc");
  await pool.query("alter publication sagaz_sagaz drop table sagaz.saga_outbox");
  await write("a/3"); // the log brings it to nobody
  await waitUntil("it says so again", () => worker.delivery.trouble?.code === "SAGAZ_SLOT_LOST");
  await untilIt("reads again", worker, "cdc");
  await write("a/4");
  await waitUntil("all is sent", isEmpty(rows), backlogMs);
  expect(broker.firsts("a")).toEqual(["a/1", "a/2", "a/3", "a/4"]);
});

test("a schema that is dropped and made anew finds what is left of the first one, and does not read it", async () => {
  const { pool, storage, broker, write, reading } = await open();
  await (await reading()).stop();
  await storage.stop();
  await pool.query("drop schema sagaz cascade");
  await storage.start();
  const worker = await reading();
  await write("a/1");
  await untilTaken(broker, 1);
  expect(worker.delivery.mode).toBe("cdc");
});

test("a slot that is held by a reader whose machine is gone is wrested from it", async () => {
  const { url, broker, write, reading, rows } = await open();
  await (await reading()).stop();
  const gone = replicating(url);
  gone.on("error", () => {}); // it is cut off
  await gone.connect();
  const [slot] = await rows("select slot_name from pg_replication_slots where database = current_database()");
  const reads = gone.query(
    `START_REPLICATION SLOT "${String(slot?.["slot_name"])}" LOGICAL 0/0 (proto_version '1', publication_names 'sagaz_sagaz')`,
  );
  const cutOff = expect(reads).rejects.toThrow();
  const isRead = "select from pg_replication_slots where database = current_database() and active";
  await waitUntil("it reads", async () => (await rows(isRead)).length > 0);
  await reading();
  await cutOff;
  await write("a/1");
  await untilTaken(broker, 1);
});

test("a slot that is being made, behind a long transaction, holds no more log than it may either", async () => {
  const { pool, broker, write, started, rows } = await open();
  const long = await pool.connect();
  onTestFinished(() => long.release(true));
  await long.query("begin; select pg_current_xact_id()");
  const worker = await started({ slotWalBytesMax: 1 << 20 });
  const slots = () => rows("select active_pid from pg_replication_slots where database = current_database()");
  const [first] = await waitUntil("it is being made", async () => {
    const found = await slots();
    return found.length > 0 && found;
  });
  await pool.query("create table noise as select repeat(md5(n::text), 40) from generate_series(1, 4000) n");
  await waitUntil(
    "who made it is gone",
    async () => (await slots())[0]?.["active_pid"] !== first?.["active_pid"],
  );
  await write("a/1");
  await untilTaken(broker, 1);
  await long.query("commit");
  await untilIt("reads", worker, "cdc");
});
