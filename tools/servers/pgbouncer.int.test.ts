import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findPgBouncer, startPgBouncer, type TestPgBouncer } from "./pgbouncer.ts";
import { startPostgres, type TestPostgres } from "./postgres.ts";

const found = await findPgBouncer();
const program = "program" in found ? found.program : undefined;
const reason = "missing" in found ? ` (${found.missing})` : "";

async function pidOf(client: Client): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  return rows[0]?.pid;
}

describe.runIf(program !== undefined)(`PgBouncer in transaction mode${reason}`, () => {
  let server: TestPostgres;
  let bouncer: TestPgBouncer;

  beforeAll(async () => {
    server = await startPostgres();
    bouncer = await startPgBouncer(program as string, server.url, { poolSize: 1 });
  });
  afterAll(async () => {
    await bouncer?.stop();
    await bouncer?.stop();
    await server.stop();
  });

  test("shares one server connection among clients between their transactions, as named statements find out", async () => {
    const clients = [1, 2].map(() => new Client({ connectionString: bouncer.url }));
    for (const client of clients) await client.connect();
    const [first, second] = clients as [Client, Client];
    expect(await pidOf(first)).toBe(await pidOf(second));
    const named = { name: "same", text: "SELECT $1::int AS n", values: [1] };
    await first.query(named);
    await expect(second.query(named)).rejects.toThrow(/prepared statement "same" already exists/);
    const unnamed = await second.query("SELECT $1::int AS n", [2]);
    expect(unnamed.rows).toEqual([{ n: 2 }]);
    for (const client of clients) await client.end();
  });
});

test("a PgBouncer that cannot start says why", async () => {
  await expect(startPgBouncer("/bin/false", "postgres://nobody@127.0.0.1:1/none")).rejects.toThrow(
    /did not start/,
  );
});
