import pg from "pg";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { begin, openRoom, register, type PostgresRoom } from "../../../../../tests/storage/postgres-room.ts";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { need } from "../../core/must.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";
import { toMail } from "../../testing/conformance/storage/material.ts";
import { PostgreSQLStorage, type PgConnection, type PgPool, type PgQuery } from "./index.ts";
import { queries } from "./sql.generated.ts";
import type { SagaFilter } from "../../ports/storage.ts";

const history = 100_000;
const foreign = 5_000;

let room: PostgresRoom;
let client: pg.Client;
let epoch: number;
let mine: string;

/** What a statement has read: rows and partitions. */
interface Read {
  readonly rows: number;
  readonly partitions: readonly string[];
}

/** What this session has read so far, by table. */
async function readSoFar(): Promise<ReadonlyMap<string, { readonly scans: number; readonly rows: number }>> {
  const { rows } = await client.query<{ name: string; scans: string; rows: string }>(
    `select relname as name, coalesce(seq_scan, 0) + coalesce(idx_scan, 0) as scans,
         coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as rows
       from pg_stat_xact_user_tables where schemaname = 'sagaz' order by 1`,
  );
  return new Map(rows.map((row) => [row.name, { scans: Number(row.scans), rows: Number(row.rows) }]));
}

/** Counts what a statement reads, functions included, by the server's own figures. */
async function readBy(name: keyof typeof queries, values: readonly unknown[]): Promise<Read> {
  await client.query("begin");
  try {
    const before = await readSoFar();
    await client.query(queries[name].replaceAll("{{schema}}", "sagaz"), [...values]);
    const read = [...(await readSoFar())].map(([table, now]) => ({
      table,
      scans: now.scans - (before.get(table)?.scans ?? 0),
      rows: now.rows - (before.get(table)?.rows ?? 0),
    }));
    return {
      rows: read.reduce((sum, { rows }) => sum + rows, 0),
      partitions: read
        .filter(({ table, scans }) => scans > 0 && /_\d{4}_\d\d$/.test(table))
        .map(({ table }) => table),
    };
  } finally {
    await client.query("rollback");
  }
}

/** Finished sagas of the last forty days, one in a thousand undone; and a backlog that nobody here can run. */
async function fill(): Promise<void> {
  const id = (time: string, n: string, tag: string) =>
    `(lpad(to_hex(floor(extract(epoch from ${time}) * 1000)::bigint), 12, '0') || '7000${tag}000' || lpad(to_hex(${n}), 12, '0'))::uuid`;
  const time = `(date_trunc('milliseconds', now() - interval '1 minute' - n * interval '30 seconds'))`;
  await room.sql(
    `select sagaz.ensure_partitions(now() - m * interval '1 month') from generate_series(1, 2) m`,
  );
  await room.sql(
    `insert into sagaz.saga_executions (saga_id, created_at, saga_name, version, graph_hash, status, updated_at, finished_at)
       select ${id(time, "n", "8")}, ${time}, case when n % 10000 = 0 then 'rare' else 'order' end, 1, 'h',
           case when n % 1000 = 0 then 'compensated' else 'completed' end, ${time}, ${time}
         from generate_series(1, ${history}) n`,
  );
  await room.sql(
    `insert into sagaz.saga_events (saga_id, created_at, at, seq, type, data)
       select saga_id, created_at, created_at, seq, 'step_done', '{}'
         from sagaz.saga_executions, generate_series(1, 3) seq`,
  );
  await room.sql(
    `insert into sagaz.saga_executions (saga_id, created_at, saga_name, version, graph_hash, status, wake_at, updated_at)
       select ${id(time, "n", "9")}, ${time}, 'foreign', 1, 'h', 'pending', ${time}, ${time}
         from generate_series(1, ${foreign}) n`,
  );
  await room.sql("vacuum analyze sagaz.saga_executions");
  await room.sql("vacuum analyze sagaz.saga_events");
}

beforeAll(async () => {
  const { url } = await createDatabase(inject("postgresUrl"), { name: "plans" });
  room = await openRoom({ url });
  await fill();
  epoch = await register(room.storage);
  mine = await begin(room.t, epoch);
  await room.storage.mailbox.send(toMail(mine));
  client = new pg.Client({ connectionString: url });
  await client.connect();
  // What parallel workers read would not show in this session's figures.
  await client.query("set max_parallel_workers_per_gather = 0");
}, 120_000);
afterAll(async () => {
  await client.end();
  await room.close();
});

