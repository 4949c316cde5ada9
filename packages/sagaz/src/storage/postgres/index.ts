import { LIMITS } from "../../core/definition/policies.ts";
import { SagaError } from "../../core/errors.ts";
import { givenOptions, type Wanted } from "../../core/given-options.ts";
import type {
  Hint,
  JournalStore,
  LeaseStore,
  MailboxStore,
  QueryStore,
  SagaStorage,
  StorageAbilities,
  UpkeepStore,
} from "../../ports/storage.ts";
import type { DeadLetterStorage } from "../../ports/dead-letters.ts";
import type { FlowStorage } from "../../ports/flows.ts";
import type { InboxStorage } from "../../ports/inbox.ts";
import type { EventStreams } from "../../ports/event-stream.ts";
import type { OutboxStorage } from "../../ports/outbox.ts";
import { PostgresEventStreams } from "./cdc/postgres-event-streams.ts";
import type { PgReplicationClient } from "./cdc/replication-client.ts";
import type { ParticipantStorage } from "../../ports/participants.ts";
import type { DoubtfulClaims } from "./claims.ts";
import { Database } from "./database.ts";
import { Hints } from "./hints.ts";
import { Retention } from "./retention.ts";
import { PostgresDeadLetters } from "./dead-letters.ts";
import { PostgresFlows } from "./flows.ts";
import { PostgresInbox } from "./inbox.ts";
import { PostgresJournal } from "./journal.ts";
import { PostgresLeases } from "./leases.ts";
import { PostgresMailbox } from "./mailbox.ts";
import { checkMigrated, migrate } from "./migrate.ts";
import { connectionsHeld, poolSizeOf, type PgConnection, type PgPool } from "./pool.ts";
import { PostgresOutbox } from "./outbox.ts";
import { PendingStart } from "./pending-start.ts";
import { UndecidedIds } from "./undecided-ids.ts";
import { PostgresParticipants } from "./participants.ts";
import { PostgresQueries } from "./queries.ts";
import { PostgresUpkeep } from "./upkeep.ts";

export type { PgReplicationClient } from "./cdc/replication-client.ts";
export type {
  PgConnection,
  PgNotification,
  PgPool,
  PgQuery,
  PgResult,
  PgSubmittable,
  PgWire,
} from "./pool.ts";

/** How sagas are kept in PostgreSQL. Times are in milliseconds. */
export interface PostgreSQLStorageOptions {
  /**
   * A pool of `pg`, of at least 5 connections: the journal's writer keeps two, the heartbeat and keyed starts one each.
   * A sixth listens for hints; what is left serves reads and transactional steps. The storage never ends it.
   */
  readonly pool: PgPool;
  /** Where the tables are: a plain lower-case identifier. Default `sagaz`. */
  readonly schema?: string;
  /** False: `start()` only checks that the schema fits, and throws `SAGAZ_SCHEMA_MISSING` if not. Default true. */
  readonly migrate?: boolean;
  /** After this time without an answer a connection counts as dead, and what it wrote as in doubt. Default 10,000. */
  readonly writeTimeoutMs?: number;
  /** How long to wait for a connection. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** How far the time in a new saga's id may be from the database's clock. Default 300,000. */
  readonly idSkewMsMax?: number;
  /**
   * Days that sagas are kept after the month of their start, with their journals and idempotency keys; from 62 on. A month
   * leaves whole, and stays as long as one of its sagas has not ended, or is the child of one that has not. This, and how
   * the outbox's log is kept, stands in the database: a process that sets none of it goes by what others have set last. Default 366.
   */
  readonly endedKeptDays?: number;
  /**
   * Days that the outbox's log is kept, from 1 to 34: consumers recognise what is published again for 35. A day of which an
   * event still waits stays longer. Default 30.
   */
  readonly outboxKeptDays?: number;
  /**
   * `drop`: older days of the log are dropped. `archive`: they leave it as tables `saga_outbox_archive_YYYY_MM_DD`, which
   * are yours to move and to drop. Default `drop`.
   */
  readonly oldOutboxDays?: "drop" | "archive";
  /** Called with a sentence when something works less well than it could; never with a secret. Default: nothing. */
  readonly onNotice?: (notice: string) => void;
  /**
   * Makes a client of `pg` on a direct connection for logical replication: `new pg.Client({ connectionString, replication:
   * "database" })`. Needed for `delivery: "cdc"` only where the pool goes through a pooler. Default: to where the pool goes.
   */
  readonly replicationClient?: () => PgReplicationClient;
  /** For tests: milliseconds since 1970, in place of the database's clock, which is the default. */
  readonly now?: () => number;
}

