import { randomBytes } from "node:crypto";
import { Client, type QueryResult } from "pg";

/** A database of its own on a test server. */
export interface TestDatabase {
  readonly name: string;
  readonly url: string;
  /** Drops it. Who is on the way out gets 5 s to close, who stays is cut. */
  drop(): Promise<void>;
}

/** How a new test database comes to be. */
export interface TestDatabaseOptions {
  /** The start of its name, to tell databases apart in logs. */
  readonly name?: string;
  /** The database to copy, for example one made by {@link createTemplate}. */
  readonly template?: string;
}

/** Runs one statement list on a connection of its own. */
export async function runSql(url: string, ...statements: readonly string[]): Promise<QueryResult[]> {
  const client = new Client({ connectionString: url });
  // A server that is killed under a test also kills this connection; the statement in flight reports it.
  client.on("error", () => {});
  await client.connect();
  try {
    const results: QueryResult[] = [];
    for (const statement of statements) results.push(await client.query(statement));
    return results;
  } finally {
    await client.end();
  }
}

/** The same server's URL with another database in it. */
function withDatabase(url: string, name: string): string {
  const copy = new URL(url);
  copy.pathname = `/${name}`;
  return copy.href;
}

/** Creates an empty database, or a copy of a template, under a name nobody else has: about 30 ms. */
export async function createDatabase(url: string, options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const name = `${options.name ?? "test"}_${process.pid}_${randomBytes(4).toString("hex")}`;
  const copied = options.template === undefined ? "" : ` TEMPLATE ${quoteIdentifier(options.template)}`;
  await runSql(url, `CREATE DATABASE ${quoteIdentifier(name)}${copied}`);
  return {
    name,
    url: withDatabase(url, name),
    drop: () => dropDatabase(url, name),
  };
}

/**
 * A pool that has ended may still be closing its connections: cut now, they would report the cut to nobody,
 * which ends the process. Without `FORCE` the server itself waits for them, up to 5 s.
 */
async function dropDatabase(url: string, name: string): Promise<void> {
  const drop = `DROP DATABASE IF EXISTS ${quoteIdentifier(name)}`;
  try {
    await runSql(url, drop);
  } catch (error) {
    if ((error as { code?: string }).code !== OBJECT_IN_USE) throw error;
    await runSql(url, `${drop} WITH (FORCE)`);
  }
}

const OBJECT_IN_USE = "55006";

/**
 * Makes the template database `name` with `prepare` (migrations, say) unless it is there, and returns its name.
 *
 * Test files that run at the same time may all ask for it: an advisory lock lets one build it and the others
 * wait. It takes its name only when it is complete, so a crash while building leaves no half-made template.
 */
export async function createTemplate(
  url: string,
  name: string,
  prepare: (url: string) => Promise<void>,
): Promise<string> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query("SELECT pg_advisory_lock(hashtext('sagaz test template'))");
    const found = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [name]);
    if (found.rowCount === 0) {
      const draft = await createDatabase(url, { name: "draft" });
      await prepare(draft.url);
      await client.query(`ALTER DATABASE ${quoteIdentifier(draft.name)} RENAME TO ${quoteIdentifier(name)}`);
    }
    return name;
  } finally {
    await client.end();
  }
}

function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
