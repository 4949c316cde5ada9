import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { silentLog } from "../../ports/log.ts";
import { PostgreSQLStorage } from "../../storage/postgres/index.ts";
import { fail } from "../../core/decide/outcome.ts";
import { Choreography } from "./choreography.ts";
import { ConsumerInbox } from "./consumer-inbox.ts";
import { FlowTracker } from "./flow-tracker.ts";
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
    add([toEvent("kept", 1), toEvent("kept", 2)]);
    return "answer";
  });
  expect(answer).toBe("answer");
  const trouble = new Error("no");
  const lost = outbox.transaction(pool, async (tx, add) => {
    await tx(insert, ["lost"]);
    add(toEvent("lost", 1));
    throw trouble;
  });
  await expect(lost).rejects.toBe(trouble);
  const failed = outbox.transaction(pool, async (tx, add) => {
    add(toEvent("failed", 1));
    await tx("select 1 / 0").catch(() => {});
  });
  await expect(failed).rejects.toThrow("rolled back");
  const pending = () => rows("select id from sagaz.saga_outbox_pending");
  await waitUntil("both are sent", () => publisher.counts.sent === 2 || undefined);
  await waitUntil("that is noted", async () => (await pending()).length === 0 || undefined);
  expect(await rows("select id from orders")).toEqual([{ id: "kept" }]);
});

test.each(["rollback", "commit"])(
  "work that ends its transaction by %s itself publishes nothing",
  async (end) => {
    const { pool, storage, rows } = await open();
    const outbox = new Outbox({ storage, source: "orders" });
    const insert = "insert into orders values ($1)";
    const ended = outbox.transaction(pool, async (tx, add) => {
      add(toEvent("ended", 1));
      await tx(end);
    });
    await expect(ended).rejects.toMatchObject({ code: "SAGAZ_NOT_A_TRANSACTION" });
    const writesOn = outbox.transaction(pool, async (tx) => {
      await tx(end);
      await tx(insert, ["by itself"]);
    });
    await expect(writesOn).rejects.toMatchObject({ code: "SAGAZ_NOT_A_TRANSACTION" });
    expect(await rows("select id from orders")).toEqual([]);
    expect(await rows("select id from sagaz.saga_outbox")).toEqual([]);
  },
);

test("what comes after the end of a transaction is refused: its connection serves others by then", async () => {
  const { pool, storage } = await open();
  const outbox = new Outbox({ storage, source: "orders" });
  const late = await outbox.transaction(pool, (tx, add) => ({ tx, add }));
  await expect(late.tx("insert into orders values ('late')")).rejects.toMatchObject({
    code: "SAGAZ_CALL_SETTLED",
  });
  expect(() => late.add(toEvent("late", 1))).toThrow("has returned");
});

test("a transaction's events go with its commit: a round trip less than to add them before", async () => {
  const { pool, storage, rows } = await open();
  const outbox = new Outbox({ storage, source: "orders" });
  const sent: string[] = [];
  const counted = {
    connect: async () => {
      const client = await pool.connect();
      const query = (text: string, values: unknown[] = []) => {
        sent.push(text);
        return values.length === 0 ? client.query(text) : client.query(text, values);
      };
      return { query, release: (destroy?: boolean) => client.release(destroy) };
    },
  };
  await outbox.transaction(counted, async (tx) => {
    await outbox.add(tx, toEvent("before", 1));
  });
  expect(sent.splice(0)).toHaveLength(3);
  await outbox.transaction(counted, (_, add) => add(toEvent("with", 1)));
  expect(sent).toHaveLength(2);
  expect(await rows("select partition_key as key from sagaz.saga_outbox order by id")).toEqual([
    { key: "before" },
    { key: "with" },
  ]);
});

