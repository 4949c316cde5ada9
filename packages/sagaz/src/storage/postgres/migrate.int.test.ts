import { afterAll, beforeAll, expect, inject, onTestFinished, test } from "vitest";
import pg from "pg";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { PostgreSQLStorage, type PostgreSQLStorageOptions } from "./index.ts";
import { migrations } from "./sql.generated.ts";

let pool: pg.Pool;
let databaseUrl: string;
let schemas = 0;
beforeAll(async () => {
  databaseUrl = (await createDatabase(inject("postgresUrl"), { name: "migrate" })).url;
  pool = new pg.Pool({ connectionString: databaseUrl, max: 20 });
});
afterAll(() => pool.end());

const newSchema = () => `schema_${(schemas += 1)}`;
const open = (schema: string, options: Partial<PostgreSQLStorageOptions> = {}) =>
  new PostgreSQLStorage({ pool, schema, ...options });

async function start(schema: string, options?: Partial<PostgreSQLStorageOptions>): Promise<void> {
  const storage = open(schema, options);
  await storage.start();
  await storage.stop();
}

async function tablesOf(schema: string): Promise<readonly string[]> {
  const { rows } = await pool.query<{ name: string }>(
    "select relname as name from pg_class where relnamespace = to_regnamespace($1) and relkind in ('r', 'p') order by 1",
    [schema],
  );
  return rows.map(({ name }) => name);
}

test("processes that start at the same time migrate once, and again nothing", async () => {
  const schema = newSchema();
  await Promise.all([1, 2, 3, 4].map(() => start(schema)));
  const applied = await pool.query(
    `select version, name, checksum, applied_at from ${schema}.saga_migrations order by 1`,
  );
  expect(applied.rows.map(({ version, name, checksum }) => ({ version, name, checksum }))).toEqual(
    migrations.map(({ version, name, checksum }) => ({ version, name, checksum })),
  );
  await start(schema);
  expect(
    (await pool.query(`select applied_at from ${schema}.saga_migrations order by version`)).rows,
  ).toEqual(applied.rows.map(({ applied_at }) => ({ applied_at })));
});

test("two schemas of one database keep apart", async () => {
  const [one, two] = [newSchema(), newSchema()];
  await start(one);
  expect(await tablesOf(two)).toEqual([]);
  await start(two);
  expect(await tablesOf(two)).toEqual(await tablesOf(one));
});

test("months are made ahead, and the one before: once, also by many", async () => {
  const schema = newSchema();
  const now = () => Date.UTC(2026, 11, 31, 23, 59);
  await Promise.all([1, 2, 3].map(() => start(schema, { now })));
  const partitions = (await tablesOf(schema)).filter((name) => name.startsWith("saga_events_"));
  expect(partitions).toEqual(
    ["2026_11", "2026_12", "2027_01", "2027_02", "2027_03"].map((month) => `saga_events_${month}`),
  );
  await start(schema, { now: () => Date.UTC(2027, 1, 1) });
  expect((await tablesOf(schema)).filter((name) => name.startsWith("saga_executions_"))).toEqual(
    ["2026_11", "2026_12", "2027_01", "2027_02", "2027_03", "2027_04", "2027_05"].map(
      (month) => `saga_executions_${month}`,
    ),
  );
});

test("a schema of a newer version is left alone", async () => {
  const schema = newSchema();
  await start(schema);
  await pool.query(
    `insert into ${schema}.saga_migrations values (${migrations.length + 1}, 'later', 'x', now())`,
  );
  for (const migrate of [true, false]) {
    await expect(start(schema, { migrate })).rejects.toMatchObject({
      code: "SAGAZ_SCHEMA_NEWER",
      details: { schema, found: migrations.length + 1, known: migrations.length },
    });
  }
});

test("a migration that was changed after it was applied is found", async () => {
  const schema = newSchema();
  await start(schema);
  await pool.query(`update ${schema}.saga_migrations set checksum = 'edited' where version = 2`);
  await expect(start(schema)).rejects.toMatchObject({
    code: "SAGAZ_MIGRATION_CHANGED",
    details: { migration: "002_append", applied: "edited" },
  });
});

test("with migrations off a schema that is missing or too old is refused, and nothing is made", async () => {
  const schema = newSchema();
  const refused = { code: "SAGAZ_SCHEMA_MISSING", details: { schema, found: 0, needed: migrations.length } };
  await expect(start(schema, { migrate: false })).rejects.toMatchObject(refused);
  expect(await tablesOf(schema)).toEqual([]);
  await start(schema);
  await start(schema, { migrate: false });
  await pool.query(`delete from ${schema}.saga_migrations where version = ${migrations.length}`);
  await expect(start(schema, { migrate: false })).rejects.toMatchObject({
    details: { found: migrations.length - 1 },
  });
});

