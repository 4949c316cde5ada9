import { spawnSync } from "node:child_process";
import { appendFile, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findFreePort } from "./free-port.ts";
import { prepareServerPrograms } from "../../packages/sagaz/src/storage/embedded/server-programs.ts";
import { findInstalledPostgres } from "./postgres-binaries.ts";
import {
  createDatabase,
  createTemplate,
  type TestDatabase,
  type TestDatabaseOptions,
} from "./postgres-databases.ts";
import { makeScratchFolder, removeScratchFolder, serverUser } from "./scratch-folder.ts";
import { listChildPids, startServerProcess, type ServerProcess } from "./server-process.ts";
import { waitUntil } from "./wait-until.ts";

/** The environment variable that names a running server to use instead of starting one. */
export const postgresUrlVariable = "SAGAZ_TEST_POSTGRES_URL";

const startTriesMax = 5;
const restartTriesMax = 50;
const readyMsMax = 30_000;

/** What a test or benchmark wants of its PostgreSQL. */
export interface PostgresOptions {
  /** True starts a server of our own even when the environment names one: fault tests kill and freeze it. */
  readonly own?: boolean;
  /** False for tests that do not look at durability; true (the default) for benchmarks and crash tests. */
  readonly fsync?: boolean;
  readonly maxConnections?: number;
  /** More settings, passed as `-c name=value`. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** A server of our own whose standby this one is, until `pg_promote()`; it calls itself `standby` there. */
  readonly standbyOf?: TestPostgres;
  /** The server programs: a folder, or `"embedded"` for the npm package's even where others are installed. */
  readonly binDir?: string;
}

/** Settings of a server whose log is read in tests: each reader has a slot, and a process of the server that sends. */
export const logicalSettings = { wal_level: "logical", max_replication_slots: 30, max_wal_senders: 30 };

/** A PostgreSQL for tests: a scratch server of our own, or the one the environment names (then `isOwn` is false). */
export interface TestPostgres {
  /** Superuser URL of the maintenance database `postgres` (or of the database the environment names). */
  readonly url: string;
  readonly port: number;
  readonly isOwn: boolean;
  readonly dataDir: string;
  readonly binDir: string;
  /** The pid of the server now running; it changes with every restart. */
  readonly pid: number;
  /** A database of its own for one test file. */
  createDatabase(options?: TestDatabaseOptions): Promise<TestDatabase>;
  /** A template made once for all test files of a run; see `createTemplate`. */
  createTemplate(name: string, prepare: (url: string) => Promise<void>): Promise<string>;
  /** Starts it again on the same data and port: after a clean shutdown if it still runs, else with crash recovery. */
  restart(): Promise<void>;
  /** kill -9 of the server and all its processes, like a power cut of the database machine. */
  kill(): Promise<void>;
  /** Freezes all its processes: connections stay open and nothing answers. */
  pause(): Promise<void>;
  /** Lets frozen processes go on. */
  resume(): Promise<void>;
  /** Stops it and removes its data; safe twice, and when it was killed. Leaves a server that is not ours alone. */
  stop(): Promise<void>;
  /** What the server has logged. */
  log(): string;
}

