import type { SqlRunner } from "../core/definition/context.ts";
import type { ParkReason } from "../core/saga/events.ts";
import type { EventRow, StoredEvent } from "./event-row.ts";
import type { DeadLetterStorage } from "./dead-letters.ts";
import type { FlowStorage } from "./flows.ts";
import type { EventStreams } from "./event-stream.ts";
import type { InboxStorage } from "./inbox.ts";
import type { MailboxStore, NewMail } from "./mailbox.ts";
import type { AddedEvent, OutboxRow, OutboxStorage } from "./outbox.ts";
import type { ParticipantStorage } from "./participants.ts";
import type { QueryStore, SagaRow } from "./queries.ts";
import type { SagaStatus, WaitReason } from "../core/saga/status.ts";

export type * from "./dead-letters.ts";
export type * from "./flows.ts";
export type * from "./event-stream.ts";
export type * from "./inbox.ts";
export type * from "./mailbox.ts";
export type * from "./outbox.ts";
export type * from "./participants.ts";
export type { EventRow, StoredEvent } from "./event-row.ts";
export type { QueryStore, SagaCount, SagaFilter, SagaPage, SagaRow } from "./queries.ts";

/**
 * What sagaz needs from a database. One contract, kept by every adapter and checked by the rules in
 * `sagaz/testing`; split by what is stored.
 *
 * Times are milliseconds since 1970 by the database's clock. Payloads cross as JSON text, made once by the runtime:
 * adapters store and return them as they are. A text with a raw NUL in it (attributes: even an escaped one) cannot be
 * stored everywhere, so nobody stores it: `SAGAZ_STORAGE_REFUSED`. Saga ids are UUIDv7 in lower case, else
 * `SAGAZ_INVALID_ID`; a start whose id is more than 5 minutes off the database's clock is `SAGAZ_CLOCK_SKEW`.
 * All methods throw `SagaError`:
 * - `SAGAZ_STORAGE_UNAVAILABLE`: certainly nothing was written; trying again later can help;
 * - `SAGAZ_COMMIT_IN_DOUBT`: the write may or may not have happened;
 * - `SAGAZ_STORAGE_READ_ONLY`, `SAGAZ_STORAGE_REFUSED`, `SAGAZ_CONFLICT`, `SAGAZ_FENCED`: certainly nothing was
 *   written, and the same call will not succeed (read-only: not yet).
 */
export interface SagaStorage {
  /** For messages: "PostgreSQL", "memory". */
  readonly name: string;
  readonly can: StorageAbilities;
  /** Connects, migrates, prepares. Safe twice. */
  start(): Promise<void>;
  /** Closes what start opened (never what the user handed in). Safe twice and before start. */
  stop(): Promise<void>;
  readonly journal: JournalStore;
  readonly leases: LeaseStore;
  readonly mailbox: MailboxStore;
  readonly queries: QueryStore;
  readonly upkeep: UpkeepStore;
  readonly outbox: OutboxStorage;
  readonly inbox: InboxStorage;
  readonly deadLetters: DeadLetterStorage;
  readonly flows: FlowStorage;
  /** Events as the database's log brings them; absent where there is no such log. */
  readonly eventStreams?: EventStreams;
  readonly participants: ParticipantStorage;
  /**
   * Calls the listener when something may have changed: work to claim, mail to fetch, a saga ended, an event to publish. Hints may be
   * lost, repeated or wrong; polling is what guarantees. What a listener throws is dropped: it must end neither the
   * write that it hears of nor the process. Returns how to stop listening.
   */
  listen(listener: (hint: Hint) => void): () => void;
}

/** What an adapter cannot do is declared here and refused with `SAGAZ_CANNOT`, not ignored. */
export interface StorageAbilities {
  /** Start a saga inside the caller's transaction. */
  readonly joinTransaction: boolean;
  /** Run transactional steps (`ctx.tx`). */
  readonly transactionalSteps: boolean;
  /** Remember what participants were asked for, in the transaction of what they do. */
  readonly participants: boolean;
}

/** See {@link SagaStorage.listen}. */
export type Hint = "work" | "mail" | "ended" | "outbox";

/** The append-only events, with the rows that are projected from them, written in the same transaction. */
export interface JournalStore {
  /**
   * Writes a batch in one transaction: all of it or nothing. Checks in that transaction that the worker is registered
   * and not fenced (`SAGAZ_FENCED`), and that each entry's first seq is the next one and the saga is owned by this epoch
   * (`SAGAZ_CONFLICT` with `sagaId` in its details where it can tell). Mail of a batch reaches sagas that begin in it,
   * and counts for those that it releases. Whoever writes an event has survived: the saga's `adoptions` are 0 again.
   */
  append(batch: AppendBatch): Promise<AppendReceipt>;
  /** What is really stored of these sagas: asked after a commit in doubt. Unknown sagas are left out. */
  tails(sagaIds: readonly string[]): Promise<readonly Tail[]>;
  /**
   * Starts with idempotency keys, in a transaction and on a connection of their own. Outcomes in the order of the
   * starts; of two with one key the first starts. A key belongs to its tenant and its saga name, whatever the version.
   * A key that another open transaction holds: `busy`, for that one only, after a wait that others do not mind.
   * `SAGAZ_FENCED` as append.
   */
  startKeyed(epoch: number, starts: readonly StartRow[]): Promise<readonly KeyedOutcome[]>;
  /** Starts an unowned saga inside the caller's transaction: it exists if and only if that commits. */
  startIn(tx: SqlRunner, start: StartRow): Promise<KeyedOutcome>;
  /**
   * Runs `work` in a transaction of the engine's; `append` writes the batch as the last statements before COMMIT.
   * When `work` throws, nothing is written.
   */
  transaction<T>(
    work: (tx: SqlRunner, append: (batch: AppendBatch) => Promise<AppendReceipt>) => Promise<T>,
  ): Promise<T>;
}