test("a start that fails can be tried again on the same object", async () => {
  const schema = newSchema();
  const storage = open(schema, { migrate: false });
  await expect(storage.start()).rejects.toMatchObject({ code: "SAGAZ_SCHEMA_MISSING" });
  await start(schema);
  await Promise.all([storage.start(), storage.start()]);
  await storage.stop();
});

test("a role that may not create schemas can use one that was made for it", async () => {
  const schema = newSchema();
  const role = `guest_${process.pid}_${Date.now()}`;
  await pool.query(`create role ${role} login; create schema ${schema} authorization ${role}`);
  const url = new URL(databaseUrl);
  url.username = role;
  const guest = new pg.Pool({ connectionString: url.href, max: 5 });
  try {
    const storage = new PostgreSQLStorage({ pool: guest, schema });
    await storage.start();
    await storage.stop();
    const elsewhere = new PostgreSQLStorage({ pool: guest, schema: newSchema() });
    await expect(elsewhere.start()).rejects.toMatchObject({
      code: "SAGAZ_STORAGE_REFUSED",
      message: expect.stringContaining("Let somebody who may run: create schema") as string,
    });
  } finally {
    await guest.end();
    await pool.query(`drop schema ${schema} cascade; drop role ${role}`);
  }
});

test("a role that does not own the tables works on the partitions that there are, and says that it makes none", async () => {
  const schema = newSchema();
  let now = Date.UTC(2026, 0, 15);
  const owner = open(schema, { now: () => now });
  await owner.start();
  await owner.stop();
  const role = `tenant_${process.pid}_${Date.now()}`;
  await pool.query(`create role ${role} login; grant usage on schema ${schema} to ${role};
    grant all on all tables in schema ${schema} to ${role}; grant all on all sequences in schema ${schema} to ${role}`);
  const url = new URL(databaseUrl);
  url.username = role;
  const guest = new pg.Pool({ connectionString: url.href, max: 5 });
  try {
    now = Date.UTC(2026, 0, 17); // two days of the log are missing
    const notices: string[] = [];
    const onNotice = (notice: string) => notices.push(notice);
    const storage = new PostgreSQLStorage({ pool: guest, schema, now: () => now, onNotice });
    await storage.start();
    expect(notices.join()).toContain("does not own sagaz's tables");
    const { epoch } = await storage.leases.register({ workerName: "w", leaseMs: 1_000, definitions: [] });
    const outcomes = await storage.journal.startKeyed(epoch, [toKeyedStart(now)]);
    expect(outcomes[0]?.kind).toBe("started");
    await storage.stop();
  } finally {
    await guest.end();
    await pool.query(`drop schema ${schema} cascade; drop role ${role}`);
  }
});

test("a month that nobody made is made when it is needed", async () => {
  const schema = newSchema();
  let now = Date.UTC(2026, 0, 15);
  const storage = open(schema, { now: () => now });
  await storage.start();
  now = Date.UTC(2026, 8, 15);
  const { epoch } = await storage.leases.register({ workerName: "w", leaseMs: 1_000, definitions: [] });
  const outcomes = await storage.journal.startKeyed(epoch, [toKeyedStart(now)]);
  expect(outcomes[0]?.kind).toBe("started");
  await storage.stop();
});

function toKeyedStart(now: number) {
  const hex = now.toString(16).padStart(12, "0");
  return {
    sagaId: `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000001`,
    sagaName: "order",
    version: 1,
    graphHash: "h",
    tenantId: null,
    correlationId: null,
    owned: true,
    wakeAt: null,
    idempotencyKey: "k",
    inputHash: "h",
    attributes: null,
    parentId: null,
    started: { type: "saga_started", step: null, data: "{}" },
  };
}

test("schema names that need care, and pools that are too small, are refused at once", () => {
  for (const schema of ["", "Sagaz", "a-b", 'x"; drop schema public; --', "1st", "a".repeat(51), "ä"])
    expect(() => open(schema)).toThrow(expect.objectContaining({ code: "SAGAZ_INVALID_OPTION" }) as Error);
  const small = new pg.Pool({ max: 4 });
  expect(() => new PostgreSQLStorage({ pool: small })).toThrow(
    expect.objectContaining({ code: "SAGAZ_POOL_TOO_SMALL", details: { size: 4, needed: 5 } }) as Error,
  );
});

test("a pool in pipeline mode is refused", async () => {
  const pool = new pg.Pool({ connectionString: inject("postgresUrl"), pipeline: true });
  onTestFinished(() => pool.end());
  expect(() => new PostgreSQLStorage({ pool })).toThrow(
    expect.objectContaining({ code: "SAGAZ_INVALID_OPTION" }) as Error,
  );
});
