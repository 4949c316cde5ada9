import { connect } from "node:net";
import { rename, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { SagaError } from "../../core/errors.ts";
import { databaseUser, type DataFolder } from "./data-folder.ts";
import { findText } from "./find-text.ts";
import { findFreePort } from "./free-port.ts";
import { findProgramName, isPidRunning, isPidTaken } from "./process-identity.ts";
import { runProgram, type ProgramResult } from "./run-program.ts";
import type { ServerPrograms } from "./server-programs.ts";

/** A server that accepts connections. */
export interface RunningServer {
  readonly pid: number;
  readonly port: number;
}

/** What a start needs beyond the folder. */
export interface ServerStart {
  readonly programs: ServerPrograms;
  readonly maxConnections: number;
  readonly timeoutMs: number;
  /** How to come by a port; only tests bring another way. */
  readonly findPort?: typeof findFreePort;
}

const portTriesMax = 5;
const pollMs = 25;
const pingTimeoutMs = 2_000;
const stopTimeoutMs = 60_000;
const logBytesMax = 10 * 1024 * 1024;
/** Above every pid that Linux can hand out (2^22). */
const impossiblePid = 4_194_305;
/** "The database system is starting up" or shutting down. */
const cannotConnectNow = "57P03";

/**
 * Finds the server that runs on the folder's data, whoever started it; waits for one that is starting or stopping.
 *
 * Call it under the folder's lock.
 *
 * @throws SagaError `SAGAZ_EMBEDDED_FAILED` when a process holds the data for `timeoutMs` without answering.
 */
export async function findRunningServer(
  folder: DataFolder,
  timeoutMs: number,
): Promise<RunningServer | undefined> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await readPidFile(folder);
    if (found === undefined || !isPidTaken(found.pid)) return undefined;
    if (!isServer(found.pid)) {
      await disownPidFile(folder, found.pid);
      return undefined;
    }
    if (found.port > 0 && (await answersAsPostgres(found.port))) return found;
    if (performance.now() > deadline) throw unanswered(folder, found);
    await delay(pollMs);
  }
}

/**
 * Starts the server on 127.0.0.1, on its last port if that is free, detached from us: it lives on when we are killed.
 *
 * Call it under the folder's lock, when no server runs on the folder.
 *
 * @throws SagaError `SAGAZ_EMBEDDED_FAILED` with the end of the server's log.
 */
export async function startServer(folder: DataFolder, start: ServerStart): Promise<RunningServer> {
  await turnLogOver(folder);
  const portFile = path.join(folder.path, "port");
  let preferred = Number(await findText(portFile)) || undefined;
  for (let tries = 1; ; tries += 1) {
    const port = await (start.findPort ?? findFreePort)(preferred);
    const logged = await logSize(folder);
    const result = await pgCtlStart(folder, start, port);
    const started = result.status === 0 ? await readPidFile(folder) : undefined;
    if (started !== undefined) {
      await writeFile(`${portFile}.draft`, String(port));
      // Replaced, not overwritten: the old file may be another user's (root and the owner may take turns).
      await rename(`${portFile}.draft`, portFile);
      return started;
    }
    // A start that a killed process had left under way may have come first: then that server is the one.
    const other = await findRunningServer(folder, start.timeoutMs);
    if (other !== undefined) return other;
    const log = Buffer.from((await findText(folder.logFile)) ?? "")
      .subarray(logged)
      .toString();
    if (!log.includes("Address already in use") || tries === portTriesMax) {
      throw failed(folder, `${result.output}\n${log}`.trim());
    }
    preferred = undefined;
  }
}

/**
 * Stops the server: first orderly, cutting its clients off; if that takes too long, at once.
 *
 * @throws SagaError `SAGAZ_EMBEDDED_FAILED` when it runs on regardless.
 */
export async function stopServer(folder: DataFolder, programs: ServerPrograms): Promise<void> {
  let last: ProgramResult | undefined;
  for (const mode of ["fast", "immediate"]) {
    last = await pgCtl(folder, programs, ["stop", "-m", mode, "-w", "-t", String(stopTimeoutMs / 2000)]);
    if (last.status === 0 || (await readPidFile(folder)) === undefined) return;
  }
  throw failed(folder, `it could not be stopped: ${last?.output ?? ""}`);
}

