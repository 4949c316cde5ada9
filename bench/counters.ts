import { readFile } from "node:fs/promises";
import { listChildPids } from "../tools/servers/server-process.ts";
import { waitUntil } from "../tools/servers/wait-until.ts";
import type { BenchServer } from "./server.ts";

/** Clock ticks of `/proc/PID/stat` are hundredths of a second on every Linux of today. */
const msPerTick = 10;

/** The server's counters when a timed part begins. */
export interface Mark {
  readonly lsn: string;
  readonly cpuMs: number | undefined;
}

/** What the server did between a mark and now. */
export interface Spent {
  /** WAL without full-page images; with them when the server cannot tell them apart. */
  readonly walBytes: number;
  /** Commits that wrote something; undefined when the server cannot tell. */
  readonly writingCommits: number | undefined;
  /** CPU of all its processes; undefined where there is no `/proc`. */
  readonly postgresCpuMs: number | undefined;
}

/** Begins a timed part: a checkpoint, so that all parts pay for the same full-page images, then the counters. */
export async function mark(server: BenchServer): Promise<Mark> {
  await server.admin.query("CHECKPOINT");
  return { lsn: await flushedLsn(server), cpuMs: await cpuOf(server) };
}

/** Ends a timed part. */
export async function since(server: BenchServer, from: Mark): Promise<Spent> {
  const cpuMs = await cpuOf(server);
  const to = await flushedLsn(server);
  return {
    ...(await walBetween(server, from.lsn, to)),
    postgresCpuMs: cpuMs === undefined || from.cpuMs === undefined ? undefined : cpuMs - from.cpuMs,
  };
}

async function flushedLsn({ admin }: BenchServer): Promise<string> {
  const { rows } = await admin.query<{ lsn: string }>("SELECT pg_current_wal_flush_lsn()::text AS lsn");
  return rows[0]?.lsn ?? "";
}

async function walBetween(
  { admin, canInspectWal }: BenchServer,
  from: string,
  to: string,
): Promise<Pick<Spent, "walBytes" | "writingCommits">> {
  // Distance, not the sum of the records: padding and page headers are written too.
  const distance = "pg_wal_lsn_diff($2::pg_lsn, $1::pg_lsn)::float8";
  const sql = canInspectWal
    ? `SELECT ${distance} - coalesce(sum(fpi_size), 0)::float8 AS bytes,
              coalesce(sum(count) FILTER (WHERE "resource_manager/record_type" = 'Transaction/COMMIT'), 0)::int AS commits
       FROM pg_get_wal_stats($1::pg_lsn, $2::pg_lsn, true)`
    : `SELECT ${distance} AS bytes, NULL AS commits`;
  const { rows } = await admin.query<{ bytes: number; commits: number | null }>(sql, [from, to]);
  return { walBytes: rows[0]?.bytes ?? Number.NaN, writingCommits: rows[0]?.commits ?? undefined };
}

/**
 * CPU time of the server and its processes, in milliseconds. A process that has ended is in its parent's sum, so
 * connections that come and go between two readings are counted.
 */
async function cpuOf({ postgres }: BenchServer): Promise<number | undefined> {
  const children = await listChildPids(postgres.pid);
  const own = await ticksOf(postgres.pid, 4);
  if (own === undefined) return undefined;
  const theirs = await Promise.all(children.map((pid) => ticksOf(pid, 2)));
  return theirs.reduce<number>((sum, ticks) => sum + (ticks ?? 0), own) * msPerTick;
}

/** CPU time of a process without its children, in milliseconds; undefined where there is no `/proc`. */
export async function cpuMsOf(pid: number): Promise<number | undefined> {
  const ticks = await ticksOf(pid, 2);
  return ticks === undefined ? undefined : ticks * msPerTick;
}

/** utime and stime are the first two of the four times, cutime and cstime (ended children) the others. */
async function ticksOf(pid: number, times: 2 | 4): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (stat === undefined) return undefined;
  // The program's name stands in parentheses and may hold anything, so count from its end.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields.slice(11, 11 + times).reduce((sum, field) => sum + Number(field), 0);
}

/**
 * Transactions that a database has committed since it was created.
 *
 * A connection reports its counts late, but at the latest when it ends: so this first waits until nobody is
 * connected. The bench asks from another database and does not count itself.
 */
export async function commitsOf(server: BenchServer, database: string): Promise<number> {
  await allHaveLeft(server, database);
  const { rows } = await server.admin.query<{ n: number }>(
    "SELECT xact_commit::int AS n FROM pg_stat_database WHERE datname = $1",
    [database],
  );
  return rows[0]?.n ?? Number.NaN;
}

/** Waits until no client is connected to a database any more: what a killed one had sent is done by then. */
export async function allHaveLeft({ admin }: BenchServer, database: string): Promise<void> {
  await waitUntil(
    `nobody is connected to ${database}`,
    async () => {
      const { rowCount } = await admin.query(
        "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'",
        [database],
      );
      return rowCount === 0;
    },
    { withinMs: 30_000 },
  );
}
