import pg from "pg";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { begin, openRoom, register, type PostgresRoom } from "../../../../../tests/storage/postgres-room.ts";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { toStart } from "../../testing/conformance/storage/material.ts";
import { queries } from "./sql.generated.ts";

/** The backlog of one tenant, and tenants of which each has a saga that sleeps. */
const backlog = 100_000;
const sleepers = 5_000;

let room: PostgresRoom;
let client: pg.Client;
let epoch: number;

async function fill(): Promise<void> {
  await room.sql(
    `select sagaz.ensure_partitions(now() - m * interval '1 month') from generate_series(1, 2) m`,
  );
  const insert = (n: number, columns: { name: string; tenant: string; wake: string }) =>
    room.sql(
      `insert into sagaz.saga_executions
           (saga_id, created_at, saga_name, version, graph_hash, tenant_id, status, wake_at, updated_at)
         select gen_random_uuid(), at, '${columns.name}', 1, 'h', ${columns.tenant}, 'pending', ${columns.wake}, at
           from generate_series(1, ${n}) n, lateral (select now() - n * interval '50 days' / ${n} as at) m`,
    );
  await insert(backlog, { name: "crowded", tenant: "'big'", wake: "at" });
  await insert(sleepers, { name: "sleepy", tenant: "'tenant-' || n", wake: "now() + interval '1 day'" });
  await room.sql("vacuum analyze sagaz.saga_executions");
}

beforeAll(async () => {
  const { url } = await createDatabase(inject("postgresUrl"), { name: "fair_claims" });
  room = await openRoom({ url });
  await fill();
  epoch = await register(room.storage);
  client = new pg.Client({ connectionString: url });
  await client.connect();
}, 120_000);
afterAll(async () => {
  await client.end();
  await room.close();
});

/** Rows that this transaction has read so far, by the server's own figures. */
async function readSoFar(): Promise<number> {
  const { rows } = await client.query<{ rows: string }>(
    `select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) as rows
       from pg_stat_xact_user_tables where schemaname = 'sagaz'`,
  );
  return Number(rows[0]?.rows);
}

/** A claim for ten sagas of one definition, two of a tenant, none of those that are full; and what it read. */
async function claim(name: string, full: readonly string[], after: string | null = null) {
  const before = await readSoFar();
  const values = [epoch, 10, [name], [1], [10], 2, full, full.map(() => 0), after, null];
  const { rows } = await client.query<{ saga_id: string | null; stopped_at: string | null }>(
    queries.claimFairly.replaceAll("{{schema}}", "sagaz"),
    values,
  );
  const read = (await readSoFar()) - before;
  return {
    read,
    sagaIds: rows.flatMap(({ saga_id }) => saga_id ?? []),
    stoppedAt: rows[0]?.stopped_at ?? null,
  };
}

/** Runs in a transaction that leaves no trace. */
async function inVain(work: () => Promise<void>): Promise<void> {
  await client.query("begin");
  try {
    await work();
  } finally {
    await client.query("rollback");
  }
}

test("a full tenant is passed over, however much of it waits, and who stands behind it is found", () =>
  inVain(async () => {
    const blocked = await claim("crowded", ["big"]);
    expect(blocked).toMatchObject({ sagaIds: [], stoppedAt: null });
    expect(blocked.read).toBeGreaterThan(100); // the head of the queue, by which it knows that there is more
    expect(blocked.read).toBeLessThan(150);
    const behind: string[] = [];
    for (const tenantId of [null, "a", "z"])
      behind.push(
        await begin(room.t, epoch, {
          start: toStart(room.t, { owned: false, sagaName: "crowded", tenantId }),
        }),
      );
    const found = await claim("crowded", ["big"]);
    expect(new Set(found.sagaIds)).toEqual(new Set(behind));
    expect(found.read).toBeLessThan(200);
  }));

test("a tenant with room gets what is due longest, and nothing of the rest is read", () =>
  inVain(async () => {
    const { sagaIds, read } = await claim("crowded", []);
    const { rows: oldest } = await client.query<{ id: string }>(
      `select saga_id::text as id from sagaz.saga_executions where saga_name = 'crowded' and tenant_id = 'big'
         order by created_at limit 2`,
    );
    expect(sagaIds.slice(0, 2)).toEqual(oldest.map(({ id }) => id));
    expect(read).toBeLessThan(150);
  }));

test("sagas that sleep are not looked at, whatever tenants they are of", () =>
  inVain(async () => {
    expect((await claim("sleepy", ["big"])).read).toBeLessThan(10);
  }));

test("a claim looks at so many tenants and no more, and the next goes on there", () =>
  inVain(async () => {
    // All are awake and full, but one.
    await client.query("update sagaz.saga_executions set wake_at = now() where saga_name = 'sleepy'");
    const full = Array.from({ length: sleepers }, (_, n) => `tenant-${n + 1}`).filter(
      (name) => name !== "tenant-999",
    );
    let after: string | null = null;
    let claims = 0;
    for (let found = 0; found === 0; claims++) {
      const { sagaIds, stoppedAt, read } = await claim("sleepy", full, after);
      expect(read).toBeLessThan(600); // a probe looks into each month
      expect(claims).toBeLessThan(sleepers / 75);
      found = sagaIds.length;
      after = stoppedAt;
    }
    expect(claims).toBeGreaterThan(10);
  }));