const WANTED: Wanted<PostgreSQLStorageOptions> = {
  pool: {
    has: ["connect", "on", "removeListener"],
    rule: "it must be a pool of pg: new pg.Pool({ connectionString })",
  },
  schema: "optional",
  migrate: "optional",
  writeTimeoutMs: { from: 1, to: LIMITS.attemptTimeoutMsMax },
  connectTimeoutMs: { from: 1, to: LIMITS.attemptTimeoutMsMax },
  idSkewMsMax: { from: 0 },
  endedKeptDays: "optional",
  outboxKeptDays: "optional",
  oldOutboxDays: "optional",
  onNotice: "function",
  replicationClient: "function",
  now: "function",
};

/** What is held besides the listener, and one to read. */
const poolSizeLeast = connectionsHeld;

/**
 * Sagas in PostgreSQL 14 or later, in the database that the application has already.
 *
 * Every write of a worker is one statement and one commit, however many sagas have something to record. It needs no
 * session state, so it works through a pooler in transaction mode.
 *
 * @example
 * const storage = new PostgreSQLStorage({ pool: new pg.Pool({ connectionString }) });
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION` for a schema name that is not plain and for a pool in pipeline mode,
 * `SAGAZ_POOL_TOO_SMALL`.
 */
export class PostgreSQLStorage implements SagaStorage {
  readonly name: string = "PostgreSQL";
  readonly can: StorageAbilities = {
    joinTransaction: true,
    transactionalSteps: true,
    participants: true,
  };
  readonly journal: JournalStore;
  readonly leases: LeaseStore;
  readonly mailbox: MailboxStore;
  readonly queries: QueryStore;
  readonly upkeep: UpkeepStore;
  readonly outbox: OutboxStorage;
  readonly inbox: InboxStorage;
  readonly deadLetters: DeadLetterStorage;
  readonly flows: FlowStorage;
  readonly eventStreams: EventStreams;
  readonly participants: ParticipantStorage;
  readonly #database: Database;
  readonly #hints: Hints;
  readonly #migrates: boolean;
  readonly #retention: Retention;
  readonly #ownUpkeep: PostgresUpkeep;
  readonly #onNotice: (notice: string) => void;
  #starting: Promise<void> | undefined;

