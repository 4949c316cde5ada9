import pg from "pg";
import type { SagaStorage } from "../../packages/sagaz/src/ports/storage.ts";
import {
  append,
  begin,
  register,
  toEntry,
} from "../../packages/sagaz/src/testing/conformance/storage/material.ts";
import type { StorageUnderTest } from "../../packages/sagaz/src/testing/conformance/storage/storage-rule.ts";
import {
  PostgreSQLStorage,
  type PostgreSQLStorageOptions,
} from "../../packages/sagaz/src/storage/postgres/index.ts";

export { append, begin, register, toEntry };

/** A storage on the database's own clock, with what tests of faults need around it. */
export interface PostgresRoom {
  readonly storage: PostgreSQLStorage;
  readonly pool: pg.Pool;
  /** What the building blocks of the storage's rules take. */
  readonly t: StorageUnderTest;
  /** Sentences that the storage had to say. */
  readonly notices: readonly string[];
  /** Runs SQL on a connection that knows of no fault. */
  sql(text: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>;
  close(): Promise<void>;
}

/** Opens a storage at `url`; `directUrl` is the way round a proxy or a pooler. */
export async function openRoom(
  urls: { readonly url: string; readonly directUrl?: string },
  options: Partial<PostgreSQLStorageOptions> & { readonly max?: number } = {},
): Promise<PostgresRoom> {
  const { max = 8, ...rest } = options;
  const pool = new pg.Pool({ connectionString: urls.url, max });
  const direct = new pg.Pool({ connectionString: urls.directUrl ?? urls.url, max: 2 });
  direct.on("error", () => {});
  const notices: string[] = [];
  const storage = new PostgreSQLStorage({ pool, onNotice: (notice) => notices.push(notice), ...rest });
  await storage.start();
  const close = async () => {
    await storage.stop();
    await Promise.all([pool.end(), direct.end()]);
  };
  return {
    storage,
    pool,
    notices,
    t: {
      storage,
      another: (): Promise<SagaStorage> => Promise.resolve(storage),
      now: () => Date.now(),
      setNow: () => {
        throw new Error("this storage runs on the database's clock");
      },
      close,
    },
    sql: async (text, values = []) =>
      (await direct.query(text, [...values])).rows as Record<string, unknown>[],
    close,
  };
}
