import { SagaError } from "../../core/errors.ts";
import { breaksConnection, toSagaError, type Circumstances } from "./errors.ts";
import type { PgConnection, PgPool, PgResult } from "./pool.ts";

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

  /** As {@link run}, with the whole answer. */
  async send({ text, values }: Statement, circumstances: Circumstances): Promise<PgResult> {
    if (!this.isUsable) throw toSagaError(new Error("the connection is closed"), { commits: false });
    try {
      const query = this.client.query({ text, values: [...(values ?? [])], types: rawText });
      return await within(query, this.#limits.writeTimeoutMs, "no answer");
    } catch (error) {
      if (breaksConnection(error)) this.destroy();
      throw toSagaError(error, circumstances);
    }
  }

  /** Gives it back to the pool, which closes it if it is broken. Safe twice. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
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
}

/** A connection of its own for one kind of work: checked out once, opened anew by the next call after it was lost. */
export class Lane {
  #current: OpenConnection | undefined;
  #opening: Promise<OpenConnection> | undefined;
  #failures = 0;
  #isClosed = false;
  readonly #pool: PgPool;
  readonly #limits: ConnectionLimits;

  constructor(pool: PgPool, limits: ConnectionLimits) {
    this.#pool = pool;
    this.#limits = limits;
  }

  /** Runs one statement in a transaction of its own. */
  async run(statement: Statement, circumstances: Circumstances): Promise<readonly TextRow[]> {
    const connection = await this.#open();
    return connection.run(statement, circumstances);
  }

  /** Gives the connection back. A later call opens another. */
  close(): void {
    this.#isClosed = true;
    this.#current?.release();
    this.#current = undefined;
  }

  /** Allows calls again after {@link close}. */
  reopen(): void {
    this.#isClosed = false;
  }

  async #open(): Promise<OpenConnection> {
    if (this.#isClosed) throw new SagaError("SAGAZ_STOPPED", { what: "storage" });
    if (this.#current?.isUsable === true) return this.#current;
    this.#current?.release();
    this.#current = undefined;
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #connect(): Promise<OpenConnection> {
    // Whoever calls in a loop while the server is away waits a little longer each time.
    if (this.#failures > 0) await pause(Math.min(10 * 2 ** this.#failures, 1_000));
    try {
      const connection = await connect(this.#pool, this.#limits);
      this.#failures = 0;
      if (this.#isClosed) {
        connection.release();
        throw new SagaError("SAGAZ_STOPPED", { what: "storage" });
      }
      this.#current = connection;
      return connection;
    } catch (error) {
      this.#failures += 1;
      throw error;
    }
  }
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs);
  });
}

/** Waits for a promise, but not for ever. */
async function within<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
