import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { connect } from "./connection.ts";
import { PostgreSQLStorage } from "./index.ts";

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
