import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const programs = path.join(import.meta.dirname, "../../../examples/python-participant");

/** How the example is asked: through a Redis, or at a port, with replies to one origin. */
type Way =
  | { readonly brokerUrl: string; readonly prefix: string }
  | { readonly port: number; readonly replyOrigin: string };

/** Where the example gets its commands from. */
export const pythonTopic = "python-inventory-commands";

/** Answers why there is no Python to be had; undefined when there is one. */
export async function whyNoPython(): Promise<string | undefined> {
  try {
    await run("python3", ["-c", "import sqlite3"]);
    return undefined;
  } catch (error) {
    return `python3 with sqlite3 is needed: ${String(error)}`;
  }
}

/** The example in Python: one database file, and one process after another on it, for a test to kill. */
export class PythonParticipant implements AsyncDisposable {
  readonly #folder: string;
  readonly #way: Way;
  #child: ChildProcess | undefined;
  #output = "";

  private constructor(folder: string, way: Way) {
    this.#folder = folder;
    this.#way = way;
  }

  static async open(way: Way): Promise<PythonParticipant> {
    const participant = new PythonParticipant(await mkdtemp(path.join(tmpdir(), "sagaz-python-")), way);
    await participant.start();
    return participant;
  }

  get output(): string {
    return this.#output;
  }

  async start(): Promise<void> {
    const way = this.#way;
    const told =
      "port" in way
        ? [path.join(programs, "over-http.py"), this.#file, String(way.port), way.replyOrigin]
        : [path.join(programs, "participant.py"), this.#file, new URL(way.brokerUrl).host, way.prefix];
    // -B: nothing compiled is left beside the example.
    const child = spawn("python3", ["-B", ...told], { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text) => (this.#output += String(text)));
    const exited = once(child, "exit");
    const [word] = (await Promise.race([once(child.stdout, "data"), exited])) as [unknown];
    if (!String(word).startsWith("ready")) throw new Error(`It ended before it was ready:\n${this.#output}`);
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  get #file(): string {
    return path.join(this.#folder, "inventory.sqlite");
  }

  /** Rows of its database. */
  async rows(sql: string, values: readonly string[] = []): Promise<unknown[][]> {
    const script =
      "import json, sqlite3, sys; print(json.dumps(sqlite3.connect(sys.argv[1], timeout=30).execute(sys.argv[2], sys.argv[3:]).fetchall()))";
    const { stdout } = await run("python3", ["-c", script, this.#file, sql, ...values], { maxBuffer: 1e8 });
    return JSON.parse(stdout) as unknown[][];
  }

  /** How many times an effect was done, and undone. */
  async effects(effect: string): Promise<{ readonly done: number; readonly undone: number }> {
    const rows = await this.rows("select direction from effects where effect = ?", [effect]);
    const count = (direction: string) => rows.filter(([one]) => one === direction).length;
    return { done: count("do"), undone: count("undo") };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
