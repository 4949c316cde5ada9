import { isSagaError, SagaError } from "../../core/errors.ts";
import { need } from "../../core/must.ts";
import { copyOut } from "./copy-out.ts";
import { breaksConnection, isFarewell, toSagaError, type Circumstances } from "./errors.ts";
import type { PgConnection, PgPool, PgQuery, PgResult } from "./pool.ts";

/** Bounds of waiting, in milliseconds. */
export interface ConnectionLimits {
  readonly connectTimeoutMs: number;
  /** After this a statement's connection counts as dead, and a commit as in doubt. */
  readonly writeTimeoutMs: number;
}

/** A statement with its values. */
export interface Statement {
  readonly text: string;
  readonly values?: readonly unknown[];
}

/** A row as the server sent it: text or null. */
export type TextRow = Readonly<Record<string, string | null>>;

const NONE: readonly unknown[] = [];
const rawText = { getTypeParser: () => (value: string) => value };

/** Opens a connection from the pool, or says in time that there is none. */
export async function connect(pool: PgPool, limits: ConnectionLimits): Promise<OpenConnection> {
  const opening = pool.connect();
  try {
    const client = await within(opening, limits.connectTimeoutMs, "no connection");
    return new OpenConnection(client, limits);
  } catch (error) {
    // It may still come: then nobody waits for it any more.
    opening.then(
      (late) => late.release(),
      () => {},
    );
    throw toSagaError(error, { commits: false });
  }
}

/** A connection in our hands. Once it is broken, or given back, it answers nothing any more. */
export class OpenConnection {
  #isBroken = false;
  #isReleased = false;
  #isHeld = false;
  #waiting = 0;
  /** Statements under way or waiting for their turn, and when the last of them has settled. */
  #calls = 0;
  #settled: Promise<unknown> = Promise.resolve();
  readonly client: PgConnection;
  readonly #limits: ConnectionLimits;
  readonly #onError = () => {
    this.#isBroken = true;
  };

  constructor(client: PgConnection, limits: ConnectionLimits) {
    this.client = client;
    this.#limits = limits;
    client.on("error", this.#onError);
  }

  /** True when it can take another statement. */
  get isUsable(): boolean {
    return !this.#isBroken && !this.#isReleased;
  }

  /** Runs one statement; values come back as text. Throws what the port promises. */
  async run(statement: Statement, circumstances: Circumstances): Promise<readonly TextRow[]> {
    return (await this.send(statement, circumstances)).rows as readonly TextRow[];
  }

  /** Runs several statements that travel as one text, and answers the rows of the last. */
  async runLast(text: string, circumstances: Circumstances): Promise<readonly TextRow[]> {
    const answers = (await this.send({ text }, circumstances)) as PgResult | readonly PgResult[];
    const last = Array.isArray(answers) ? (answers as readonly PgResult[]).at(-1) : undefined;
    return need(last, "several statements have an answer each").rows as readonly TextRow[];
  }

  /** As {@link run}, with the whole answer. */
  send({ text, values = NONE }: Statement, circumstances: Circumstances): Promise<PgResult> {
    return this.#ask(() => this.client.query({ text, values: [...values], types: rawText }), circumstances);
  }

  /** Runs a `COPY … TO STDOUT`, and answers what it brings. Throws as {@link run}. */
  copyOut(text: string, circumstances: Circumstances): Promise<readonly Buffer[]> {
    return this.#ask(() => copyOut(this.client, text), circumstances);
  }

  async #ask<T>(call: () => Promise<T>, circumstances: Circumstances): Promise<T> {
    this.#mustBeUsable();
    this.#stayAwake();
    try {
      const query = this.#inTurn(() => this.#watch(call()));
      const { lockMs = 0, limitMs = this.#limits.writeTimeoutMs } = circumstances;
      return await within(query, limitMs + lockMs, "no answer");
    } catch (error) {
      if (isSagaError(error)) throw error;
      if (breaksConnection(error)) this.destroy();
      throw toSagaError(error, circumstances);
    } finally {
      this.#mayRest();
    }
  }

  /** Runs a query of the user's, in its turn, as the driver does. */
  pass(query: PgQuery): Promise<PgResult> {
    return this.#inTurn(() =>
      this.client.query(query).catch((error: unknown) => {
        if (isFarewell(error)) this.#isBroken = true;
        throw error;
      }),
    );
  }

  /** That the connection broke is known before the next in turn is sent. */
  #watch<T>(answer: Promise<T>): Promise<T> {
    return answer.catch((error: unknown) => {
      if (breaksConnection(error)) this.#isBroken = true;
      throw error;
    });
  }

  /** Calls when all calls before have settled: `pg` 9 will not queue statements any more. */
  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const settled = this.#calls === 0 ? call() : this.#settled.then(() => this.#ifUsable(call));
    this.#calls += 1;
    const done = () => {
      this.#calls -= 1;
    };
    this.#settled = settled.then(done, done);
    return settled;
  }

  /** What was never sent was not written, whatever became of the statements before it. */
  #ifUsable<T>(call: () => Promise<T>): Promise<T> {
    this.#mustBeUsable();
    return call();
  }

  #mustBeUsable(): void {
    if (!this.isUsable) throw toSagaError(new Error("the connection is closed"), { commits: false });
  }

  /**
   * Keeps it for long. While it waits for nothing it does not keep the process alive: whether there is something left
   * to do is for the runtime's clock to say.
   */
  hold(): void {
    this.#isHeld = true;
    this.client.unref?.();
  }

  /** Gives it back to the pool, which closes it if it is broken. Safe twice. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    if (this.#isHeld) this.client.ref?.();
    // A closed connection may still report its end: the listener stays with it.
    if (!this.#isBroken) this.client.removeListener("error", this.#onError);
    this.client.release(this.#isBroken);
  }

  /** Closes it at once, without the farewell that would wait for an answer of a dead peer. */
  destroy(): void {
    this.#isBroken = true;
    const { connection } = this.client as { connection?: { stream?: { destroy?: () => void } } };
    connection?.stream?.destroy?.();
    this.release();
  }

  #stayAwake(): void {
    this.#waiting += 1;
    if (this.#isHeld && this.#waiting === 1) this.client.ref?.();
  }

  #mayRest(): void {
    this.#waiting -= 1;
    if (this.#isHeld && this.#waiting === 0 && !this.#isReleased) this.client.unref?.();
  }
}

/**
 * Commits, and checks that it was one: after a failed statement the server answers COMMIT with ROLLBACK.
 *
 * @throws SagaError `SAGAZ_STORAGE_REFUSED` then, `SAGAZ_COMMIT_IN_DOUBT` when the answer is lost.
 */
export async function commit(connection: OpenConnection): Promise<void> {
  const { command } = await connection.send({ text: "commit" }, { commits: true });
  if (command === "COMMIT") return;
  throw new SagaError("SAGAZ_STORAGE_REFUSED", {
    message: "the transaction was rolled back, because a statement in it had failed",
  });
}

/** Rolls back if the connection still answers; otherwise the server does it by itself. */
export async function rollBack(connection: OpenConnection): Promise<void> {
  if (!connection.isUsable) return;
  await connection.run({ text: "rollback" }, { commits: false }).catch(() => {
    connection.destroy();
  });
}

/** Waits for a promise, but not for ever. */
export function within<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} within ${timeoutMs} ms`)), timeoutMs);
    promise.finally(() => clearTimeout(timer)).then(resolve, reject);
  });
}
