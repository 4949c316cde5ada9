import { SagaError } from "../../core/errors.ts";
import type { HeldDefinition, StartRow } from "../../ports/storage.ts";
import {
  commit,
  connect,
  rollBack,
  type ConnectionLimits,
  type OpenConnection,
  type Statement,
  type TextRow,
} from "./connection.ts";
import { timeValue } from "./binary-arrays.ts";
import { Gate } from "./gate.ts";
import { Lane } from "./lane.ts";
import { connectionsHeld, poolSizeOf, type PgPool } from "./pool.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";
import { renderSql, type Sql } from "./render-sql.ts";

/** How long a write of a lost connection is waited for. */
const settleMs = 2_000;

/** What the storage and its parts agree on. */
export interface DatabaseOptions extends ConnectionLimits {
  readonly pool: PgPool;
  readonly schema: string;
  readonly idSkewMsMax: number;
  readonly now: (() => number) | undefined;
}

/** The pool with our statements, our clock, and the connections that some work has for itself. */
export class Database {
  readonly pool: PgPool;
  readonly schema: string;
  readonly limits: ConnectionLimits;
  /** Statements with the schema's name filled in. */
  readonly sql: Sql;
  /** The journal writer's: it has two writes under way at a time. */
  readonly writers: readonly [Lane, Lane];
  readonly heart: Lane;
  readonly starts: Lane;
  /** Transactions of steps keep a connection each: as many at a time as leave one to read with. */
  readonly transactions: Gate;
  /** The lease of this process's worker, in milliseconds: no transaction of ours may lie idle for longer. */
  leaseMs = 30_000;
  /** Milliseconds that the database's clock is ahead of this machine's. */
  #offsetMs: number | undefined;
  /** The latest time that was written or read here. */
  #floorMs = 0;
  #state: "new" | "started" | "stopped" = "new";
  /** Versions, by the saga's name. */
  readonly #knownDefinitions = new Map<string, Set<number>>();
  readonly #idSkewMsMax: number;
  readonly #now: (() => number) | undefined;

  constructor(options: DatabaseOptions) {
    this.pool = options.pool;
    this.schema = options.schema;
    this.limits = { connectTimeoutMs: options.connectTimeoutMs, writeTimeoutMs: options.writeTimeoutMs };
    this.#idSkewMsMax = options.idSkewMsMax;
    this.#now = options.now;
    this.sql = renderSql(options.schema);
    const open = () => this.open();
    this.writers = [new Lane(open), new Lane(open)];
    this.heart = new Lane(open);
    this.starts = new Lane(open);
    this.transactions = new Gate(Math.max(1, poolSizeOf(options.pool) - connectionsHeld - 1));
  }

  /** The parameter `:now`: null lets the database take its own clock. */
  now(): string | null {
    return this.#now === undefined ? null : toTime(this.#now());
  }

  /** No event is written with an earlier time: a journal does not go back, also when the clock does. */
  floor(): Buffer | null {
    return this.#floorMs === 0 ? null : timeValue(this.#floorMs);
  }

  /** Takes note of a time of the database that has just been read, and so of how far our clocks are apart. */
  noteNow(now: number): void {
    this.#offsetMs = now - Date.now();
  }