function pgCtlStart(folder: DataFolder, start: ServerStart, port: number): Promise<ProgramResult> {
  // No value here needs quoting, neither for a Unix shell nor for Windows: pg_ctl hands the options to one.
  const options = [
    `port=${port}`,
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    `max_connections=${start.maxConnections}`,
  ];
  const seconds = String(Math.ceil(start.timeoutMs / 1000));
  const settings = options.map((option) => `-c ${option}`).join(" ");
  return pgCtl(folder, start.programs, ["start", "-w", "-t", seconds, "-l", folder.logFile, "-o", settings]);
}

function pgCtl(
  folder: DataFolder,
  programs: ServerPrograms,
  args: readonly string[],
): Promise<ProgramResult> {
  const seconds = Number(args[args.indexOf("-t") + 1]);
  return runProgram({
    program: path.join(programs.binDir, "pg_ctl"),
    args: [...args, "-D", folder.cluster],
    cwd: folder.path,
    user: folder.user,
    timeoutMs: seconds * 1000 + 5_000,
  });
}

/** What PostgreSQL writes about itself: the first line is its pid, the fourth its port (missing while it starts). */
async function readPidFile(folder: DataFolder): Promise<RunningServer | undefined> {
  const text = await findText(path.join(folder.cluster, "postmaster.pid"));
  if (text === undefined) return undefined;
  const lines = text.split("\n");
  return { pid: Number(lines[0]), port: Number(lines[3]) || 0 };
}

/** False for a zombie, and for another program that got a dead server's pid: common when a container starts anew. */
function isServer(pid: number): boolean {
  const name = findProgramName(pid);
  return isPidRunning(pid) && (name === undefined || name === "postgres");
}

/**
 * Lets a start pass over a pid that is not a server's any more.
 *
 * PostgreSQL refuses to start while the pid in the file is taken by anybody. The file is not removed, because its
 * other lines let PostgreSQL check that no left-over process of the old server still uses the data.
 */
async function disownPidFile(folder: DataFolder, pid: number): Promise<void> {
  const file = path.join(folder.cluster, "postmaster.pid");
  const text = (await findText(file)) ?? "";
  if (text.startsWith(`${pid}\n`)) await writeFile(file, text.replace(String(pid), String(impossiblePid)));
}

/**
 * Says hello in PostgreSQL's protocol, as `pg_isready` does, without logging in: an answer of any kind but
 * "not now" means that a server is there and takes connections.
 */
export function answersAsPostgres(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, timeout: pingTimeoutMs });
    const finish = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    let received = Buffer.alloc(0);
    socket.once("connect", () => socket.write(startupMessage()));
    socket.once("timeout", () => finish(false));
    socket.once("error", () => finish(false));
    socket.once("close", () => finish(false));
    socket.on("data", (part) => {
      received = Buffer.concat([received, part]);
      // One message: a letter, then a length that counts itself and the body.
      if (received.length < 5 || received.length < 1 + received.readInt32BE(1)) return;
      const isError = received.toString("latin1", 0, 1) === "E";
      const isLogin = received.toString("latin1", 0, 1) === "R";
      finish(isLogin || (isError && !received.toString("latin1").includes(`C${cannotConnectNow}\0`)));
    });
  });
}

function startupMessage(): Buffer {
  const body = Buffer.from(`user\0${databaseUser}\0database\0postgres\0\0`);
  const head = Buffer.alloc(8);
  head.writeInt32BE(head.length + body.length, 0);
  head.writeInt32BE(0x0003_0000, 4);
  return Buffer.concat([head, body]);
}

async function logSize(folder: DataFolder): Promise<number> {
  return (await stat(folder.logFile).catch(() => undefined))?.size ?? 0;
}

async function turnLogOver(folder: DataFolder): Promise<void> {
  if ((await logSize(folder)) > logBytesMax) await rename(folder.logFile, `${folder.logFile}.1`);
}

function unanswered(folder: DataFolder, server: RunningServer): SagaError {
  return failed(
    folder,
    `process ${server.pid} holds the data but does not answer on port ${server.port}. ` +
      `See ${folder.logFile}; if it hangs, end it and start again`,
  );
}

function failed(folder: DataFolder, message: string): SagaError {
  return new SagaError("SAGAZ_EMBEDDED_FAILED", { dataDir: folder.path, message });
}
