import { SagaError } from "../../core/errors.ts";
import type { OpenConnection, TextRow } from "./connection.ts";
import type { Database } from "./database.ts";
import { sqlStateOf } from "./errors.ts";
import { migrations } from "./sql.generated.ts";

/** A migration as it was applied. */
interface Applied {
  readonly version: number;
  readonly checksum: string;
}

/**
 * Brings the schema to the version of this library, in one transaction and one process at a time: a crash in the middle
 * leaves it as it was. Applied migrations are compared first, so that nothing is built on something else.
 *
 * @throws SagaError `SAGAZ_SCHEMA_NEWER`, `SAGAZ_MIGRATION_CHANGED`.
 */
export async function migrate(database: Database): Promise<void> {
  // Most starts find everything in place: they take no lock and need no right to create.
  const found = await readApplied(database, (text) => database.read({ text }));
  if (check(database.schema, found).length === 0) return;
  await database.transact(async (connection) => {
    const run = (text: string, values: readonly unknown[] = []) =>
      connection.run({ text, values }, { commits: false });
    await run(database.sql.migrationLock);
    await createSchema(database, connection);
    await run(database.sql.createMigrations);
    // Another process may have been faster.
    const pending = check(database.schema, await readApplied(database, run));
    for (const { version, name, checksum, sql } of pending) {
      await run(sql.replaceAll("{{schema}}", `"${database.schema}"`));
      await run(database.sql.noteMigration, [version, name, checksum]);
    }
  });
}

/**
 * Checks that the schema is at the version of this library, for those who migrate by themselves.
 *
 * @throws SagaError `SAGAZ_SCHEMA_MISSING`, `SAGAZ_SCHEMA_NEWER`, `SAGAZ_MIGRATION_CHANGED`.
 */
export async function checkMigrated(database: Database): Promise<void> {
  const found = await readApplied(database, (text) => database.read({ text }));
  if (check(database.schema, found).length === 0) return;
  const details = { schema: database.schema, found: found.length, needed: migrations.length };
  throw new SagaError("SAGAZ_SCHEMA_MISSING", details);
}

/** A database administrator may have made the schema, and kept the right to make one: so it is only made if missing. */
async function createSchema(database: Database, connection: OpenConnection): Promise<void> {
  const [row] = await connection.run({ text: database.sql.schemaExists }, { commits: false });
  if (row?.["found"] === "true") return;
  try {
    await connection.run({ text: database.sql.createSchema }, { commits: false });
  } catch (error) {
    if (sqlStateOf(error) !== "42501") throw error;
    const advice = `create schema ${database.schema} authorization … (the role of the pool)`;
    const message = `the schema "${database.schema}" is missing, and this role may not make it. Let somebody who may run: ${advice}`;
    throw new SagaError("SAGAZ_STORAGE_REFUSED", { message }, { cause: error });
  }
}

async function readApplied(
  database: Database,
  run: (text: string) => Promise<readonly TextRow[]>,
): Promise<readonly Applied[]> {
  const [exists] = await run(database.sql.migrationsExist);
  if (exists?.["found"] !== "true") return [];
  const rows = await run(database.sql.appliedMigrations);
  return rows.map((row) => ({ version: Number(row["version"]), checksum: String(row["checksum"]) }));
}

/** The migrations that are still to be applied; throws when what was applied is not ours. */
function check(schema: string, applied: readonly Applied[]): readonly (typeof migrations)[number][] {
  const found = applied.at(-1)?.version ?? 0;
  const known = migrations.length;
  if (found > known) throw new SagaError("SAGAZ_SCHEMA_NEWER", { schema, found, known });
  const checksums = new Map(applied.map((migration) => [migration.version, migration.checksum]));
  for (const { version, name, checksum } of migrations) {
    const before = checksums.get(version);
    if (before !== undefined && before !== checksum) {
      const migration = `${String(version).padStart(3, "0")}_${name}`;
      throw new SagaError("SAGAZ_MIGRATION_CHANGED", { migration, applied: before, held: checksum });
    }
  }
  return migrations.filter(({ version }) => !checksums.has(version));
}
