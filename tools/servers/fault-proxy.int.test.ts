import { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startFaultProxy, type FaultProxy } from "./fault-proxy.ts";
import { runSql, type TestDatabase } from "./postgres-databases.ts";
import { startPostgres, type TestPostgres } from "./postgres.ts";

let server: TestPostgres;
let database: TestDatabase;
let proxy: FaultProxy;

beforeAll(async () => {
  server = await startPostgres();
  database = await server.createDatabase();
  proxy = await startFaultProxy(database.url);
  await runSql(database.url, "CREATE TABLE orders (id int)");
});
afterAll(async () => {
  await proxy.stop();
  await database.drop();
  await server.stop();
});

async function connected(): Promise<Client> {
  const client = new Client({ connectionString: proxy.through(database.url) });
  client.on("error", () => {});
  await client.connect();
  return client;
}

async function countOrders(id: number): Promise<unknown> {
  const [result] = await runSql(database.url, `SELECT count(*)::int AS n FROM orders WHERE id = ${id}`);
  return result?.rows[0];
}

test("a lost acknowledgement of COMMIT leaves the transaction committed and the client in doubt", async () => {
  const client = await connected();
  await client.query("BEGIN");
  await client.query("INSERT INTO orders VALUES ($1)", [1]);
  const hit = proxy.dropRepliesOnce("COMMIT");
  await expect(client.query("COMMIT")).rejects.toThrow(/ECONNRESET|terminated/);
  await hit;
  expect(await countOrders(1)).toEqual({ n: 1 });
});

test("a lost COMMIT leaves nothing", async () => {
  const client = await connected();
  await client.query("BEGIN");
  await client.query("INSERT INTO orders VALUES ($1)", [2]);
  const hit = proxy.dropRequestsOnce("COMMIT");
  await expect(client.query("COMMIT")).rejects.toThrow(/ECONNRESET|terminated/);
  await hit;
  expect(await countOrders(2)).toEqual({ n: 0 });
});

test("an answer cut off in the middle of a row fails the query", async () => {
  const client = await connected();
  const hit = proxy.truncateAfter(300);
  await expect(client.query("SELECT repeat('x', 1000)")).rejects.toThrow(/terminated|ECONNRESET/);
  await hit;
});
