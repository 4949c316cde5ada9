/**
 * The part of `pg.Pool` that the storage uses. It is typed by structure, so that the library depends on no driver and
 * the pool that an application has already can be handed in, whatever version of `pg` made it.
 */
export interface PgPool {
  /** Checks a connection out. */
  connect(): Promise<PgConnection>;
  /** The pool's size is read from here, to refuse one that is too small, how it comes by a password, and how it sends. */
  readonly options?: {
    readonly max?: number | undefined;
    readonly password?: unknown;
    readonly pipeline?: boolean | undefined;
  };
  /** Listened to, because `pg` ends the process when an idle connection breaks and nobody listens. */
  on(event: "error", listener: (error: Error) => void): unknown;
  /** Listened to for new connections, which may break before whoever asked for one has it in hands. */
  on(event: "connect", listener: (connection: PgConnection) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "connect", listener: (connection: PgConnection) => void): unknown;
}

/** The part of a checked-out `pg` connection that the storage uses. */
export interface PgConnection {
  query(query: PgQuery): Promise<PgResult>;
  query(query: PgSubmittable): unknown;
  /** Gives it back; with an error or true it is closed instead. */
  release(destroy?: Error | boolean): void;
  /** `I` while no transaction is open. Older versions of `pg` do not tell. */
  getTransactionStatus?(): string | null;
  /** Whether its socket keeps the process alive; drivers that cannot say leave these out. */
  ref?(): void;
  unref?(): void;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  on(event: "notification", listener: (message: PgNotification) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
}

/** One statement. Without `name`: named ones are session state, which a transaction-mode pooler does not keep. */
export interface PgQuery {
  text: string;
  values?: unknown[];
  /** Ours reads every value as the text that the server sent: the parsers an application has set do not apply. */
  types?: { getTypeParser: () => (value: string) => unknown };
}

/** A query that speaks for itself, as `pg` lets one: it hears what the server answers, message by message. */
export interface PgSubmittable {
  submit(connection: PgWire): void;
  handleCopyData(message: { readonly chunk: Buffer }): void;
  handleError(error: Error): void;
  handleReadyForQuery(): void;
  handleCommandComplete(): void;
}

/** The connection below one of `pg`. What only replication needs is not asked for elsewhere. */
export interface PgWire {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  once(event: "replicationStart", listener: () => void): unknown;
  readonly stream: { pause(): unknown; resume(): unknown };
}

/** What a statement answered. */
export interface PgResult {
  readonly rows: readonly Record<string, unknown>[];
  /** The command as the server names it: ROLLBACK when COMMIT could only roll back. */
  readonly command: string;
}

/** What NOTIFY brought. */
export interface PgNotification {
  readonly channel: string;
  readonly payload?: string | undefined;
}

/** Two writers, the heartbeat, keyed starts, and the one that listens. */
export const connectionsHeld = 5;

/** How many connections a pool allows; 10 if it does not say, as `pg`. */
export function poolSizeOf(pool: PgPool): number {
  return pool.options?.max ?? 10;
}
