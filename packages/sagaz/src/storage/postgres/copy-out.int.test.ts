import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { connect } from "./connection.ts";
import { BinaryRows } from "./binary-rows.ts";

const limits = { connectTimeoutMs: 5_000, writeTimeoutMs: 5_000 };
const reading = { commits: false };

async function open(options: pg.PoolConfig = {}) {
  const pool = new pg.Pool({ connectionString: inject("postgresUrl"), max: 1, ...options });
  pool.on("error", () => {});
  const connection = await connect(pool, limits);
  onTestFinished(async () => {
    connection.release();
    await pool.end();
  });
  return connection;
}

const toCopy = (select: string) => `copy (${select}) to stdout (format binary)`;

test("all rows come, however many chunks they come in", async () => {
  const connection = await open();
  const select = "select n, repeat(chr(48 + n % 10), n * 17 % 4000) from generate_series(1, 3000) n";
  const rows = new BinaryRows(await connection.copyOut(toCopy(select), reading), 2);
  let count = 0;
  while (rows.next()) {
    count += 1;
    const n = rows.int();
    expect(n).toBe(count);
    expect(String(rows.bytes())).toBe(String(n % 10).repeat((n * 17) % 4000));
  }
  expect(count).toBe(3_000);
});

test("nothing is an answer too", async () => {
  const connection = await open();
  expect(new BinaryRows(await connection.copyOut(toCopy("select 1 where false"), reading), 1).next()).toBe(
    false,
  );
});

test("what fails half way fails as a whole, and the connection goes on", async () => {
  const connection = await open();
  const copying = connection.copyOut(
    toCopy("select 1 / (2000 - n) from generate_series(1, 3000) n"),
    reading,
  );
  await expect(copying).rejects.toMatchObject({ code: "SAGAZ_STORAGE_REFUSED" });
  expect(await connection.run({ text: "select 1::text as one" }, reading)).toEqual([{ one: "1" }]);
});

test("a server that goes away is an outage", async () => {
  const connection = await open();
  const copying = connection.copyOut(toCopy("select pg_terminate_backend(pg_backend_pid())"), reading);
  await expect(copying).rejects.toMatchObject({ code: "SAGAZ_STORAGE_UNAVAILABLE" });
  expect(connection.isUsable).toBe(false);
});

test("a pool whose queries have a time limit is answered within it, and after it", async () => {
  const connection = await open({ query_timeout: 200 });
  expect(Buffer.concat(await connection.copyOut(toCopy("select 1"), reading)).length).toBeGreaterThan(19);
  await expect(connection.copyOut(toCopy("select pg_sleep(2)"), reading)).rejects.toMatchObject({
    code: "SAGAZ_STORAGE_UNAVAILABLE",
  });
});
