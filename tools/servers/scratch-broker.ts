import { findFreePort } from "./free-port.ts";
import { makeScratchFolder, removeScratchFolder } from "./scratch-folder.ts";
import {
  listChildPids,
  startServerProcess,
  type ServerCommand,
  type ServerProcess,
} from "./server-process.ts";
import { waitUntil } from "./wait-until.ts";

const startTriesMax = 5;
const readyMsMax = 60_000;

/** A broker for tests: a scratch server of our own, or the one the environment names (then `isOwn` is false). */
export interface TestBroker {
  /** What a client connects to, with the credentials in it; Kafka's is `host:port`. */
  readonly url: string;
  readonly port: number;
  readonly isOwn: boolean;
  /** The pid of the server now running; it changes with every restart. */
  readonly pid: number;
  /** Starts it again on the same data and port: after a clean shutdown if it still runs, else as after a crash. */
  restart(): Promise<void>;
  /** kill -9, like a power cut of the broker's machine, except that what it gave to the kernel is kept. */
  kill(): Promise<void>;
  /** Freezes it: connections stay open and nothing answers. */
  pause(): Promise<void>;
  /** Lets a frozen broker go on. */
  resume(): Promise<void>;
  /** Stops it and removes its data; safe twice, and when it was killed. Leaves a server that is not ours alone. */
  stop(): Promise<void>;
  /** What the server has logged, all its lives together. */
  log(): string;
}

/** Where a broker lives. */
export interface BrokerPlace {
  /** An empty folder that the server's user owns. */
  readonly folder: string;
  /** A free port of 127.0.0.1 below 32768; another one each time. */
  takePort(): Promise<number>;
}

/** How a broker that has been laid out in its place is run, now and at each restart. */
export interface BrokerLaunch extends Pick<ServerCommand, "command" | "args" | "env"> {
  readonly url: string;
  readonly port: number;
  /** True when clients are served; `log` is what it has written since it was launched. */
  readonly isReady: (log: string) => Promise<boolean>;
  /** A process that it needs beside it, and that lives on over its restarts. */
  readonly companion?: ServerProcess;
}

/** A kind of broker. */
export interface BrokerRecipe {
  /** As messages call it. */
  readonly title: string;
  /** Writes what the server needs into its folder. */
  prepare(place: BrokerPlace): Promise<BrokerLaunch>;
}

/**
 * Starts a broker in a scratch folder, as an unprivileged user. It stops by itself when our process ends in whatever way.
 *
 * @throws Error with its log when it does not start.
 */
export async function startScratchBroker(recipe: BrokerRecipe): Promise<TestBroker> {
  for (let tries = 1; ; tries += 1) {
    const folder = await makeScratchFolder(recipe.title.toLowerCase());
    const broker = new ScratchBroker(recipe, folder);
    try {
      await broker.create();
      return broker;
    } catch (error) {
      // Between finding a port and taking it another program may have been faster: that alone is worth another try.
      const wasTaken = /address already in use|eaddrinuse/i.test(broker.log());
      await broker.stop();
      if (!wasTaken || tries === startTriesMax) throw error;
    }
  }
}

class ScratchBroker implements TestBroker {
  readonly isOwn = true;
  #launch: BrokerLaunch | undefined;
  #process: ServerProcess | undefined;
  #frozen: number[] = [];
  readonly #recipe: BrokerRecipe;
  readonly #folder: string;

  constructor(recipe: BrokerRecipe, folder: string) {
    this.#recipe = recipe;
    this.#folder = folder;
  }

  get url(): string {
    return this.#laidOut().url;
  }

  get port(): number {
    return this.#laidOut().port;
  }

  get pid(): number {
    return this.#running().pid;
  }

  async create(): Promise<void> {
    this.#launch = await this.#recipe.prepare({ folder: this.#folder, takePort: toPortTaker() });
    await this.#start();
  }

  async restart(): Promise<void> {
    await this.resume();
    await this.#process?.stop(["SIGTERM"], 30_000);
    await this.#start();
  }

  async kill(): Promise<void> {
    await this.#kill(this.#running());
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
    // The data is thrown away, so there is no point in an orderly shutdown, which takes seconds.
    if (this.#process?.hasExited() === false) await this.#kill(this.#process);
    await this.#launch?.companion?.stop(["SIGKILL"]);
    await removeScratchFolder(this.#folder);
  }

  log(): string {
    return this.#process?.log() ?? "";
  }

  async #kill(server: ServerProcess): Promise<void> {
    const children = await listChildPids(server.pid);
    server.signal("SIGKILL");
    signalAll(children, "SIGKILL");
    await server.stop([]); // nothing but this wait keeps our own process alive
    this.#frozen = [];
  }

  #laidOut(): BrokerLaunch {
    if (this.#launch === undefined) throw new Error(`${this.#recipe.title} has not been prepared.`);
    return this.#launch;
  }

  #running(): ServerProcess {
    if (this.#process === undefined || this.#process.hasExited())
      throw new Error(`${this.#recipe.title} is not running.`);
    return this.#process;
  }

  async #start(): Promise<void> {
    const { command, args, env = {}, isReady } = this.#laidOut();
    const seen = this.log().length;
    const server = await startServerProcess({
      command,
      args,
      env,
      cwd: this.#folder,
      logFile: toLogFile(this.#folder),
      scratchFolder: this.#folder,
      guardSignal: "KILL",
    });
    this.#process = server;
    const answer = await waitUntil(
      `${this.#recipe.title} is ready`,
      async () => {
        if (server.hasExited()) return "ended";
        return (await isReady(server.log().slice(seen))) && "ready";
      },
      { withinMs: readyMsMax, everyMs: 25 },
    );
    if (answer === "ended") throw new Error(`${this.#recipe.title} did not start:\n${server.log()}`);
  }
}

/** The file that a broker, and what it needs beside it, writes to. */
export function toLogFile(folder: string): string {
  return `${folder}/broker.log`;
}

function toPortTaker(): () => Promise<number> {
  const taken = new Set<number>();
  return async function takePort() {
    const port = await findFreePort();
    if (taken.has(port)) return takePort();
    taken.add(port);
    return port;
  };
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
