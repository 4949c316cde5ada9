import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { silentLog } from "../../ports/log.ts";
import { PostgreSQLStorage } from "../../storage/postgres/index.ts";
import { ConsumerInbox } from "./consumer-inbox.ts";
import { InboxWorker } from "./inbox-worker.ts";
import { OptimisticPublisher } from "./optimistic-publisher.ts";
import { Outbox } from "./outbox.ts";
import { OutboxWorker } from "./outbox-worker.ts";

async function open() {
  const { url } = await createDatabase(inject("postgresUrl"), { name: "delivery" });
  const pool = new pg.Pool({ connectionString: url, max: 12 });
  const storage = new PostgreSQLStorage({ pool });
  await storage.start();
  await pool.query("create table orders (id text primary key, version integer not null default 0)");
  await pool.query("create table effects (event_id text, key text, version integer)");
  onTestFinished(async () => {
    await storage.stop();
    await pool.end();
  });
  const broker = new InMemoryBroker();
  const rows = async (sql: string) => (await pool.query<Record<string, unknown>>(sql)).rows;
  return { pool, storage, broker, rows };
}

const toEvent = (key: string, version: number) => ({
  topic: "orders",
  type: "order.changed",
  key,
  payload: { key, version },
});

test("what a transaction adds is sent right after its commit, and nothing of one that rolls back", async () => {
  const { pool, storage, broker, rows } = await open();
  const publisher = new OptimisticPublisher({ storage, broker, log: silentLog });
  await publisher.start();
  onTestFinished(() => publisher.stop());
  const outbox = new Outbox({ storage, source: "orders", publisher });
  const insert = "insert into orders values ($1)";
  const answer = await outbox.transaction(pool, async (tx, add) => {
    await tx(insert, ["kept"]);
    await add([toEvent("kept", 1), toEvent("kept", 2)]);
    return "answer";
  });
  expect(answer).toBe("answer");
  const trouble = new Error("no");
  const lost = outbox.transaction(pool, async (tx, add) => {
    await tx(insert, ["lost"]);
    await add(toEvent("lost", 1));
    throw trouble;
  });
  await expect(lost).rejects.toBe(trouble);
  const failed = outbox.transaction(pool, async (tx, add) => {
    await add(toEvent("failed", 1));
    await tx("select 1 / 0").catch(() => {});
  });
  await expect(failed).rejects.toThrow("rolled back");
  await waitUntil("both are sent", () => publisher.counts.sent === 2 || undefined);
  expect(await rows("select id from orders")).toEqual([{ id: "kept" }]);
  expect(await rows("select id from sagaz.saga_outbox_pending")).toEqual([]);
});

test("the first event of all is found at once by a relay that has looked for it for long", async () => {
  const { pool, storage } = await open();
  const shards = Array.from({ length: 64 }, (_, shard) => shard);
  const take = () =>
    storage.outbox.take({ epoch: 1, shards, limit: 10, inFlight: [], held: [], again: undefined });
  let looks = 0;
  // How far the ids are decided is asked ten times a second.
  const look = async () => (await take(), (looks += 1) > 6 || undefined);
  await waitUntil("it has looked for a while", look, { everyMs: 60 });
  await new Outbox({ storage }).transaction(pool, (_, add) => add(toEvent("first", 1)));
  expect((await take()).map(({ key }) => key)).toEqual(["first"]);
});