/**
 * Gives a real PostgreSQL: the one the environment names, else a scratch server from installed programs, else
 * from the embedded npm package.
 *
 * A scratch server listens on 127.0.0.1 only, on a free port below 32768, without a password (`trust`), and stops
 * by itself when our process ends in whatever way.
 *
 * @throws Error with the server's log when it does not start, or when no PostgreSQL can be found.
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<TestPostgres> {
  const external = process.env[postgresUrlVariable];
  if (external !== undefined && external !== "" && options.own !== true) return useExternal(external);
  const server = new ScratchPostgres(await makeScratchFolder("postgres"), options);
  await server.create();
  return server;
}

class ScratchPostgres implements TestPostgres {
  readonly isOwn = true;
  readonly dataDir: string;
  binDir = "";
  port = 0;
  #process: ServerProcess | undefined;
  #frozen: number[] = [];
  readonly #scratch: string;
  readonly #options: PostgresOptions;

  constructor(scratch: string, options: PostgresOptions) {
    this.#scratch = scratch;
    this.#options = options;
    this.dataDir = path.join(scratch, "data");
  }

  get url(): string {
    return `postgres://sagaz@127.0.0.1:${this.port}/postgres`;
  }

  get pid(): number {
    return this.#running().pid;
  }

  async create(): Promise<void> {
    try {
      this.binDir = await this.#findBinDir();
      await this.#makeData();
      await this.#startOnFreePort();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  createDatabase(options?: TestDatabaseOptions): Promise<TestDatabase> {
    return createDatabase(this.url, options);
  }

  createTemplate(name: string, prepare: (url: string) => Promise<void>): Promise<string> {
    return createTemplate(this.url, name, prepare);
  }

  async restart(): Promise<void> {
    await this.resume();
    await this.#process?.stop(["SIGINT", "SIGQUIT"]);
    // Right after a kill the old server's shared memory may not be free yet: that alone is worth another try.
    for (let tries = 1; ; tries += 1) {
      const seen = this.log().length;
      await this.#launch();
      if (await this.#becomesReady()) return;
      const mayPass = this.log().slice(seen).includes("pre-existing shared memory block");
      if (!mayPass || tries === restartTriesMax)
        throw new Error(`PostgreSQL did not restart:\n${this.log()}`);
      await delay(100);
    }
  }

  async kill(): Promise<void> {
    const server = this.#running();
    const children = await listChildPids(server.pid);
    server.signal("SIGKILL");
    signalAll(children, "SIGKILL");
    await server.exited;
    this.#frozen = [];
  }

  async pause(): Promise<void> {
    const server = this.#running();
    // First the server itself: once it stands still, no new process can be born behind our back.
    server.signal("SIGSTOP");
    this.#frozen = await listChildPids(server.pid);
    signalAll(this.#frozen, "SIGSTOP");
  }

  async resume(): Promise<void> {
    signalAll(this.#frozen, "SIGCONT");
    this.#frozen = [];
    this.#process?.signal("SIGCONT");
  }

  async stop(): Promise<void> {
    await this.resume();
    // The data is thrown away, so there is no point in waiting for a last checkpoint.
    await this.#process?.stop(["SIGQUIT"], 5_000);
    await removeScratchFolder(this.#scratch);
  }

  log(): string {
    return this.#process?.log() ?? "";
  }

  #running(): ServerProcess {
    if (this.#process === undefined || this.#process.hasExited())
      throw new Error("The PostgreSQL is not running.");
    return this.#process;
  }

  async #findBinDir(): Promise<string> {
    const wanted = this.#options.binDir ?? findInstalledPostgres();
    if (wanted !== undefined && wanted !== "embedded") return wanted;
    const search = { folder: this.#scratch, user: serverUser(), binDir: undefined };
    return (await prepareServerPrograms(search)).binDir;
  }

  async #makeData(): Promise<void> {
    const { standbyOf } = this.#options;
    if (standbyOf) return this.#copyData(standbyOf);
    const options = ["-U", "sagaz", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
    this.#run(path.join(this.binDir, "initdb"), ["-D", this.dataDir, ...options]);
  }

  /**
   * Copies the primary's files while it stands still: what a crash at that moment would leave. The npm package's programs
   * are not enough for a backup.
   */
  async #copyData(primary: TestPostgres): Promise<void> {
    await primary.pause();
    try {
      this.#run("cp", ["-Rp", primary.dataDir, this.dataDir]);
    } finally {
      await primary.resume();
    }
    await rm(path.join(this.dataDir, "postmaster.pid"));
    await writeFile(path.join(this.dataDir, "standby.signal"), "");
    const where = `host=127.0.0.1 port=${primary.port} user=sagaz application_name=standby`;
    await appendFile(path.join(this.dataDir, "postgresql.auto.conf"), `primary_conninfo = '${where}'\n`);
  }

  #run(program: string, args: readonly string[]): void {
    const result = spawnSync(program, args, {
      cwd: this.#scratch,
      encoding: "utf8",
      timeout: 60_000,
      env: { PATH: process.env["PATH"], LC_ALL: "C" },
      ...serverUser(),
    });
    if (result.status === 0) return;
    throw new Error(`${program} failed: ${result.stderr ?? ""}`, {
      cause: result.error ?? `status ${result.status}`,
    });
  }

  async #startOnFreePort(): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      this.port = await findFreePort();
      await this.#launch();
      if (await this.#becomesReady()) return;
      const wasTaken = this.log().includes("Address already in use");
      if (!wasTaken || tries === startTriesMax) throw new Error(`PostgreSQL did not start:\n${this.log()}`);
    }
  }

  async #launch(): Promise<void> {
    this.#process = await startServerProcess({
      command: path.join(this.binDir, "postgres"),
      args: ["-D", this.dataDir, ...this.#settings().flatMap((setting) => ["-c", setting])],
      cwd: this.#scratch,
      logFile: path.join(this.#scratch, "postgres.log"),
      scratchFolder: this.#scratch,
    });
  }

  #settings(): string[] {
    const isDurable = this.#options.fsync ?? true;
    const settings = {
      port: this.port,
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
      max_connections: this.#options.maxConnections ?? 100,
      fsync: isDurable,
      full_page_writes: isDurable,
      synchronous_commit: isDurable,
      ...this.#options.settings,
    };
    return Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  }

  /** True when it accepts connections, false when it has ended instead. */
  async #becomesReady(): Promise<boolean> {
    const server = this.#process as ServerProcess;
    const answer = await waitUntil(
      "PostgreSQL is ready",
      async () => {
        if (server.hasExited()) return "ended";
        // The pid file of a killed predecessor may also say "ready": it counts only with our own pid in it.
        const lines = await readFile(path.join(this.dataDir, "postmaster.pid"), "utf8").catch(() => "");
        const [pid, , , , , , , status] = lines.split("\n");
        const isReady = ["ready", "standby"].includes(status?.trim() ?? "");
        return Number(pid) === server.pid && isReady ? "ready" : undefined;
      },
      { withinMs: readyMsMax },
    );
    return answer === "ready";
  }
}

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended by itself in the meantime.
    }
  }
}

function useExternal(url: string): TestPostgres {
  const port = Number(new URL(url).port || 5432);
  return {
    url,
    port,
    isOwn: false,
    get dataDir(): string {
      return refuse();
    },
    get binDir(): string {
      return refuse();
    },
    get pid(): number {
      return refuse();
    },
    createDatabase: (options) => createDatabase(url, options),
    createTemplate: (name, prepare) => createTemplate(url, name, prepare),
    restart: refuse,
    kill: refuse,
    pause: refuse,
    resume: refuse,
    stop: async () => {},
    log: refuse,
  };
}

function refuse(): never {
  throw new Error(`The server in ${postgresUrlVariable} is not ours; ask for { own: true } to break one.`);
}
