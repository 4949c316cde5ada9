import { writeFile } from "node:fs/promises";
import path from "node:path";
import { findProgram, type Search } from "./debian-package.ts";
import { findFreePort } from "./free-port.ts";
import { runSql } from "./postgres-databases.ts";
import { makeScratchFolder, removeScratchFolder } from "./scratch-folder.ts";
import { startServerProcess, type ServerProcess } from "./server-process.ts";
import { waitUntil } from "./wait-until.ts";

const startTriesMax = 5;

/** How the pooler hands out server connections. */
export interface PgBouncerOptions {
  /** `transaction` (the default): a client keeps a server connection only until its transaction ends. */
  readonly poolMode?: "transaction" | "session";
  /** Server connections for each database and user (default 10). */
  readonly poolSize?: number;
}

/** A PgBouncer in front of a test server. */
export interface TestPgBouncer {
  /** The server's URL by way of the pooler. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  log(): string;
  /** Breaks its connections and stops it; safe twice. */
  stop(): Promise<void>;
}

/** Finds PgBouncer as {@link findProgram} does. */
export function findPgBouncer(): Promise<Search> {
  return findProgram({ name: "pgbouncer", debianPackage: "pgbouncer" });
}

/**
 * Starts a pooler on a free port of 127.0.0.1 for every database of the server that the URL names.
 *
 * It stops by itself when our process ends in whatever way. Debian's 1.18 knows no prepared statements in
 * transaction mode: named ones collide, unnamed ones work.
 *
 * @throws Error with its log when it does not start.
 */
export async function startPgBouncer(
  program: string,
  serverUrl: string,
  options: PgBouncerOptions = {},
): Promise<TestPgBouncer> {
  const scratch = await makeScratchFolder("pgbouncer");
  try {
    return await startOnFreePort(program, scratch, { serverUrl, options });
  } catch (error) {
    await removeScratchFolder(scratch);
    throw error;
  }
}

interface Wanted {
  readonly serverUrl: string;
  readonly options: PgBouncerOptions;
}

async function startOnFreePort(program: string, scratch: string, wanted: Wanted): Promise<TestPgBouncer> {
  const configFile = path.join(scratch, "pgbouncer.ini");
  for (let tries = 1; ; tries += 1) {
    const port = await findFreePort();
    await writeFile(configFile, toConfig(port, wanted), { mode: 0o644 });
    const server = await startServerProcess({
      command: program,
      args: [configFile],
      cwd: scratch,
      logFile: path.join(scratch, "pgbouncer.log"),
      scratchFolder: scratch,
    });
    const url = throughPort(wanted.serverUrl, port);
    if (await becomesReady(server, url)) return describe(server, { scratch, url, port });
    const wasTaken = /address already in use/i.test(server.log());
    if (!wasTaken || tries === startTriesMax) throw new Error(`PgBouncer did not start:\n${server.log()}`);
  }
}

function toConfig(port: number, { serverUrl, options }: Wanted): string {
  const { hostname, port: serverPort, username, password } = new URL(serverUrl);
  const login = `user=${decodeURIComponent(username)}${password ? ` password=${decodeURIComponent(password)}` : ""}`;
  return `[databases]
* = host=${hostname} port=${serverPort || 5432} ${login}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${options.poolMode ?? "transaction"}
default_pool_size = ${options.poolSize ?? 10}
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
`;
}

function throughPort(url: string, port: number): string {
  const copy = new URL(url);
  copy.hostname = "127.0.0.1";
  copy.port = String(port);
  return copy.href;
}

/** Ready is an answer that came through it from the server behind. */
async function becomesReady(server: ServerProcess, url: string): Promise<boolean> {
  const answer = await waitUntil("PgBouncer is ready", async () => {
    if (server.hasExited()) return "ended";
    return runSql(url, "SELECT 1").then(
      () => "ready",
      () => undefined,
    );
  });
  return answer === "ready";
}

function describe(
  server: ServerProcess,
  place: { scratch: string; url: string; port: number },
): TestPgBouncer {
  return {
    url: place.url,
    port: place.port,
    pid: server.pid,
    log: () => server.log(),
    async stop() {
      await server.stop(["SIGTERM"], 5_000);
      await removeScratchFolder(place.scratch);
    },
  };
}