test("whatever an event holds comes out as it was, written with the commit", async () => {
  const { pool, storage, broker, rows } = await open();
  const outbox = new Outbox({ storage, source: 'it\'s $sagaz$ \\ "here"' });
  const odd = [
    "'",
    '"',
    "\\",
    "$1 $2 $sagaz$ $sagaz1$ $$",
    "{a,b}",
    "NULL",
    "",
    "\u0000 \u{1f600} \n",
    "; commit; drop table orders; --",
  ];
  const events = odd.map((text, n) => ({
    ...toEvent(`k ${text.replaceAll(/[\0\n]/g, "")}`, n),
    payload: { text },
  }));
  for (const event of events) await outbox.transaction(pool, (_, add) => add(event));
  const bytes = new Uint8Array([0, 1, 255]);
  await outbox.transaction(pool, (_, add) => {
    add(events);
    add({ ...toEvent("bytes", 0), payload: bytes });
    add([]);
    add(Array.from({ length: 450 }, (__, n) => toEvent("many", n)));
  });
  const received: unknown[] = [];
  await broker.start();
  await broker.subscribe({
    group: "all",
    topics: ["orders"],
    unackedMax: 1_000,
    handle: (messages) => received.push(...messages),
  });
  const relay = new OutboxWorker({ storage, broker, log: silentLog });
  await relay.start();
  onTestFinished(() => relay.stop());
  await waitUntil("all are out", () => received.length === odd.length * 2 + 451);
  const texts = received.map((message) => {
    const { key, payload, headers } = message as {
      key: string;
      payload: Uint8Array;
      headers: Record<string, string>;
    };
    expect(headers["ce_source"]).toBe('it\'s $sagaz$ \\ "here"');
    return key === "bytes"
      ? payload
      : (JSON.parse(new TextDecoder().decode(payload)) as { text?: string }).text;
  });
  expect(texts.slice(0, odd.length * 2)).toEqual([...odd, ...odd]);
  expect([...(texts[odd.length * 2] as Uint8Array)]).toEqual([...bytes]);
  expect(await rows("select count(*)::int as n from orders")).toEqual([{ n: 0 }]);
});

test("the first event of all is found at once by a relay that has looked for it for long", async () => {
  const { pool, storage } = await open();
  const shards = Array.from({ length: 64 }, (_, shard) => shard);
  const usual = { limit: 10, bytesMax: 1_000_000, inFlight: [], held: [], again: undefined };
  const take = async () => (await storage.outbox.take({ epoch: 1, shards, ...usual })).events;
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

test("of what a reaction could not do nothing is left but the event that says so, and what was done is undone", async () => {
  const { pool, storage, broker, rows } = await open();
  const relay = new OutboxWorker({ storage, broker, log: silentLog });
  const services = [
    new Choreography({
      storage,
      broker: new InMemoryBroker({ beside: broker }),
      consumerName: "shop",
      log: silentLog,
      reactions: {
        place: {
          on: { topic: "orders", type: "order.placed" },
          do: async (order: { id: string }, { tx, publish }) => {
            await tx("insert into orders (id) values ($1)", [order.id]);
            publish({ topic: "orders", type: "order.accepted", payload: order });
            return order.id;
          },
          undoOn: [{ topic: "payments", type: "payment.failed" }],
          undo: async (id: string, { tx, publish }) => {
            await tx("delete from orders where id = $1", [id]);
            publish({ topic: "orders", type: "order.cancelled", payload: { id } });
          },
        },
      },
    }),
    new Choreography({
      storage,
      broker: new InMemoryBroker({ beside: broker }),
      consumerName: "payments",
      log: silentLog,
      reactions: {
        charge: {
          on: { topic: "orders", type: "order.accepted" },
          do: async (order: { id: string }, { tx, publish }) => {
            await tx("insert into effects (event_id) values ($1)", [order.id]);
            publish({ topic: "payments", type: "payment.done", payload: order });
            // The database refuses it; the transaction goes on all the same.
            const refused = tx("insert into orders (id) values ($1)", [order.id]);
            await refused.catch(() => Promise.reject(fail("known already")));
          },
          failed: ({ message }) => ({ topic: "payments", type: "payment.failed", payload: { message } }),
        },
      },
    }),
  ];
  const tracker = new FlowTracker({ storage, broker, topics: ["orders", "payments"], log: silentLog });
  for (const one of [relay, tracker, ...services]) {
    await one.start();
    onTestFinished(() => one.stop());
  }
  await new Outbox({ storage, source: "till" }).transaction(pool, (_, add) =>
    add({ topic: "orders", type: "order.placed", key: "o1", correlationId: "flow-1", payload: { id: "o1" } }),
  );
  const flow = await waitUntil("the flow has ended", async () => {
    const events = await tracker.get("flow-1");
    return events.length === 4 && events;
  });
  expect(flow.map(({ type, role }) => [type, role])).toEqual([
    ["order.placed", null],
    ["order.accepted", null],
    ["payment.failed", "failure"],
    ["order.cancelled", "compensation"],
  ]);
  expect(flow.map(({ causationId }) => causationId)).toEqual([
    null,
    ...flow.slice(0, 3).map((one) => one.eventId),
  ]);
  expect(await rows("select id from orders")).toEqual([]);
  expect(await rows("select event_id from effects")).toEqual([]);
});
