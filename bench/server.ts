import { totalmem } from "node:os";
import pg from "pg";
import { startPostgres, type TestPostgres } from "../tools/servers/postgres.ts";

/** What the server is given; everything else stands at its default, `fsync` and `synchronous_commit` on among it. */
export const serverSettings = {
  shared_buffers: `${Math.max(128, Math.min(1024, Math.floor(totalmem() / 4 / 2 ** 20)))}MB`,
  max_wal_size: "16GB",
  checkpoint_timeout: "1h",
};

/** The PostgreSQL that all systems share, with one connection of the bench's own to its maintenance database. */
export interface BenchServer {
  readonly postgres: TestPostgres;
  /** Works in the database `postgres`, so that it never shows in a measured database's statistics. */
  readonly admin: pg.Client;
  /** For example `15.14`. */
  readonly version: string;
  /** True when `pg_walinspect` is there, which tells full-page images from the rest of the WAL. */
  readonly canInspectWal: boolean;
  stop(): Promise<void>;
}

/** Starts a scratch server; checkpoints come only when the bench asks for one. */
export async function startBenchServer(): Promise<BenchServer> {
  const postgres = await startPostgres({ own: true, maxConnections: 200, settings: serverSettings });
  const admin = new pg.Client({ connectionString: postgres.url });
  await admin.connect();
  const { rows } = await admin.query<{ version: string; durable: boolean }>(
    `SELECT current_setting('server_version') AS version,
            current_setting('fsync') = 'on' AND current_setting('synchronous_commit') = 'on' AS durable`,
  );
  if (rows[0]?.durable !== true) throw new Error("The server is not durable: figures would mean nothing.");
  return {
    postgres,
    admin,
    version: rows[0].version.split(" ")[0] ?? "",
    canInspectWal: await tryWalInspect(admin),
    stop: async () => {
      await admin.end();
      await postgres.stop();
    },
  };
}

async function tryWalInspect(admin: pg.Client): Promise<boolean> {
  const { rowCount } = await admin.query(
    "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_walinspect'",
  );
  if (rowCount === 0) return false;
  await admin.query("CREATE EXTENSION pg_walinspect");
  return true;
}
