import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { findFreePort } from "./free-port.ts";
import { runSql } from "./postgres-databases.ts";
import { makeScratchFolder, removeScratchFolder } from "./scratch-folder.ts";
import { startServerProcess, type ServerProcess } from "./server-process.ts";
import { waitUntil } from "./wait-until.ts";

const installTimeoutMs = 180_000;
const startTriesMax = 5;

/** A program for tests, or why there is none on this machine: the reason goes into the name of the skipped test. */
export type Search = { readonly program: string } | { readonly missing: string };

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

/**
 * Finds PgBouncer, and installs Debian's package when it is missing and we are root.
 *
 * Never throws: where it cannot be had, `missing` says why.
 */
export async function findPgBouncer(): Promise<Search> {
  const installed = findInstalled();
  if (installed !== undefined) return { program: installed };
  if (process.getuid?.() !== 0) return { missing: "pgbouncer is not installed and we are not root" };
  if (!existsSync("/usr/bin/apt-get"))
    return { missing: "pgbouncer is not installed and there is no apt-get" };
  const failure = await installPackage();
  const program = findInstalled();
  return program === undefined
    ? { missing: `pgbouncer cannot be installed: ${failure ?? "no program"}` }
    : { program };
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

function findInstalled(): string | undefined {
  const folders = ["/usr/sbin", "/usr/local/sbin", ...(process.env["PATH"] ?? "").split(path.delimiter)];
  return folders.map((folder) => path.join(folder, "pgbouncer")).find((program) => existsSync(program));
}

async function installPackage(): Promise<string | undefined> {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const run = (...args: string[]) => promisify(execFile)("apt-get", args, { env, timeout: installTimeoutMs });
  const install = ["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", "pgbouncer"];
  try {
    await run(...install).catch(async () => {
      // A fresh image has no package lists.
      await run("update");
      await run(...install);
    });
    return undefined;
  } catch (error) {
    return (error as Error).message.split("\n")[0];
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