/** What one write of a worker holds. One saga may have several entries, in order. */
export interface AppendBatch {
  readonly epoch: number;
  readonly entries: readonly AppendEntry[];
  /** Relays leave the events of the batch alone for so long: see `OutboxStorage.addIn`. Default 0. */
  readonly holdMs?: number;
}

/** Events of one saga and what changes with them. */
export interface AppendEntry {
  readonly sagaId: string;
  /**
   * Seq of `events[0]`. 1 with `start`. Entries without events (a mere release) carry the next free seq. Entries with
   * events reset `adoptions`: the saga made progress.
   */
  readonly firstSeq: number;
  readonly events: readonly EventRow[];
  /** The new saga's row; its events begin with `saga_started`. Without `row` it shows `running` when owned. */
  readonly start: StartRow | undefined;
  /** What changes in the saga's row, or undefined when nothing that lists show has changed. */
  readonly row: RowChange | undefined;
  /** New sagas (children, forks) that exist if and only if this entry does. Unowned, claimable at once. */
  readonly spawns: readonly StartRow[];
  /** Mail to sagas, in order. A saga that does not exist is passed over. */
  readonly mails: readonly NewMail[];
  /** Mail that these events answer; it is deleted with them. */
  readonly readMails: readonly string[];
  /** Events to publish that exist if and only if this entry does, in order. */
  readonly outbox: readonly OutboxRow[];
}

/** A new saga. One that nobody owns shows `pending`, waiting for `start`. */
export interface StartRow {
  readonly sagaId: string;
  readonly sagaName: string;
  readonly version: number;
  readonly graphHash: string;
  readonly tenantId: string | null;
  readonly correlationId: string | null;
  /** Owned by the writing worker, or for any worker to claim from `wakeAt` on. */
  readonly owned: boolean;
  /** When unowned: not before this time; null is now. */
  readonly wakeAt: number | null;
  readonly idempotencyKey: string | null;
  /** SHA-256 of the canonical JSON of the input, hex; with a key only. */
  readonly inputHash: string | null;
  /** Free attributes to search by: JSON text of a flat object of strings, or null. */
  readonly attributes: string | null;
  readonly parentId: string | null;
  /** The `saga_started` event. Entries that carry a start repeat it in `events`; spawns and keyed starts do not. */
  readonly started: EventRow;
}

/** The projected part of a saga's row after an entry. */
export interface RowChange {
  readonly status: SagaStatus;
  readonly waitingFor: WaitReason | null;
  readonly parkedReason: ParkReason | null;
  readonly paused: boolean;
  /** One line for lists: the first failure's message. */
  readonly error: string | null;
  /** JSON text of the output, once completed. */
  readonly output: string | null;
  /** The saga has ended: `finished_at` is the time of the write that gave it this status; null while false. */
  readonly finished: boolean;
  /**
   * `keep`: this worker goes on with it. Otherwise the saga is given up: unowned, to be claimed from `wakeAt` on
   * (null: not before mail arrives). It is claimable at once when more mail was sent than `mailSeq` says we took, or
   * when it parks as `definition_missing` while a worker holds its definition: that one may have come just now.
   */
  readonly release: undefined | { readonly wakeAt: number | null; readonly mailSeq: number };
}

/** What a write answers. */
export interface AppendReceipt {
  /** Time of the write, and `at` of its events; where the database's clock went back, never before a saga's last `at`. */
  readonly at: number;
  /** The events that are held, if there are any, in the order of the entries. */
  readonly added?: readonly AddedEvent[] | undefined;
}

/** The end of a stored journal. */
export interface Tail {
  readonly sagaId: string;
  readonly seq: number;
  readonly owner: number | null;
}

/** How a keyed start ended: a new saga, or the one that had the key. */
export type KeyedOutcome =
  | { readonly kind: "started"; readonly sagaId: string }
  | { readonly kind: "existing"; readonly sagaId: string; readonly sameInput: boolean }
  | { readonly kind: "busy" };

