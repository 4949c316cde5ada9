import { Client } from "pg";
import { expect, onTestFinished, test } from "vitest";
import { findPgBouncer, startPgBouncer } from "./pgbouncer.ts";
import { startPostgres } from "./postgres.ts";

async function pidOf(client: Client): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  return rows[0]?.pid;
}

test("in transaction mode clients share one server connection, as named statements find out", async ({
  skip,
}) => {
  const found = await findPgBouncer();
  if ("missing" in found) return skip(found.missing);
  const server = await startPostgres();
  const bouncer = await startPgBouncer(found.program, server.url, { poolSize: 1 });
  onTestFinished(async () => {
    await bouncer.stop();
    await bouncer.stop();
    await server.stop();
  });
  const [first, second] = [
    new Client({ connectionString: bouncer.url }),
    new Client({ connectionString: bouncer.url }),
  ];
  await first.connect();
  await second.connect();
  expect(await pidOf(first)).toBe(await pidOf(second));
  const named = { name: "same", text: "SELECT $1::int AS n", values: [1] };
  await first.query(named);
  await expect(second.query(named)).rejects.toThrow(/prepared statement "same" already exists/);
  const unnamed = await second.query("SELECT $1::int AS n", [2]);
  expect(unnamed.rows).toEqual([{ n: 2 }]);
  await first.end();
  await second.end();
});

test("a PgBouncer that cannot start says why", async () => {
  await expect(startPgBouncer("/bin/false", "postgres://nobody@127.0.0.1:1/none")).rejects.toThrow(
    /did not start/,
  );
});
