import { givenOptions, type Wanted } from "../../core/given-options.ts";
import type { DeadLetterStorage } from "../../ports/dead-letters.ts";
import type { FlowStorage } from "../../ports/flows.ts";
import type { ParticipantStorage } from "../../ports/participants.ts";
import type { InboxStorage } from "../../ports/inbox.ts";
import type { OutboxStorage } from "../../ports/outbox.ts";
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
import { checkOptions } from "./check-options.ts";
import type { RedisStorageClient } from "./client.ts";
import { Database } from "./database.ts";
import { deadLettersIn } from "./dead-letters.ts";
import { checkDurability, type DurabilityWanted } from "./durability.ts";
import { flowsIn } from "./flows.ts";
import { noParticipants } from "./participants.ts";
import { Hints } from "./hints.ts";
import { inboxIn } from "./inbox.ts";
import { journalIn } from "./journal.ts";
import { leasesIn } from "./leases.ts";
import { mailboxIn } from "./mailbox.ts";
import { outboxIn } from "./outbox.ts";
import { queriesIn } from "./queries.ts";
import type { ReplicasWanted } from "./replicas.ts";
import { Transactions } from "./transactions.ts";
import { keptDays, upkeepIn } from "./upkeep.ts";

export type { RedisStorageClient, RedisStorageSettings } from "./client.ts";
export type { ReplicasWanted } from "./replicas.ts";

/** Options of {@link RedisStorage}. Times are in milliseconds. */
export interface RedisStorageOptions {
  /**
   * A client of ioredis, for one server or for sentinels. The storage opens two connections of its own with the same
   * settings; this one it neither uses nor closes, so it may be a lazy one.
   */
  readonly client: RedisStorageClient;
  /** What the names of all keys begin with, in braces: 1 to 50 characters out of a-z, 0-9, _ and -. Default `sagaz`. */
  readonly name?: string;
  /** After this time without an answer a connection counts as lost, and what it wrote as in doubt. Default 10,000. */
  readonly answerTimeoutMs?: number;
  /** So many replicas must have a write before it counts (`WAIT`). Default: none is waited for. */
  readonly replicas?: ReplicasWanted;
  /**
   * Sagas that have ended, with their journals and keys, and dead letters that were redriven, leave after so many days; a child
   * not before its parent has ended. Longer than any fork of yours may still undo what it took over. It stands in Redis:
   * a process that does not set it goes by what another one has set last. Default 366.
   */
  readonly endedKeptDays?: number;
  /** True: a server that would lose sagas in a restart, or when its memory is full, is taken all the same. Default false. */
  readonly mayLose?: boolean;
  /** Called with a sentence when something is less safe than it could be; never with a secret. Default: nothing. */
  readonly onNotice?: (notice: string) => void;
  /** For tests: milliseconds since 1970, in place of Redis' clock, which is the default. */
  readonly now?: () => number;
}

const WANTED: Wanted<RedisStorageOptions> = {
  client: {
    has: ["duplicate"],
    rule: "it must be a client of ioredis: new Redis(url, { lazyConnect: true })",
  },
  name: "optional",
  answerTimeoutMs: "optional",
  replicas: "optional",
  endedKeptDays: "optional",
  mayLose: "optional",
  onNotice: "function",
  now: "function",
};

/**
 * Sagas in Redis 7 or later: a single primary, with replicas and sentinels if you like, not yet a cluster.
 *
 * Every write of a worker is one script, however many sagas have something to record: all of it, or nothing. What is
 * accepted is as safe as Redis is set up to keep it: with `appendonly yes` and `appendfsync always` it is on disk; with
 * `everysec`, the default, a crash of the machine may lose the last second; a failover loses what had not reached the
 * replica, which `replicas` bounds. All data are in memory: ended sagas too, as long as `endedKeptDays` says.
 *
 * It joins no transaction of yours, runs no transactional steps, and an inbox handler's own writes are not part of the
 * note that its message is done: that, the result, and what the handler publishes are.
 *
 * @example
 * const storage = new RedisStorage({ client: new Redis("redis://localhost", { lazyConnect: true }) });
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export class RedisStorage implements SagaStorage {
  readonly name = "Redis";
  readonly can: StorageAbilities = {
    joinTransaction: false,
    transactionalSteps: false,
    participants: false,
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
  readonly participants: ParticipantStorage = noParticipants;
  readonly #database: Database;
  readonly #hints: Hints;
  readonly #wanted: DurabilityWanted;
  readonly #endedKeptDays: number | undefined;
  #starting: Promise<void> | undefined;

  constructor(written: RedisStorageOptions) {
    const options = givenOptions("RedisStorage", written, WANTED);
    checkOptions(options);
    const { client, answerTimeoutMs = 10_000, mayLose = false } = options;
    // The first of what may one day be several shards: what is one shard's has one tag, and so one place in a cluster.
    const tag = `{${options.name ?? "sagaz"}:0}`;
    const onNotice = toNotice(options);
    const database = new Database({
      client,
      tag,
      answerTimeoutMs,
      replicas: options.replicas,
      now: options.now,
      onReopened: () => this.#reopened(),
    });
    const transactions = new Transactions();
    this.#database = database;
    this.#hints = new Hints({ client, tag, answerTimeoutMs, onNotice });
    this.#wanted = { mayLose, onNotice: once(onNotice) };
    this.journal = journalIn(database);
    this.leases = leasesIn(database);
    this.mailbox = mailboxIn(database);
    this.queries = queriesIn(database);
    this.upkeep = upkeepIn(database);
    this.#endedKeptDays = options.endedKeptDays;
    this.outbox = outboxIn(database, transactions);
    this.inbox = inboxIn(database, transactions);
    this.deadLetters = deadLettersIn(database);
    this.flows = flowsIn(database);
  }

  /**
   * Connects, and looks whether the server keeps what it accepts. After a failure it can be called again.
   *
   * @throws SagaError `SAGAZ_STORAGE_UNAVAILABLE`, `SAGAZ_STORAGE_READ_ONLY`, `SAGAZ_STORAGE_UNSAFE`.
   */
  start(): Promise<void> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      this.#database.close();
      throw error;
    });
    return this.#starting;
  }

  async stop(): Promise<void> {
    await this.#starting?.catch(() => {});
    this.#starting = undefined;
    this.#hints.close();
    this.#database.close();
  }

  listen(listener: (hint: Hint) => void): () => void {
    return this.#hints.listen(listener);
  }

  async #start(): Promise<void> {
    await this.#database.open();
    await checkDurability(this.#database, this.#wanted);
    if (this.#endedKeptDays !== undefined) await keptDays(this.#database, this.#endedKeptDays);
    this.#hints.open();
  }
  /** Another server may have taken over: it may be set up in another way, and hints come from it now. */
  #reopened(): void {
    this.#hints.renew();
    checkDurability(this.#database, { ...this.#wanted, mayLose: true }).catch(() => {});
  }
}

/** What the listener throws must end neither the connection nor the process. */
function toNotice({ onNotice }: RedisStorageOptions): (notice: string) => void {
  return (notice) => {
    try {
      onNotice?.(notice);
    } catch {
      // A notice may be lost: a listener's trouble is its own.
    }
  };
}

/** The same is not told again with each connection. */
function once(onNotice: (notice: string) => void): (notice: string) => void {
  const told = new Set<string>();
  return (notice) => {
    if (!told.has(notice)) onNotice(notice);
    told.add(notice);
  };
}
