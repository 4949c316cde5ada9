import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createRequire } from "node:module";
import { Client } from "pg";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { SagaError } from "../../core/errors.ts";
import { startEmbeddedPostgres, type EmbeddedPostgres } from "./embedded-postgres.ts";
import { ensureCluster, openDataFolder } from "./data-folder.ts";
import { answersAsPostgres, startServer, stopServer } from "./postmaster.ts";
import { embeddedPackageName, prepareServerPrograms } from "./server-programs.ts";
import { findFreePort } from "./free-port.ts";
import { isPidRunning } from "./process-identity.ts";

const isRoot = process.getuid?.() === 0;
const notRoot = "PostgreSQL runs as another user only when we are root";
const nobodyId = 65_534;
const waitMs = 30_000;

let scratch: string;
let dataDir: string;
let children: ChildProcess[] = [];
/** Servers a test has left running on purpose, or by failing. */
let serverPids = new Set<number>();

beforeEach(async () => {
  scratch = await realpath(await mkdtemp(path.join(tmpdir(), "sagaz-embedded-")));
  await chmod(scratch, 0o755);
  dataDir = path.join(scratch, "postgres");
});

afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  children = [];
  for (const pid of serverPids) if (isPidRunning(pid)) process.kill(pid, "SIGQUIT");
  await vi.waitUntil(() => [...serverPids].every((pid) => !isPidRunning(pid)), { timeout: waitMs });
  serverPids = new Set();
  await rm(scratch, { recursive: true, maxRetries: 5 });
});

async function start(options: Parameters<typeof startEmbeddedPostgres>[0] = {}): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, startTimeoutMs: waitMs, ...options });
  serverPids.add(server.pid);
  return server;
}