  constructor(written: PostgreSQLStorageOptions) {
    const options = givenOptions("PostgreSQLStorage", written, WANTED);
    const database = new Database({
      pool: checkPool(options.pool),
      schema: checkSchema(options.schema ?? "sagaz"),
      connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
      writeTimeoutMs: options.writeTimeoutMs ?? 10_000,
      idSkewMsMax: options.idSkewMsMax ?? 300_000,
      now: options.now,
    });
    this.#onNotice = options.onNotice ?? ignore;
    const hints = new Hints(database, this.#onNotice);
    const doubtful: DoubtfulClaims = new Map();
    const retention = new Retention(database, options);
    const upkeep = new PostgresUpkeep({ database, doubtful, retention });
    this.#retention = retention;
    this.#database = database;
    this.#hints = hints;
    this.#migrates = options.migrate ?? true;
    this.#ownUpkeep = upkeep;
    const makePartitions = () => upkeep.makePartitions();
    // One for both: relays and publishers of a process ask the database together.
    const undecided = new UndecidedIds(database);
    const pendingStart = new PendingStart(undecided);
    this.journal = new PostgresJournal({ database, hints, makePartitions, pendingStart });
    this.leases = new PostgresLeases({ database, hints, doubtful });
    this.mailbox = new PostgresMailbox({ database, hints });
    this.queries = new PostgresQueries({ database, hints });
    this.upkeep = upkeep;
    this.outbox = new PostgresOutbox({ database, hints, undecided, pendingStart });
    this.inbox = new PostgresInbox({ database });
    this.deadLetters = new PostgresDeadLetters({ database, hints });
    this.flows = new PostgresFlows({ database });
    this.eventStreams = new PostgresEventStreams({ database, hints, newClient: options.replicationClient });
    this.participants = new PostgresParticipants({ database });
  }

  /**
   * Migrates, makes partitions, begins to listen. After a failure it can be called again.
   *
   * @throws SagaError `SAGAZ_SCHEMA_NEWER`, `SAGAZ_SCHEMA_MISSING`, `SAGAZ_MIGRATION_CHANGED`,
   * `SAGAZ_STORAGE_UNAVAILABLE`, `SAGAZ_STORAGE_REFUSED` (rights are missing).
   */
  start(): Promise<void> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      this.#unguard();
      throw error;
    });
    return this.#starting;
  }

  async stop(): Promise<void> {
    await this.#starting?.catch(ignore);
    this.#starting = undefined;
    this.#hints.close();
    this.#database.close();
    this.#unguard();
  }

  listen(listener: (hint: Hint) => void): () => void {
    return this.#hints.subscribe(listener);
  }

  /** A connection that breaks, idle or just made, must not end the process; the next call finds out by itself. */
  #guard(): void {
    this.#database.pool.on("error", ignore);
    this.#database.pool.on("connect", shield);
  }

  #unguard(): void {
    this.#database.pool.removeListener("error", ignore);
    this.#database.pool.removeListener("connect", shield);
  }

  async #start(): Promise<void> {
    this.#guard();
    this.#database.allow();
    await (this.#migrates ? migrate(this.#database) : checkMigrated(this.#database));
    await this.#preparePartitions();
    await this.#checkIsolation();
    await this.#retention.set();
    this.#hints.open();
  }

  /** Its own default is what the statements are made for: at any other, those that meet fail, and have to be repeated. */
  async #checkIsolation(): Promise<void> {
    const [row] = await this.#database.read({ text: this.#database.sql.defaultIsolation });
    const isolation = row?.["isolation"];
    if (isolation === "read committed") return;
    this.#onNotice(
      `default_transaction_isolation is "${String(isolation)}": sagaz's statements fail and are repeated when they meet others. Give the pool's role "read committed", and ask for more in your own transactions.`,
    );
  }

  /** Some are always made ahead: so a role that may not make any can do its work as long as one that may is about. */
  async #preparePartitions(): Promise<void> {
    if (await this.#ownUpkeep.mayMakePartitions()) return this.#ownUpkeep.makePartitions();
    this.#onNotice(
      "The role of the pool does not own sagaz's tables, so it makes no partitions: let a worker run whose role owns them, or those that are there run out after 14 days.",
    );
  }
}

function ignore(): void {}

/**
 * The server's farewell may come in one packet with its welcome. Then the connection breaks when nobody listens any more
 * (the pool) or yet (we, a turn later), and Node ends a process over that.
 */
function shield(connection: PgConnection): void {
  connection.on("error", ignore);
}

function checkPool(pool: PgPool): PgPool {
  const size = poolSizeOf(pool);
  if (size < poolSizeLeast) throw new SagaError("SAGAZ_POOL_TOO_SMALL", { size, needed: poolSizeLeast });
  if (pool.options?.pipeline !== true) return pool;
  // It takes no query of somebody else's making, as which events are read; and what is queued behind a lock would wait too.
  throw new SagaError("SAGAZ_INVALID_OPTION", {
    where: "PostgreSQLStorage",
    option: "pool",
    value: "a pool with pipeline: true",
    rule: "give the storage a pool of its own without it",
  });
}

/** The name goes into every statement: only what needs no care is taken. */
function checkSchema(schema: string): string {
  if (/^[a-z_][a-z0-9_]{0,49}$/.test(schema)) return schema;
  throw new SagaError("SAGAZ_INVALID_OPTION", {
    where: "PostgreSQLStorage",
    option: "schema",
    value: JSON.stringify(schema),
    rule: "it must be 1 to 50 characters out of a-z, 0-9 and _, not beginning with a digit",
  });
}