const time = (sagaId: string) => new Date(createdAtOf(sagaId)).toISOString();

test("a heartbeat looks at next to nothing, however much has ended or waits for others", async () => {
  const { rows } = await readBy("beat", [epoch, null]);
  expect(rows).toBeGreaterThan(0);
  expect(rows).toBeLessThan(30);
});

test("the call of the roll looks at what its worker owns, and mail is fetched by its owner alone", async () => {
  expect((await readBy("forgottenSagas", [epoch, []])).rows).toBeLessThan(30);
  expect((await readBy("fetchMail", [epoch, 500, null, null])).rows).toBeLessThan(30);
});

test("a claim reads what it takes, not the backlog of others", async () => {
  const definitions = JSON.stringify([{ name: "order", version: 1 }]);
  expect((await readBy("claimDue", [epoch, 10, definitions, null, null, "{}", null])).rows).toBeLessThan(10);
  const theirs = JSON.stringify([{ name: "foreign", version: 1 }]);
  const { rows } = await readBy("claimDue", [epoch, 10, theirs, null, null, "{}", null]);
  expect(rows).toBeGreaterThanOrEqual(10);
  expect(rows).toBeLessThan(100);
});

test("letting go of a dead worker's sagas reads those", async () => {
  await client.query("update sagaz.saga_workers set fenced_at = now() where epoch = $1", [epoch]);
  try {
    expect((await readBy("releaseOwned", [epoch, 1_000, null])).rows).toBeLessThan(10);
  } finally {
    await client.query("update sagaz.saga_workers set fenced_at = null where epoch = $1", [epoch]);
  }
});

test("whoever knows an id reads one row of one partition", async () => {
  const month = time(mine).slice(0, 7).replace("-", "_");
  expect(await readBy("findSaga", [mine, time(mine)])).toEqual({
    rows: 1,
    partitions: [`saga_executions_${month}`],
  });
  expect(await readBy("readJournal", [mine, time(mine), 1, null])).toEqual({
    rows: 1,
    partitions: [`saga_events_${month}`],
  });
});

/** What the storage itself sends for a filter. */
async function sentFor(filter: Omit<SagaFilter, "limit">): Promise<readonly unknown[]> {
  const sent: (readonly unknown[])[] = [];
  const spy: PgPool = {
    connect: async () => {
      const connection = await room.pool.connect();
      return Object.assign(Object.create(connection) as PgConnection, {
        query: (query: PgQuery) => {
          sent.push(query.values ?? []);
          return connection.query(query);
        },
        release: () => connection.release(),
      });
    },
    on: () => {},
    removeListener: () => {},
  };
  const storage = new PostgreSQLStorage({ pool: spy });
  await storage.start();
  await storage.queries.list({ ...filter, limit: 50 });
  await storage.stop();
  return sent.at(-1) ?? [];
}

const unfinished = foreign + 200;

test.for<[string, Omit<SagaFilter, "limit">, number]>([
  ["the newest", {}, 300],
  ["by a common name", { sagaName: "order" }, 300],
  ["by a rare name", { sagaName: "rare" }, 300],
  ["by a name that does not exist", { sagaName: "nobody" }, 10],
  ["completed ones", { status: ["completed"] }, 300],
  ["completed ones of a name", { sagaName: "order", status: ["completed"] }, 300],
  ["undone ones", { status: ["compensated"] }, 300],
  ["running ones", { status: ["running"] }, unfinished],
  ["parked or undone ones", { status: ["parked", "compensated"] }, unfinished],
  ["by a reason to be parked", { parkedReason: "stuck" }, unfinished],
  ["paused ones", { paused: true }, unfinished],
  ["by a tenant", { tenantId: "t1" }, 10],
  ["by a correlation id", { correlationId: "c-1" }, 10],
  ["by attributes", { attributes: { region: "eu" } }, 10],
  ["a page in the middle", { after: "01990000-0000-7000-8000-000000000000" }, 300],
])("a list reads about a page, and what is unfinished if asked for: %s", async ([, filter, most]) => {
  const { rows } = await readBy("listSagas", await sentFor(filter));
  expect(rows).toBeLessThanOrEqual(most);
});