async function query<Row extends object>(url: string, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

interface Started {
  readonly child: ChildProcess;
  readonly server: { readonly url: string; readonly pid: number; readonly wasRunning: boolean };
}

/** Starts the server from a process of its own, which then waits for a line on its input and stops. */
async function startInProcess(where: { cwd?: string; uid?: number } = {}): Promise<Started> {
  const module = JSON.stringify(path.join(import.meta.dirname, "embedded-postgres.ts"));
  const text = `
    import { startEmbeddedPostgres } from ${module};
    const server = await startEmbeddedPostgres({ dataDir: ${JSON.stringify(dataDir)} });
    console.log(JSON.stringify(server));
    process.stdin.once("data", async () => {
      await server.stop();
      process.exit(0);
    });`;
  const tsx = createRequire(import.meta.url).resolve("tsx");
  const { uid, cwd } = where;
  const child = spawn(process.execPath, ["--import", tsx, "--input-type=module", "-e", text], {
    stdio: ["pipe", "pipe", "pipe"],
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  children.push(child);
  const server = await new Promise<Started["server"]>((resolve, reject) => {
    let output = "";
    let errors = "";
    child.stdout.on("data", (part: Buffer) => {
      output += part.toString();
      if (output.includes("\n")) resolve(JSON.parse(output) as Started["server"]);
    });
    child.stderr.on("data", (part: Buffer) => (errors += part.toString()));
    child.once("exit", () => reject(new Error(`The process ended: ${errors}`)));
  });
  serverPids.add(server.pid);
  return { child, server };
}

function stopInProcess({ child }: Started): Promise<number | null> {
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  child.stdin?.write("stop\n");
  return ended;
}

async function killed(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

async function countRefusals(): Promise<number> {
  const log = await readFile(path.join(dataDir, "server.log"), "utf8");
  return log.split("the database system is shutting down").length;
}

function failure(pattern: RegExp | string): unknown {
  return expect.objectContaining({
    name: "SagaError",
    code: "SAGAZ_EMBEDDED_FAILED",
    message: expect.stringMatching(pattern) as string,
  });
}

describe("one process", () => {
  test("starts a durable server that asks for a password and listens on 127.0.0.1 alone", async () => {
    const server = await start({ maxConnections: 23 });
    const [settings] = await query<Record<string, string>>(
      server.url,
      `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,
              current_setting('listen_addresses') AS addresses, current_setting('max_connections') AS connections,
              current_setting('unix_socket_directories') AS sockets, current_setting('server_encoding') AS encoding`,
    );
    expect(settings).toEqual({
      fsync: "on",
      commit: "on",
      addresses: "127.0.0.1",
      connections: "23",
      sockets: "",
      encoding: "UTF8",
    });
    expect(server.wasRunning).toBe(false);
    expect(server.port).toBeLessThan(32_768);
    const wrong = server.url.replace(/:[^:@]+@/, ":wrong@");
    await expect(query(wrong, "SELECT 1")).rejects.toThrow(/password authentication failed/);
    expect(statSync(path.join(dataDir, "password")).mode & 0o777).toBe(0o600);
    await server.stop();
    await server.stop();
    expect(isPidRunning(server.pid)).toBe(false);
  });

  test("keeps data, password and port over a stop and a start", async () => {
    const first = await start();
    await query(first.url, "CREATE TABLE kept AS SELECT 4711 AS id");
    await first.stop();
    const second = await start();
    expect(second.url).toBe(first.url);
    expect(await query(second.url, "SELECT id FROM kept")).toEqual([{ id: 4711 }]);
    await second.stop();
  });

  test("takes another port when its own is taken meanwhile", async () => {
    const first = await start();
    await first.stop();
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(first.port, "127.0.0.1", resolve));
    const second = await start();
    expect(second.port).not.toBe(first.port);
    await second.stop();
    await new Promise((resolve) => squatter.close(resolve));
  });

  test("recovers what was committed when the server itself was killed", async () => {
    const first = await start();
    await query(first.url, "CREATE TABLE kept AS SELECT 1 AS id");
    process.kill(first.pid, "SIGKILL");
    await vi.waitUntil(() => !isPidRunning(first.pid), { timeout: waitMs });
    const second = await start();
    expect(second.wasRunning).toBe(false);
    expect(await query(second.url, "SELECT id FROM kept")).toEqual([{ id: 1 }]);
    process.kill(second.pid, "SIGKILL");
    await vi.waitUntil(() => !isPidRunning(second.pid), { timeout: waitMs });
    await second.stop();
    await first.stop(); // nothing is left to stop
  });

  test("begins anew when a crash left a half-made cluster", async () => {
    const half = path.join(dataDir, "cluster.draft-1");
    await mkdir(half, { recursive: true });
    await writeFile(path.join(half, "PG_VERSION"), "18\n");
    const server = await start();
    expect(await query(server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    expect(existsSync(half)).toBe(false);
    await server.stop();
  });

  test("starts although the pid of its dead server belongs to another program now (Linux)", async ({
    skip,
  }) => {
    skip(process.platform !== "linux", "other systems do not tell a process from a later one with its pid");
    const first = await start();
    const pidFile = path.join(dataDir, "cluster", "postmaster.pid");
    const text = await readFile(pidFile, "utf8");
    await first.stop();
    await writeFile(pidFile, text.replace(/^\d+/, String(process.pid)));
    if (isRoot) await chown(pidFile, nobodyId, nobodyId);
    const second = await start();
    expect(second.wasRunning).toBe(false);
    await second.stop();
  });

  test("turns its log over when it has grown large", async () => {
    await (await start()).stop();
    const log = path.join(dataDir, "server.log");
    await writeFile(log, Buffer.alloc(11 * 1024 * 1024, "x"));
    await (await start()).stop();
    expect(statSync(`${log}.1`).size).toBe(11 * 1024 * 1024);
    expect(statSync(log).size).toBeLessThan(1024 * 1024);
  });
});

describe("several processes", () => {
  test("share one server; the first to leave does not take it from the others, the last one stops it", async () => {
    const other = await startInProcess();
    const mine = await start();
    expect(mine.wasRunning).toBe(true);
    expect(mine.pid).toBe(other.server.pid);
    expect(mine.url).toBe(other.server.url);
    expect(await stopInProcess(other)).toBe(0);
    expect(await query(mine.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    await mine.stop();
    expect(isPidRunning(mine.pid)).toBe(false);
  });

  test("a kill -9 of the starter does not touch the server; the next start goes on with it and can stop it", async () => {
    const starter = await startInProcess();
    const open = new Client({ connectionString: starter.server.url });
    await open.connect();
    await killed(starter.child);
    expect((await open.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
    await open.end();

    const next = await start();
    expect(next.wasRunning).toBe(true);
    expect(next.pid).toBe(starter.server.pid);
    await next.stop();
    expect(isPidRunning(next.pid)).toBe(false);
  });

  test("that start at the same moment on a new folder end up on one server", async () => {
    const others = [1, 2, 3].map(() => startInProcess());
    const mine = await Promise.all([start(), start(), start()]);
    const theirs = await Promise.all(others);
    const all = [...mine, ...theirs.map((other) => other.server)];
    expect(new Set(all.map((server) => server.url)).size).toBe(1);
    expect(new Set(all.map((server) => server.pid)).size).toBe(1);
    expect(all.filter((server) => !server.wasRunning)).toHaveLength(1);
    expect(await query(all[0]!.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    expect((await readdir(dataDir)).filter((name) => name.startsWith("cluster"))).toEqual(["cluster"]);
    await Promise.all(mine.map((server) => server.stop()));
    expect(isPidRunning(all[0]!.pid)).toBe(true);
    expect(await Promise.all(theirs.map(stopInProcess))).toEqual([0, 0, 0]);
    expect(isPidRunning(all[0]!.pid)).toBe(false);
  });

  test("do not join a server that is stopping, but wait for its end and start it again", async () => {
    const first = await start();
    await query(first.url, "CREATE TABLE kept AS SELECT 1 AS id");
    const open = new Client({ connectionString: first.url });
    await open.connect();
    process.kill(first.pid, "SIGTERM"); // stops when its last client is gone, and takes no new ones
    await vi.waitUntil(async () => !(await answersAsPostgres(first.port)), { timeout: waitMs });
    const before = await countRefusals();
    const next = start();
    await vi.waitUntil(async () => (await countRefusals()) >= before + 2, { timeout: waitMs }); // it asks again
    await open.end();
    const second = await next;
    expect(second.wasRunning).toBe(false);
    expect(await query(second.url, "SELECT id FROM kept")).toEqual([{ id: 1 }]);
    await first.stop();
    await second.stop();
  });

  test("are told when the server hangs", async () => {
    const first = await start();
    process.kill(first.pid, "SIGSTOP");
    await expect(start({ startTimeoutMs: 100 })).rejects.toEqual(failure(/does not answer on port/));
    process.kill(first.pid, "SIGCONT");
    await first.stop();
  });
});

describe("folders that cannot be used are refused with advice", () => {
  test("one that holds something else", async () => {
    await mkdir(dataDir);
    await writeFile(path.join(dataDir, "orders.json"), "[]");
    await expect(start()).rejects.toEqual(failure(/it holds "orders.json".*Choose an empty folder/));
    expect(await readdir(dataDir)).toEqual(["orders.json"]);
  });

  test("one that is a PostgreSQL data directory itself", async () => {
    await mkdir(dataDir);
    await writeFile(path.join(dataDir, "PG_VERSION"), "18\n");
    await expect(start()).rejects.toEqual(failure(/it is a PostgreSQL data directory itself/));
  });

  test("a file", async () => {
    await writeFile(dataDir, "");
    await expect(start()).rejects.toEqual(failure(/it is a file/));
  });

  test("a link to a folder that is gone", async () => {
    await symlink(path.join(scratch, "gone"), dataDir);
    await expect(start()).rejects.toEqual(failure(/link to a folder that is gone/));
  });

  test("the data of another major version, which stays untouched", async () => {
    await mkdir(path.join(dataDir, "cluster"), { recursive: true });
    await writeFile(path.join(dataDir, "cluster", "PG_VERSION"), "17\n");
    await expect(start()).rejects.toEqual(failure(/written by PostgreSQL 17.*pg_dump/));
    expect(await readdir(path.join(dataDir, "cluster"))).toEqual(["PG_VERSION"]);
  });

  test("data whose password is lost", async () => {
    await (await start()).stop();
    await rm(path.join(dataDir, "password"));
    await expect(start()).rejects.toEqual(failure(/password is missing/));
    serverPids.add(
      Number((await readFile(path.join(dataDir, "cluster", "postmaster.pid"), "utf8")).split("\n")[0]),
    );
  });

  test("data that does not start, with the server's own words", async () => {
    await (await start()).stop();
    await rm(path.join(dataDir, "cluster", "global"), { recursive: true });
    await expect(start()).rejects.toEqual(failure(/FATAL|could not/));
  });

  test("a place where no folder can be made", async () => {
    await writeFile(path.join(scratch, "file"), "");
    await expect(start({ dataDir: path.join(scratch, "file", "postgres") })).rejects.toEqual(
      failure(/EEXIST|ENOTDIR/),
    );
  });

  test("one that belongs to somebody else", async () => {
    await (await start()).stop();
    if (isRoot) {
      await chown(dataDir, 1, 1);
      await expect(startInProcess({ uid: nobodyId })).rejects.toThrow(/EACCES.*as the folder's owner/s);
    } else {
      await chmod(dataDir, 0o000);
      await expect(start()).rejects.toEqual(failure(/EACCES.*as the folder's owner/));
      await chmod(dataDir, 0o700);
    }
  });

  test("one where the system lets nobody write", async () => {
    await expect(start({ dataDir: "/sys/sagaz/postgres" })).rejects.toEqual(failure(/as the folder's owner/));
  });

  test("one whose owner has no name, which initdb wants (as root)", async ({ skip }) => {
    skip(!isRoot, notRoot);
    await mkdir(dataDir);
    await chown(dataDir, 12_345, 12_345);
    await expect(start()).rejects.toEqual(failure(/initdb failed.*12345.*\/etc\/passwd/s));
  });
});

test("the data is in .sagaz/postgres below the working directory unless another folder is named", async () => {
  const cwd = vi.spyOn(process, "cwd").mockReturnValue(scratch);
  try {
    const server = await startEmbeddedPostgres();
    serverPids.add(server.pid);
    expect(server.dataDir).toBe(path.join(scratch, ".sagaz", "postgres"));
    await server.stop();
  } finally {
    cwd.mockRestore();
  }
});

test("a start takes the server that came first, and another port when its own was just taken; what resists is reported", async () => {
  const server = await start();
  const folder = await openDataFolder(dataDir);
  const programs = await prepareServerPrograms({ folder: folder.path, user: folder.user, binDir: undefined });
  const second = await startServer(folder, { programs, maxConnections: 10, timeoutMs: waitMs });
  expect(second).toEqual({ pid: server.pid, port: server.port });
  // Under load a port may be taken between the look and the start.
  const other = path.join(scratch, "other");
  const otherFolder = await openDataFolder(other);
  await ensureCluster(otherFolder, programs);
  const findPort = vi.fn(findFreePort).mockResolvedValueOnce(server.port);
  const third = await startServer(otherFolder, { programs, maxConnections: 10, timeoutMs: waitMs, findPort });
  serverPids.add(third.pid);
  expect(third.port).not.toBe(server.port);
  expect(findPort).toHaveBeenCalledTimes(2);
  await stopServer(otherFolder, programs);
  await expect(stopServer(folder, { ...programs, binDir: scratch })).rejects.toEqual(
    failure(/could not be stopped/),
  );
  await server.stop();
});

test("options that make no sense are refused", async () => {
  for (const options of [{ maxConnections: 0 }, { startTimeoutMs: 1.5 }]) {
    await expect(startEmbeddedPostgres(options)).rejects.toThrow(SagaError);
    await expect(startEmbeddedPostgres(options)).rejects.toMatchObject({ code: "SAGAZ_INVALID_OPTION" });
  }
});

describe("programs", () => {
  const packaged = path.dirname(path.dirname(createRequire(import.meta.url).resolve(embeddedPackageName())));

  /** A user's project with the package as `npm ci --ignore-scripts` leaves it: without the links. */
  async function makeProject(): Promise<{ project: string; native: string }> {
    const project = path.join(scratch, "project");
    const installed = path.join(project, "node_modules", embeddedPackageName());
    await cp(packaged, installed, { recursive: true, verbatimSymlinks: true });
    const native = path.join(installed, "native");
    const links = JSON.parse(await readFile(path.join(native, "pg-symlinks.json"), "utf8")) as {
      target: string;
    }[];
    for (const { target } of links) await rm(path.join(installed, target), { force: true });
    await chmod(project, 0o755);
    return { project, native };
  }

  test("whose links npm did not make run after all", async () => {
    const { project, native } = await makeProject();
    const started = await startInProcess({ cwd: project });
    expect(existsSync(path.join(dataDir, "programs"))).toBe(false);
    expect((await lstat(path.join(native, "lib", "libpq.so.5"))).isSymbolicLink()).toBe(true);
    expect(await query(started.server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    await stopInProcess(started);
  });

  test("in a read-only node_modules run from a copy in the data folder, which is made once", async () => {
    const { project, native } = await makeProject();
    // Nothing is read-only to root: then the process runs as a user who owns none of it.
    const where = isRoot ? { cwd: project, uid: nobodyId } : { cwd: project };
    if (!isRoot) await chmod(path.join(native, "lib"), 0o555);
    await chmod(scratch, 0o777);
    const first = await startInProcess(where);
    const [copy] = (await readdir(dataDir)).filter((name) => name.startsWith("programs"));
    expect(copy).toMatch(/^programs-\d+\./);
    expect(existsSync(path.join(native, "lib", "libpq.so.5"))).toBe(false);
    const made = statSync(path.join(dataDir, copy!)).ctimeMs;
    await stopInProcess(first);
    const second = await startInProcess(where);
    expect(await query(second.server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    expect(statSync(path.join(dataDir, copy!)).ctimeMs).toBe(made);
    await stopInProcess(second);
    await chmod(path.join(native, "lib"), 0o755);
  });

  test("and data below a folder that only root may enter are kept elsewhere (as root)", async ({ skip }) => {
    skip(!isRoot, notRoot);
    const { project } = await makeProject();
    await chmod(project, 0o700);
    dataDir = path.join(project, ".sagaz", "postgres");
    const started = await Promise.all([startInProcess({ cwd: project }), startInProcess({ cwd: project })]);
    const place = await realpath(dataDir);
    try {
      expect(place).toMatch(/^\/var\/lib\/sagaz\/postgres-/);
      expect(started[0].server.pid).toBe(started[1].server.pid);
      await query(started[0].server.url, "CREATE TABLE kept AS SELECT 1 AS id");
      await Promise.all(started.map(stopInProcess));
      const again = await startInProcess({ cwd: project });
      expect(await query(again.server.url, "SELECT id FROM kept")).toEqual([{ id: 1 }]);
      await stopInProcess(again);
    } finally {
      await rm(place, { recursive: true });
    }
  });

  test("run as the data's owner when root joins in, and the owner can go on alone (as root)", async ({
    skip,
  }) => {
    skip(!isRoot, notRoot);
    const owner = 1; // daemon; initdb wants a uid that has a name
    await mkdir(dataDir, { mode: 0o700 });
    await chown(dataDir, owner, owner);
    const mine = await start();
    expect(statSync(path.join(dataDir, "cluster")).uid).toBe(owner);
    await mine.stop();
    const theirs = await startInProcess({ uid: owner }).catch((error: unknown) => String(error));
    // An owner without a name in the user list is fine: only initdb asks for one.
    if (typeof theirs === "string") throw new Error(theirs);
    expect(theirs.server.url).toBe(mine.url);
    expect(await stopInProcess(theirs)).toBe(0);
  });

  test("in a folder that has none are reported", async () => {
    await expect(start({ binDir: scratch })).rejects.toMatchObject({
      code: "SAGAZ_EMBEDDED_UNAVAILABLE",
      message: expect.stringContaining(`the programs in ${scratch} do not run here`) as string,
    });
  });
});

async function withAnswer(answer: Buffer | undefined, check: (port: number) => Promise<void>): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => (answer === undefined ? socket.end() : socket.end(answer)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await check((server.address() as { port: number }).port);
  await new Promise((resolve) => server.close(resolve));
}
const message = (letter: string, text: string) => {
  const head = Buffer.alloc(5);
  head.write(letter, "latin1");
  head.writeInt32BE(4 + text.length, 1);
  return Buffer.concat([head, Buffer.from(text, "latin1")]);
};

describe("the greeting", () => {
  test("tells a server that takes connections from one that does not yet, and from none", async () => {
    await withAnswer(message("R", "\0\0\0\x0a"), async (port) =>
      expect(await answersAsPostgres(port)).toBe(true),
    );
    const full = message("E", "SFATAL\0C53300\0Mtoo many\0\0");
    await withAnswer(full, async (port) => expect(await answersAsPostgres(port)).toBe(true));
    const starting = message("E", "SFATAL\0C57P03\0Mstarting up\0\0");
    await withAnswer(starting, async (port) => expect(await answersAsPostgres(port)).toBe(false));
    await withAnswer(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), async (port) => {
      expect(await answersAsPostgres(port)).toBe(false);
    });
    await withAnswer(undefined, async (port) => expect(await answersAsPostgres(port)).toBe(false));
    expect(await answersAsPostgres(1)).toBe(false);
  });
});
