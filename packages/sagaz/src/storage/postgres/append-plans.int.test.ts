import type { QueryResult } from "pg";
import { expect, inject, test } from "vitest";
import { append, openRoom, register, toEntry } from "../../../../../tests/storage/postgres-room.ts";
import { createDatabase, runSql } from "../../../../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import type { AppendEntry } from "../../ports/storage.ts";
import { begin, event, toRow } from "../../testing/conformance/storage/material.ts";

const owned = 300;
const written = 100;

/** Rows and index entries that all connections of a database have read, once none of them is left to report more. */
async function entriesRead(url: string): Promise<number> {
  await waitUntil("all connections have reported what they read", async () => {
    const [result] = await runSql(
      url,
      "select count(*)::int as n from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    );
    return countOf(result) === 0;
  });
  const [result] = await runSql(
    url,
    `select (
         (select sum(idx_tup_read) from pg_stat_user_indexes
           where schemaname = 'sagaz' and relname ~ '^saga_(executions|events)_')
         + (select sum(seq_tup_read) from pg_stat_user_tables
           where schemaname = 'sagaz' and relname ~ '^saga_(executions|events)_'))::int as n`,
  );
  return countOf(result);
}

function countOf(result: QueryResult | undefined): number {
  const [row] = (result?.rows ?? []) as { readonly n: number }[];
  return row?.n ?? Number.NaN;
}

test.for<[string, Partial<AppendEntry>]>([
  ["one event", {}],
  ["a batch of events", { events: [event("step_done"), event("step_done")] }],
  ["changed rows", { row: toRow({ error: "late" }) }],
])(
  "a write looks up its own sagas, however many the worker owns, in tables that were never analysed: %s",
  { timeout: 60_000 },
  async ([, fields]) => {
    const { url } = await createDatabase(inject("postgresUrl"), { name: "append_plans" });
    const room = await openRoom({ url });
    const epoch = await register(room.storage);
    const sagas: string[] = [];
    for (let n = 0; n < owned; n += 1) sagas.push(await begin(room.t, epoch));
    await room.close();
    const before = await entriesRead(url);

    const again = await openRoom({ url });
    for (const sagaId of sagas.slice(0, written))
      await append({ storage: again.storage, epoch }, toEntry(sagaId, 2, fields));
    await again.close();
    // The row and the event before: two look-ups, and a few more for the worker and for what start() asks.
    expect((await entriesRead(url)) - before).toBeLessThan(written * 5);
  },
);
