import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { isSagaError } from "../../core/errors.ts";
import { connect } from "./connection.ts";
import type { TextRow } from "./connection.ts";
import { PostgreSQLStorage } from "./index.ts";
import { Lane } from "./lane.ts";

const limits = { connectTimeoutMs: 2_000, writeTimeoutMs: 2_000 };

function openPool(): pg.Pool {
  const pool = new pg.Pool({ connectionString: inject("postgresUrl"), max: 1 });
  onTestFinished(() => pool.end());
  return pool;
}

test("a connection that comes after nobody waits for it any more goes back into the pool", async () => {
  const pool = openPool();
  const first = await connect(pool, limits);
  const late = connect(pool, { ...limits, connectTimeoutMs: 20 });
  await expect(late).rejects.toMatchObject({ code: "SAGAZ_STORAGE_UNAVAILABLE" });
  first.release();
  await waitUntil(
    "the pool has its only connection back",
    () => pool.idleCount === 1 && pool.waitingCount === 0,
  );
  const next = await connect(pool, limits);
  expect(await next.run({ text: "select 1 as one" }, { commits: false })).toEqual([{ one: "1" }]);
  next.release();
});

test("one that was given back answers nothing any more: it may be another's by now", async () => {
  const connection = await connect(openPool(), limits);
  connection.release();
  connection.release();
  expect(connection.isUsable).toBe(false);
  await expect(connection.run({ text: "select 1" }, { commits: true })).rejects.toMatchObject({
    code: "SAGAZ_STORAGE_UNAVAILABLE",
  });
});

test("a connection that breaks as it is handed over does not end the process: somebody listens already", async () => {
  const pool = new pg.Pool({ connectionString: inject("postgresUrl"), max: 8 });
  onTestFinished(() => pool.end());
  const listening: number[] = [];
  // The pool's own listener is one of them, and goes with the hand-over.
  pool.on("acquire", (client) => listening.push(client.listenerCount("error") - 1));
  const storage = new PostgreSQLStorage({ pool });
  await storage.start();
  await storage.stop();
  expect(listening.length).toBeGreaterThan(0);
  expect(Math.min(...listening)).toBeGreaterThan(0);
  expect(pool.listenerCount("connect")).toBe(0);
});

/** How many statements the connections of a pool are given, and how many of them at a time at most. */
function watch(pool: pg.Pool): { asked: number; most: number } {
  const seen = { asked: 0, most: 0 };
  pool.on("connect", (client) => {
    const query = client.query.bind(client) as (...given: unknown[]) => Promise<unknown>;
    let under = 0;
    client.query = (async (...given: unknown[]) => {
      seen.asked += 1;
      seen.most = Math.max(seen.most, ++under);
      return query(...given).finally(() => (under -= 1));
    }) as typeof client.query;
  });
  return seen;
}

test("statements are sent one after the other; a refused one does not hurt the next, and what was never sent is not in doubt", async () => {
  const pool = openPool();
  const seen = watch(pool);
  const lane = new Lane(() => connect(pool, limits));
  onTestFinished(() => lane.close());
  const run = (text: string) => lane.run({ text }, { commits: true });
  await run("select 0 as n");
  const answers = await Promise.allSettled([
    run("select 1 as n from pg_sleep(0.02)"),
    run("select 1 / 0 as n"),
    run("select 2 as n"),
    run("select pg_terminate_backend(pg_backend_pid())"),
    run("select 3 as n"),
  ]);
  expect(answers.map(toAnswer)).toEqual([
    "1",
    "SAGAZ_STORAGE_REFUSED",
    "2",
    "SAGAZ_COMMIT_IN_DOUBT",
    "SAGAZ_STORAGE_UNAVAILABLE",
  ]);
  expect(seen).toEqual({ asked: 5, most: 1 });
  expect((await run("select 4 as n"))[0]?.["n"]).toBe("4");
});

function toAnswer(answer: PromiseSettledResult<readonly TextRow[]>): unknown {
  if (answer.status === "fulfilled") return answer.value[0]?.["n"];
  return isSagaError(answer.reason) ? answer.reason.code : answer.reason;
}

test("what a transactional step asks at once, or does not wait for, is sent one after the other", async () => {
  const pool = new pg.Pool({ connectionString: inject("postgresUrl"), max: 8 });
  onTestFinished(() => pool.end());
  const seen = watch(pool);
  const storage = new PostgreSQLStorage({ pool });
  await storage.start();
  onTestFinished(() => storage.stop());
  const numbers = await storage.journal.transaction(async (tx) => {
    const rows = await Promise.all([1, 2, 3, 4].map((n) => tx("select $1::int as n", [n])));
    void tx("select pg_sleep(0.01)");
    return rows.flat();
  });
  expect(numbers).toEqual([1, 2, 3, 4].map((n) => ({ n })));
  expect(seen.most).toBe(1);
});

test("a default isolation that sagaz's statements are not made for is told", async () => {
  const notices: string[] = [];
  for (const level of ["read committed", "serializable"]) {
    const options = `-c default_transaction_isolation=${level.replace(" ", "\\ ")}`;
    const pool = new pg.Pool({ connectionString: inject("postgresUrl"), max: 8, options });
    const storage = new PostgreSQLStorage({ pool, onNotice: (notice) => notices.push(notice) });
    await storage.start();
    await storage.stop();
    await pool.end();
  }
  expect(notices).toHaveLength(1);
  expect(notices[0]).toContain('default_transaction_isolation is "serializable"');
});
