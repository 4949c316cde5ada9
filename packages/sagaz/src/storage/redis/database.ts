import { createHash } from "node:crypto";
import { SagaError } from "../../core/errors.ts";
import type { RedisStorageClient } from "./client.ts";
import { isAnswer, toSagaError } from "./errors.ts";
import { Line } from "./line.ts";
import { Replicas, type ReplicasWanted } from "./replicas.ts";

/** What a {@link Database} is made of. */
export interface DatabaseOptions {
  readonly client: RedisStorageClient;
  /** With it the names of all keys begin. */
  readonly tag: string;
  readonly answerTimeoutMs: number;
  readonly replicas: ReplicasWanted | undefined;
  /** In place of Redis' clock. */
  readonly now: (() => number) | undefined;
  /** The connection was lost, and there is another one: perhaps to another server. */
  readonly onReopened: () => void;
}

/** A call of a script: what it is asked, and the texts that it stores as they are. */
export interface ScriptCall {
  readonly script: string;
  readonly request: object;
  readonly texts?: readonly string[];
}

/** Redis, as the stores use it: scripts that run whole, and plain reads. */
export class Database {
  readonly tag: string;
  readonly #options: DatabaseOptions;
  readonly #hashes = new Map<string, string>();
  #line: Line | undefined;
  #replicas: Replicas | undefined;
  #isStopped = false;

  constructor(options: DatabaseOptions) {
    this.tag = options.tag;
    this.#options = options;
  }

  get client(): RedisStorageClient {
    return this.#options.client;
  }

  get answerTimeoutMs(): number {
    return this.#options.answerTimeoutMs;
  }

  /** @throws SagaError `SAGAZ_STORAGE_UNAVAILABLE`, `SAGAZ_STORAGE_READ_ONLY`. */
  async open(): Promise<void> {
    const line = new Line(this.#options.client, this.#options);
    await line.open();
    const { replicas } = this.#options;
    this.#line = line;
    this.#replicas = replicas && new Replicas(line, replicas);
    this.#isStopped = false;
  }

  close(): void {
    if (this.#line) this.#isStopped = true;
    this.#line?.close();
    this.#line = undefined;
  }

  /** A script that changes nothing. */
  async look<Answer>(call: ScriptCall): Promise<Answer> {
    return (await this.#run(call, false)) as Answer;
  }

  /** A script that changes something which can be found out, or done again, after a failover has lost it. */
  async write<Answer>(call: ScriptCall): Promise<Answer> {
    return (await this.#run(call, true)) as Answer;
  }

  /**
   * A script whose writes must be on as many replicas as are wanted before it counts.
   *
   * @throws SagaError `SAGAZ_COMMIT_IN_DOUBT` when they are not, in time: it is written, but a failover may lose it.
   */
  async keep<Answer>(call: ScriptCall): Promise<Answer> {
    return this.#reached(this.write<Answer>(call), "SAGAZ_COMMIT_IN_DOUBT");
  }

  /** A look that tells of nothing which a failover may still lose: what it saw is on the replicas that are wanted. */
  async lookSafely<Answer>(call: ScriptCall): Promise<Answer> {
    return this.#reached(this.look<Answer>(call), "SAGAZ_STORAGE_UNAVAILABLE");
  }

  /** A plain command that reads. Its key comes without the tag. */
  async read<Answer>(command: string, key: string, ...args: readonly (string | number)[]): Promise<Answer> {
    return (await this.command(command, [`${this.tag}:${key}`, ...args])) as Answer;
  }

  /** Any command that reads. */
  async command(command: string, args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await this.#opened().call(command, args, false);
    } catch (error) {
      throw toSagaError(error, { writes: false, wasSent: true });
    }
  }

  async #run({ script, request, texts = [] }: ScriptCall, writes: boolean): Promise<unknown> {
    const line = this.#opened();
    const now = this.#options.now?.() ?? "";
    const args = [1, this.tag, now, JSON.stringify(request), line.id, line.number, ...texts];
    try {
      return await line.call("EVALSHA", [this.#hashOf(script), ...args], writes).catch((error: unknown) => {
        // It has not run: the server does not know it, or has forgotten it.
        if (isAnswer(error) && error.message.startsWith("NOSCRIPT"))
          return line.call("EVAL", [script, ...args], writes);
        throw error;
      });
    } catch (error) {
      throw toSagaError(error, { writes, wasSent: true });
    }
  }

  /** Replicas are waited for after the answer: a script that the server did not know was sent twice. */
  async #reached<Answer>(
    answer: Promise<Answer>,
    otherwise: "SAGAZ_COMMIT_IN_DOUBT" | "SAGAZ_STORAGE_UNAVAILABLE",
  ): Promise<Answer> {
    const number = this.#line?.number ?? 0;
    const answered = await answer;
    await this.#replicas?.reach(number, otherwise);
    return answered;
  }

  #hashOf(script: string): string {
    let hash = this.#hashes.get(script);
    if (hash === undefined)
      this.#hashes.set(script, (hash = createHash("sha1").update(script).digest("hex")));
    return hash;
  }

  #opened(): Line {
    if (this.#line) return this.#line;
    throw new SagaError(this.#isStopped ? "SAGAZ_STOPPED" : "SAGAZ_NOT_STARTED", { what: "storage" });
  }
}
