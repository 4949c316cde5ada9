import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import pg from "pg";
import { Outbox } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { expect, inject, onTestFinished, test } from "vitest";
import { createDatabase } from "../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../tools/servers/wait-until.ts";

const events = 30_000;
const keys = 100;
/** What the library promises: so many events at most were published and not noted. */
const twiceMax = 4_000;

async function startReader(url: string): Promise<ChildProcess> {
  const child = fork(inject("programs").reader, [url], { execArgv: [], stdio: "inherit" });
  onTestFinished(async () => void (child.exitCode ?? child.kill("SIGKILL")));
  await once(child, "message");
  return child;
}

test("a reader that is killed in the middle of a backlog, again and again: nothing is lost, little is sent twice", async () => {
  const { url } = await createDatabase(inject("postgresUrl"), { name: "reader" });
  const pool = new pg.Pool({ connectionString: url });
  const storage = new PostgreSQLStorage({ pool });
  await storage.start();
  await pool.query("create table ledger (n bigserial primary key, key text, event_id text)");
  const read = async (sql: string) => (await pool.query<{ count: number }>(sql)).rows[0]?.count ?? 0;
  const sent = () => read("select count(*)::integer as count from ledger");
  const slot = "where database = current_database()";
  let reader = await startReader(url);
  await waitUntil("it reads", () =>
    read(`select count(*)::integer as count from pg_replication_slots ${slot} and active`),
  );
  reader.kill("SIGKILL");

  const outbox = new Outbox({ storage });
  // One transaction that is longer than a reader lives, and many short ones.
  const toEvent = (n: number) => ({ topic: "t", type: "e", id: `${n}`, key: `key-${n % keys}`, payload: n });
  for (let n = 0; n < events; n += n === 0 ? events / 2 : 500) {
    const size = n === 0 ? events / 2 : 500;
    await outbox.transaction(pool, (_, add) => add(Array.from({ length: size }, (__, i) => toEvent(n + i))));
  }
  for (let kills = 1; kills <= 3; kills += 1) {
    reader = await startReader(url);
    const before = await sent();
    await waitUntil("a part is sent", async () => (await sent()) > before + 3_000, { withinMs: 30_000 });
    reader.kill("SIGKILL");
    await once(reader, "exit");
    expect(await sent()).toBeLessThan(events + kills * twiceMax);
  }
  await startReader(url);
  const isThrough = async () =>
    (await read("select count(*)::integer as count from sagaz.saga_outbox_pending")) === 0;
  await waitUntil("all is sent", isThrough, { withinMs: 60_000, everyMs: 50 });

  const { rows } = await pool.query<{ key: string; first: string[] }>(
    `select key, array_agg(event_id order by n) as first from (
       select key, event_id, min(n) as n from ledger group by key, event_id) f group by key`,
  );
  for (const { key, first } of rows) {
    const numbers = first.map(Number);
    expect(numbers, key).toEqual(numbers.toSorted((a, b) => a - b));
    expect(numbers).toHaveLength(events / keys);
  }
  expect(rows).toHaveLength(keys);
  expect((await sent()) - events).toBeLessThanOrEqual(3 * twiceMax);
  await storage.stop();
  await pool.end();
});