test("events of concurrent transactions arrive in the order of their aggregates' versions, each once in effect", async () => {
  const { pool, storage, broker, rows } = await open();
  const outbox = new Outbox({ storage });
  const log = silentLog;
  const relays = [7, 50].map(
    (batchMax) => new OutboxWorker({ storage, broker, batchMax, leaseMs: 1_000, log }),
  );
  const seen: string[] = [];
  const worker = new InboxWorker({
    storage,
    broker,
    consumerName: "effects",
    topics: ["orders"],
    log,
    handle: async (payload, { tx, message }) => {
      const { key, version } = payload as { key: string; version: number };
      seen.push(`${key}/${version}`);
      await tx("insert into effects values ($1, $2, $3)", [message.eventId, key, version]);
    },
  });
  for (const one of [worker, ...relays]) {
    await one.start();
    onTestFinished(() => one.stop());
  }
  const keys = Array.from({ length: 10 }, (_, n) => `order-${n}`);
  for (const key of keys) await pool.query("insert into orders (id) values ($1)", [key]);
  let committed = 0;
  const produce = async (producer: number) => {
    for (let n = 0; n < 60; n++) {
      const key = keys[(producer * 7 + n * 3) % keys.length] ?? "";
      const client = await pool.connect();
      try {
        await client.query("begin");
        const {
          rows: [order],
        } = await client.query<{ version: number }>(
          "update orders set version = version + 1 where id = $1 returning version",
          [key],
        );
        const tx = async (sql: string, params: readonly unknown[] = []) =>
          (await client.query(sql, [...params])).rows as never;
        await outbox.add(tx, toEvent(key, order?.version ?? 0));
        // A third of them stays open for a while, so that ids become visible out of their order.
        if (n % 3 === 0) await client.query("select pg_sleep(0.02)");
        const isKept = n % 5 !== 4;
        await client.query(isKept ? "commit" : "rollback");
        if (isKept) committed += 1;
      } finally {
        client.release();
      }
    }
  };
  await Promise.all([1, 2, 3, 4].map(produce));
  await waitUntil("all took effect", () => worker.counts.processed === committed || undefined, {
    withinMs: 30_000,
  });
  for (const key of keys) {
    const versions = seen.filter((name) => name.startsWith(`${key}/`));
    expect(versions).toEqual(Array.from({ length: versions.length }, (_, n) => `${key}/${n + 1}`));
  }
  expect(
    await rows(
      "select count(*)::integer as effects, count(distinct event_id)::integer as events from effects",
    ),
  ).toEqual([{ effects: committed, events: committed }]);
  expect(await storage.outbox.backlog()).toEqual({ pending: 0, oldestAt: null, dead: 0 });
});

test("a message is processed in the caller's own transaction", async () => {
  const { pool, storage } = await open();
  const inbox = new ConsumerInbox({ storage, consumerName: "orders" });
  const message = { eventId: "e-1", sourceTopic: "orders", eventType: "e", payload: null };
  const outbox = new Outbox({ storage });
  const handle = () => "done";
  const lost = outbox.transaction(pool, async (tx) => {
    expect(await inbox.processIdempotent(message, handle, { tx })).toEqual({
      isDuplicate: false,
      result: "done",
    });
    throw new Error("no");
  });
  await expect(lost).rejects.toThrow("no");
  const process = () => outbox.transaction(pool, (tx) => inbox.processIdempotent(message, handle, { tx }));
  expect(await process()).toEqual({ isDuplicate: false, result: "done" });
  expect(await process()).toEqual({ isDuplicate: true, result: "done" });
});

test("a handler whose statement fails, or whose row breaks a rule at the commit, is isolated from its neighbours", async () => {
  const { pool, storage, rows } = await open();
  await pool.query("alter table effects add unique (key) deferrable initially deferred");
  const inbox = new ConsumerInbox({ storage, consumerName: "effects" });
  const messages = ["a", "bad", "b", "b", "swallowed", "c"].map((key, n) => {
    return { eventId: `e-${n}`, sourceTopic: "orders", eventType: "e", key: `${n}`, payload: key };
  });
  const results = await inbox.processBatch(messages, async (key, { tx }) => {
    if (key === "bad") await tx("select 1 / 0");
    if (key === "swallowed") await tx("select 1 / 0").catch(() => {});
    await tx("insert into effects (key) values ($1)", [key]);
  });
  expect(results.map(({ status }) => status)).toEqual([
    "processed",
    "failed",
    "processed",
    "failed",
    "failed",
    "processed",
  ]);
  expect(await rows("select key from effects order by key")).toEqual([
    { key: "a" },
    { key: "b" },
    { key: "c" },
  ]);
});