test("counts read what is unfinished and what has ended of late", async () => {
  const { rows } = await readBy("countSagas", [3_600_000, null]);
  expect(rows).toBeGreaterThanOrEqual(foreign + 100);
  expect(rows).toBeLessThan(foreign + 10_000);
});

test("a page of the journal's sagas is read in the order of their ids", async () => {
  const { rows } = await readBy("journalledSagas", [null, null, 100]);
  expect(rows).toBeLessThan(2_000);
});

test("what the log has brought is looked up by its ids, however much is pending", async () => {
  const { rows: readers } = await room.pool.query<{ epoch: string }>(
    "select epoch from sagaz.become_reader($1)",
    [epoch],
  );
  const ids = Array.from({ length: 100 }, (_, n) => 2 * n + 1);
  const look = () => readBy("lookAtStreamed", [epoch, readers[0]?.epoch, [], ids]);
  await look(); // planned as long as nothing was pending
  await room.sql(
    `insert into sagaz.saga_outbox_pending (id, created_at, shard, bytes, partition_key)
       select n, now(), 0, 1, 'k' from generate_series(1, 20000) n`,
  );
  const { rows } = await look();
  expect(rows).toBeGreaterThanOrEqual(ids.length);
  expect(rows).toBeLessThan(3 * ids.length);
});

const someEvents = (count: number) => {
  const column = <T>(value: T) => Array.from({ length: count }, () => value);
  const texts = { event_id: "e", topic: "t", key: "k", type: "t", source: "s", payload: "{}" };
  const columns = Object.entries(texts).map(([name, text]) => [name, column(text)]);
  return JSON.stringify({ shard: column(0), ...Object.fromEntries(columns) });
};

test("what waits before an event is looked for among the first thousand, however much is pending", async () => {
  const { rows: lives } = await room.pool.query<{ life: string }>("select sagaz.server_life() as life");
  const life = need(lives[0], "there is a server").life;
  const add = (after: number) => readBy("addEvents", [null, 2_000, after, life, someEvents(1)]);
  await room.sql("update sagaz.saga_delivery set mode = 'relay'");
  await room.sql("delete from sagaz.saga_outbox_pending");
  await add(0); // planned as long as nothing was pending
  await room.sql(
    `insert into sagaz.saga_outbox_pending (id, created_at, shard, bytes, partition_key)
       select nextval('sagaz.saga_outbox_id'), now(), 0, 1, 'k' from generate_series(1, 20000) n`,
  );
  const [row] = (await room.pool.query("select last_value::int as last from sagaz.saga_outbox_id")).rows as {
    readonly last: number;
  }[];
  const last = row?.last ?? Number.NaN;
  expect((await add(0)).rows).toBeLessThan(1_100);
  expect((await add(last - 10)).rows).toBeLessThan(100);
});

test("no write is compiled: that takes many times as long as the write", async () => {
  const plans: string[] = [];
  client.on("notice", ({ message = "" }) => plans.push(message));
  const settings = ["log_min_duration = 0", "log_analyze = on", "log_nested_statements = on"];
  await client.query(`load 'auto_explain'; set client_min_messages = log;
    ${settings.map((setting) => `set auto_explain.${setting}`).join("; ")}`);
  // A function's plan is another one from its sixth call on.
  for (let n = 0; n < 8; n += 1) {
    for (const holdMs of [null, 2_000])
      await readBy("addEvents", [null, holdMs, 0, "", someEvents(n % 2 === 0 ? 1 : 200)]);
    await readBy("addHeldEvent", [
      null,
      2_000,
      0,
      "",
      "{0,e,t,k,t,s,NULL,NULL,NULL,NULL,NULL,NULL}",
      "{}",
      null,
    ]);
    await readBy("addEvent", [null, "{0,e,t,k,t,s,NULL,NULL,NULL,NULL,NULL,NULL}", "{}", null]);
  }
  await client.query("set auto_explain.log_min_duration = -1; reset client_min_messages");
  expect(plans.length).toBeGreaterThan(100);
  expect(plans.filter((plan) => plan.includes("JIT:"))).toEqual([]);
});
