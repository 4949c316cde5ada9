import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { startFaultProxy } from "../../../../tools/servers/fault-proxy.ts";
import { createDatabase, runSql } from "../../../../tools/servers/postgres-databases.ts";
import type { TestDatabase } from "../../../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../../../tools/servers/wait-until.ts";
import { silentLog } from "../ports/log.ts";
import { PostgreSQLStorage } from "../storage/postgres/index.ts";
import type { Sagaish } from "../core/definition/sagaish.ts";
import { ClassicSaga } from "./classic-saga.ts";
import { SagaOrchestrator } from "./orchestrator.ts";

// A real server, real time and real broken connections: what the fake clock cannot show.

let database: TestDatabase;
let schemas = 0;

beforeAll(async () => {
  database = await createDatabase(inject("postgresUrl"), { name: "outages" });
});
afterAll(() => database.drop());

const nextSchema = () => `s${++schemas}`;

async function open(options: { url?: string; schema?: string; sagas: readonly Sagaish[]; leaseMs?: number }) {
  const { url = database.url, schema = nextSchema(), sagas, leaseMs = 2_000 } = options;
  const pool = new pg.Pool({ connectionString: url, max: 6 });
  pool.on("error", () => {});
  const storage = new PostgreSQLStorage({ pool, schema, writeTimeoutMs: 2_000, connectTimeoutMs: 1_000 });
  const orchestrator = new SagaOrchestrator({ storage, sagas, leaseMs, stopMs: 1_000, log: silentLog });
  onTestFinished(async () => {
    await orchestrator.stop();
    await pool.end();
  });
  await orchestrator.start();
  return orchestrator;
}

/** Three steps that count how often they ran. */
function counting(name: string) {
  const runs = { a: 0, b: 0, c: 0 };
  const step = (key: keyof typeof runs) => async () => ++runs[key];
  const saga = new ClassicSaga<number>({ name, sequential: true, retry: { maxAttempts: 50 } })
    .addStep("a", step("a"))
    .addStep("b", step("b"))
    .addStep("c", step("c"));
  return { saga, runs };
}

describe("a database that goes away", () => {
  test("for 30 s in the middle: all sagas end, none is lost, starts wait", { timeout: 120_000 }, async () => {
    const proxy = await startFaultProxy(database.url);
    onTestFinished(() => proxy.stop());
    const { saga, runs } = counting("away");
    const orchestrator = await open({ url: proxy.through(database.url), sagas: [saga] });
    const starts = Array.from({ length: 200 }, (_, i) => orchestrator.sagas.start(saga, i));
    await waitUntil("some steps have run", () => runs.a > 20);
    proxy.cut();
    const late = orchestrator.sagas.start(saga, -1);
    const keyed = orchestrator.sagas.start(saga, -2, { idempotencyKey: "k" });
    await new Promise((resolve) => setTimeout(resolve, 30_000)); // the outage itself
    proxy.heal();
    const handles = await Promise.all([...starts, late, keyed]);
    expect(handles).toHaveLength(202);
    // One after the other: all at once, they would wait for one of the few connections longer than a second.
    for (const handle of handles) expect(await handle.result()).toMatchObject({ status: "completed" });
  });

  test("that swallows requests and answers is noticed by its silence", { timeout: 60_000 }, async () => {
    const proxy = await startFaultProxy(database.url);
    onTestFinished(() => proxy.stop());
    const { saga } = counting("silent");
    const orchestrator = await open({ url: proxy.through(database.url), sagas: [saga] });
    proxy.blackHole();
    const started = orchestrator.sagas.start(saga, 1);
    await waitUntil("the worker has given up on a connection", () => proxy.openConnections > 0, {
      withinMs: 5_000,
    });
    proxy.heal();
    expect(await (await started).result()).toMatchObject({ status: "completed" });
  });

  test(
    "that loses the answer to a commit: nothing is written twice, nothing is lost",
    { timeout: 60_000 },
    async () => {
      const proxy = await startFaultProxy(database.url);
      onTestFinished(() => proxy.stop());
      const { saga, runs } = counting("doubt");
      const orchestrator = await open({ url: proxy.through(database.url), sagas: [saga] });
      for (let round = 0; round < 5; round++) {
        const lost = proxy.dropRepliesOnce("step_done");
        const handle = await orchestrator.sagas.start(saga, round);
        const result = await handle.result();
        await lost;
        expect(result).toMatchObject({ status: "completed" });
        const events = await orchestrator.sagas.events(handle.id);
        expect(events.map(({ type }) => type)).toEqual([
          "saga_started",
          "step_done",
          "step_done",
          "step_done",
          "saga_completed",
        ]);
      }
      expect(runs).toEqual({ a: 5, b: 5, c: 5 });
    },
  );
});

describe("a read-only database", () => {
  test("writes wait until it takes them again; nothing is lost", { timeout: 60_000 }, async () => {
    const own = await createDatabase(inject("postgresUrl"), { name: "readonly" });
    onTestFinished(() => own.drop());
    const { saga } = counting("readonly");
    const orchestrator = await open({ url: own.url, sagas: [saga] });
    const setReadOnly = async (on: boolean) => {
      await runSql(
        database.url,
        `alter database "${own.name}" set default_transaction_read_only = ${String(on)}`,
      );
      // New sessions are read-only from now on; the old ones are sent away, as a failover does.
      await runSql(
        database.url,
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${own.name}'`,
      );
    };
    await setReadOnly(true);
    const started = orchestrator.sagas.start(saga, 1);
    let settled = false;
    const done = () => void (settled = true);
    started.then(done, done);
    await waitUntil("the engine has met the read-only database", async () => {
      const [result] = await runSql(
        database.url,
        `select count(*)::int as n from pg_stat_activity where datname = '${own.name}'`,
      );
      return (result!.rows[0] as { n: number }).n > 0;
    });
    expect(settled).toBe(false);
    await setReadOnly(false);
    expect(await (await started).result()).toMatchObject({ status: "completed" });
  });
});

describe("a schema", () => {
  test("from a newer version is refused at start with both versions", async () => {
    const schema = nextSchema();
    const { saga } = counting("newer");
    const first = await open({ schema, sagas: [saga] });
    await first.stop();
    const [applied] = await runSql(
      database.url,
      `select table_name from information_schema.tables where table_schema = '${schema}' and table_name like '%migration%' or table_schema = '${schema}' and table_name like '%schema%'`,
    );
    const table = (applied!.rows[0] as { table_name: string }).table_name;
    await runSql(
      database.url,
      `insert into ${schema}.${table} select (jsonb_populate_record(t, '{"version": 9999}')).* from ${schema}.${table} t order by version desc limit 1`,
    );
    await expect(open({ schema, sagas: [saga] })).rejects.toMatchObject({
      code: "SAGAZ_SCHEMA_NEWER",
      details: { found: 9999 },
    });
  });
});