  /** Takes note of the time of an event. */
  noteAt(at: number): void {
    if (at > this.#floorMs) this.#floorMs = at;
  }

  /**
   * Refuses an id whose time is too far from the database's: its partition would be wrong, or missing.
   *
   * @throws SagaError `SAGAZ_CLOCK_SKEW`.
   */
  checkSkew(sagaId: string, createdAt = createdAtOf(sagaId)): void {
    const now = this.#now?.() ?? Date.now() + (this.#offsetMs ?? 0);
    const skewMs = createdAt - now;
    if (Math.abs(skewMs) <= this.#idSkewMsMax) return;
    throw new SagaError("SAGAZ_CLOCK_SKEW", {
      id: sagaId,
      skewMs: Math.round(skewMs),
      limit: this.#idSkewMsMax,
    });
  }

  /** Those definitions of new sagas that the database may not know yet, as JSON; null when it knows all. */
  unknownDefinitions(starts: Iterable<StartRow>): string | null {
    const unknown = new Map<string, object>();
    for (const { sagaName: name, version, graphHash: hash } of starts) {
      if (this.#knownDefinitions.get(name)?.has(version)) continue;
      unknown.set(`${version} ${name}`, { name, version, hash });
    }
    return unknown.size === 0 ? null : JSON.stringify([...unknown.values()]);
  }

  /** Takes note that the database knows the definitions of these sagas (after the commit that told it). */
  noteDefinitions(starts: Iterable<Pick<HeldDefinition, "sagaName" | "version">>): void {
    for (const { sagaName, version } of starts) {
      const versions = this.#knownDefinitions.get(sagaName);
      if (versions) versions.add(version);
      else this.#knownDefinitions.set(sagaName, new Set([version]));
    }
  }

  /** Runs a statement that changes nothing, on any connection. */
  read(statement: Statement): Promise<readonly TextRow[]> {
    return this.#once(statement, false);
  }

  /** The same for a `COPY … TO STDOUT`, which takes no parameters: its values stand in its text. */
  copyOut(text: string): Promise<readonly Buffer[]> {
    return this.borrow((connection) => connection.copyOut(text, { commits: false }));
  }

  /** Runs a statement that writes, in a transaction of its own, on any connection. */
  write(statement: Statement): Promise<readonly TextRow[]> {
    return this.#once(statement, true);
  }

  /**
   * Opens a connection from the pool.
   *
   * @throws SagaError `SAGAZ_NOT_STARTED`, `SAGAZ_STOPPED`, `SAGAZ_STORAGE_UNAVAILABLE`.
   */
  async open(): Promise<OpenConnection> {
    this.#mustBeOpen();
    const connection = await connect(this.pool, this.limits);
    try {
      this.#mustBeOpen();
    } catch (error) {
      connection.release();
      throw error;
    }
    return connection;
  }

  /** Lends a connection for a transaction that the borrower commits. */
  async borrow<T>(use: (connection: OpenConnection) => Promise<T>): Promise<T> {
    const connection = await this.open();
    try {
      return await use(connection);
    } finally {
      connection.release();
    }
  }

  /** Runs work between BEGIN and COMMIT on one connection; what it throws rolls back. */
  transact<T>(work: (connection: OpenConnection) => Promise<T>): Promise<T> {
    return this.borrow(async (connection) => {
      await connection.run({ text: "begin" }, { commits: false });
      let result: T;
      try {
        result = await work(connection);
      } catch (error) {
        await rollBack(connection);
        throw error;
      }
      await commit(connection);
      return result;
    });
  }

  /**
   * Waits until no write of this worker is under way, claims included: each holds a lock on the worker's row until it
   * has committed or not. Without this, a write could become visible after it was looked for in vain.
   *
   * @throws SagaError `SAGAZ_STORAGE_UNAVAILABLE` also when one is still under way after 2 s.
   */
  async awaitWrites(epoch: number): Promise<void> {
    await this.transact(async (connection) => {
      await connection.run({ text: `set local lock_timeout = ${settleMs}` }, { commits: false });
      const statement = { text: this.sql.lockWorker, values: [epoch] };
      await connection.run(statement, { commits: false, lockMs: settleMs });
    });
  }

  /** Allows work: from the storage's start on. */
  allow(): void {
    this.#state = "started";
  }

  /** Gives back the connections that were held, and refuses work until {@link allow}. */
  close(): void {
    this.#state = "stopped";
    for (const lane of [...this.writers, this.heart, this.starts]) lane.close();
  }

  #mustBeOpen(): void {
    if (this.#state === "new") throw new SagaError("SAGAZ_NOT_STARTED", { what: "storage" });
    if (this.#state === "stopped") throw new SagaError("SAGAZ_STOPPED", { what: "storage" });
  }

  #once(statement: Statement, commits: boolean): Promise<readonly TextRow[]> {
    return this.borrow((connection) => connection.run(statement, { commits }));
  }
}

/** A time as a parameter. */
export function toTime(ms: number): string {
  return new Date(ms).toISOString();
}