/** Workers, their leases, and who owns which saga. An owner is an epoch: one number per registration, never reused. */
export interface LeaseStore {
  /**
   * Begins a lease. Parked `definition_missing` sagas that this worker can run become claimable.
   * `SAGAZ_DEFINITION_CHANGED` when a version was ever known with another graph: then nothing is registered.
   */
  register(worker: NewWorker): Promise<{ readonly epoch: number; readonly now: number }>;
  /** Renews the lease (also one that has run out, while nobody has fenced it) and answers what there is to do. */
  beat(epoch: number): Promise<Beat>;
  /**
   * Fences workers whose lease has run out, and lets go of their sagas: unowned, claimable at once, `adoptions` + 1.
   * An adapter may make them due since they were created, so that what was cut off goes on before what never began.
   * Waits for writes in flight of a fenced worker, for at most 1 s. Answers how many sagas were let go.
   */
  fenceExpired(): Promise<number>;
  /**
   * Takes ownership of sagas that wait to be claimed (unowned and due), longest due first, with their journals. Each goes to one
   * worker. A fenced worker gets nothing. What is full is passed over, however much of it waits: where very many sagas
   * of full tenants are due longest, an adapter may find those of others tenant by tenant, over several claims.
   */
  claim(claim: Claim): Promise<readonly ClaimedSaga[]>;
  /**
   * Sagas that this epoch owns beside the `known` ones, with their journals: those that it has forgotten. Among them is
   * what a claim took whose answer was lost; it is not handed over with the next claim then.
   */
  forgotten(asked: {
    readonly epoch: number;
    readonly known: readonly string[];
  }): Promise<readonly ClaimedSaga[]>;
  /** Gives up everything this worker still owns (claimable at once, `adoptions` unchanged) and ends its registration. Safe twice. */
  retire(epoch: number): Promise<void>;
}

/** A process that comes to run sagas. */
export interface NewWorker {
  readonly workerName: string;
  readonly leaseMs: number;
  readonly definitions: readonly HeldDefinition[];
}

/** One definition that a worker holds. */
export interface HeldDefinition {
  readonly sagaName: string;
  readonly version: number;
  readonly graphHash: string;
  /** JSON text: steps, dependencies, kinds; for consoles that do not hold the code. */
  readonly graph: string;
}

/** The answer to a heartbeat. */
export interface Beat {
  readonly now: number;
  /** False: this worker was fenced and owns nothing any more. */
  readonly alive: boolean;
  /** True when a claim for the definitions that it registered would find something, with room for all. */
  readonly work: boolean;
  /** True when there is unread mail for sagas of this worker. */
  readonly mail: boolean;
  /** True when another worker's lease has run out, or sagas wait for a definition that nobody holds. */
  readonly upkeep: boolean;
}

/** A request for work. */
export interface Claim {
  readonly epoch: number;
  readonly limit: number;
  /** Only sagas of these definitions, and at most `room` of one. */
  readonly definitions: readonly ClaimedDefinition[];
  /** How many of one tenant may be taken. A saga without a tenant is of none, so nothing but `limit` bounds those. */
  readonly tenants?: TenantRoom;
  /** Only this saga, if it can be claimed. */
  readonly sagaId?: string;
}

/** A definition whose sagas are asked for. */
export interface ClaimedDefinition {
  readonly sagaName: string;
  readonly version: number;
  /** From 1; undefined: as many as the claim's limit. */
  readonly room?: number;
}

/** What of a tenant's sagas a worker can take. */
export interface TenantRoom {
  /** For a tenant of which it runs nothing now; from 1. */
  readonly each: number;
  /** For those of which it runs something: less, down to 0. */
  readonly left: ReadonlyMap<string, number>;
}

/** A saga that this worker now owns. */
export interface ClaimedSaga {
  readonly sagaId: string;
  /** Times it was let go after a crash since it last wrote anything. */
  readonly adoptions: number;
  /** Mail sent to it so far; what is unread is fetched as usual. */
  readonly mailSeq: number;
  readonly journal: readonly StoredEvent[];
}

/** Work that keeps a database in shape; every worker does it now and then, and twice does no harm. */
export interface UpkeepStore {
  /**
   * Creates partitions ahead of time, removes mail a day after its refusal, and forgets what consumers processed, and
   * trackers saw, 35 days ago, and what participants remember of what nobody has asked about for 13 months.
   */
  maintain(): Promise<void>;
  /**
   * Sagas that are due, unowned, and of definitions that no live worker has held for `missingMs` (one that never was
   * held: since its first saga was started), longest due first, now owned by this epoch so that it can park them.
   * `limit` at most.
   */
  claimOrphans(claim: {
    readonly epoch: number;
    readonly missingMs: number;
    readonly limit: number;
  }): Promise<readonly ClaimedSaga[]>;
  /** Writes rows as projected from journals: those that exist keep their owner, their mail and their wake-up. */
  writeProjections(rows: readonly ProjectedRow[]): Promise<void>;
}

/** A row as the journal alone tells it. */
export interface ProjectedRow extends Omit<SagaRow, "owner" | "wakeAt" | "adoptions"> {
  /** Used only when the row is missing: when it may be claimed. */
  readonly wakeAt: number | null;
}
