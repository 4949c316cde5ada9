import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";

/** What a process that runs sagas is told. */
export interface WorkerOptions {
  readonly name: string;
  readonly engineUrl: string;
  /** The way to the participants' tables; the engine's if not set. */
  readonly shopUrl?: string;
  readonly leaseMs?: number;
  readonly sagasInFlightMax?: number;
}

/** A worker in a process of its own, for a test to kill, stop, freeze and thaw. */
export class WorkerProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #output = "";
  #lastWord: unknown;

  constructor(program: string, options: { readonly name: string }) {
    this.name = options.name;
    this.#child = fork(program, [JSON.stringify(options)], {
      execArgv: [],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (text) => (this.#output += String(text)));
    this.#child.on("message", (word) => (this.#lastWord = word));
    this.#exited = once(this.#child, "exit");
  }

  /** Waits until it is at work. */
  async ready(): Promise<this> {
    const [word] = (await Promise.race([once(this.#child, "message"), this.#exited])) as [unknown];
    if (word !== "ready") throw new Error(`${this.name} ended before it was ready:\n${this.#output}`);
    return this;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Null while it runs, and when a signal has ended it. */
  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** What it has printed. */
  get output(): string {
    return this.#output;
  }

  /** The last message that it has sent: "ready", or what it has to say at its end. */
  get lastWord(): unknown {
    return this.#lastWord;
  }

  /** Waits until it has ended by itself. */
  async died(): Promise<void> {
    await this.#exited;
  }

  /** `kill -9`: no handler runs, nothing is handed over. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  /** SIGTERM: it hands back what it has and ends. Answers its exit status. */
  async stop(): Promise<number | null> {
    this.#child.kill("SIGTERM");
    await this.#exited;
    return this.#child.exitCode;
  }

  /** SIGSTOP: it stands still between two instructions and knows nothing of it. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  /** SIGCONT. */
  thaw(): void {
    this.#child.kill("SIGCONT");
  }
}
