import type { SqlRunner } from "../core/definition/context.ts";
import type { OutboxRow } from "../core/delivery/outbox-event.ts";
import type { NewMail } from "./mailbox.ts";

export type { OutboxRow } from "../core/delivery/outbox-event.ts";

/**
 * Events that wait to be published. Written in the transaction that they report, so they exist if and only if it
 * committed; a row is pending until the broker has it.
 *
 * Errors are those of {@link SagaStorage}. Relays are workers: their epoch comes from `leases.register`, and whatever
 * fences or retires a worker also takes its shards away.
 */
export interface OutboxStorage {
  /**
   * Adds events inside the caller's transaction, in their order. Relays leave them, and what follows them in their keys,
   * alone for `holdMs` (default 0): whoever learns of the commit may send them meanwhile, and says so by `settleHeld`. Answers
   * those that are held, in their order: all or none.
   */
  addIn(tx: SqlRunner, events: readonly OutboxRow[], holdMs?: number): Promise<readonly AddedEvent[]>;
  /**
   * The same as a text without parameters, which a connection can take together with others: one round trip less.
   * `SAGAZ_CANNOT` where there is no SQL.
   */
  toText(events: readonly OutboxRow[], holdMs?: number): AddText;
  /** Those of these events that wait behind an earlier one of their key: they are for a relay to send. */
  behindOthers(events: readonly HeldEvent[]): Promise<readonly number[]>;
  /** Held events that were sent, and those that are left to the relays at once. What is not pending is passed over. */
  settleHeld(held: { readonly sent: readonly number[]; readonly released: readonly number[] }): Promise<void>;
  /**
   * Takes shards that nobody holds, up to this relay's fair share: all shards divided by the relays that live, rounded up.
   * Each shard is one relay's at a time. `SAGAZ_FENCED`.
   */
  balance(epoch: number): Promise<ShardShare>;
  /** Gives shards back. Those of others are passed over. */
  release(held: { readonly epoch: number; readonly shards: readonly number[] }): Promise<void>;
  /**
   * The oldest pending events of these shards, in the order of their ids; of one key that is the order of commits, for
   * transactions that follow one another. Nothing is marked: what is in flight the relay leaves out itself.
   */
  take(request: TakeRequest): Promise<TakenEvents>;
  /**
   * Notes what became of events, all of it or nothing; twice does no harm, and what is not pending any more is passed
   * over. `SAGAZ_FENCED`: somebody else holds the shards, and sends them again.
   */
  settle(settlement: Settlement): Promise<void>;
  /** How much waits. */
  backlog(): Promise<Backlog>;
}

/** See {@link OutboxStorage.toText}. */
export interface AddText {
  readonly text: string;
  /** What the rows that it answers say. */
  readonly read: (rows: readonly Readonly<Record<string, unknown>>[]) => readonly AddedEvent[];
}

/** A held event that was added. */
export interface AddedEvent {
  readonly id: number;
  /** Milliseconds since 1970: `ce_time`. */
  readonly createdAt: number;
  /**
   * Nothing that committed before its transaction's last lock waits before it in its key. Where that is not said it may:
   * after the commit `behindOthers` tells.
   */
  readonly isFree: boolean;
}

/** An event that relays leave alone for a while. */
export interface HeldEvent {
  readonly id: number;
  readonly key: string;
}

/** An event that waits. */
export interface PendingEvent extends OutboxRow {
  readonly id: number;
  /** Milliseconds since 1970: `ce_time`. */
  readonly createdAt: number;
  /** How often a broker has refused it. */
  readonly attempts: number;
  /** Until then it, and whatever follows it in its key, is left alone: milliseconds from now; 0 when it can be sent. */
  readonly waitMs: number;
}

/** See {@link OutboxStorage.balance}. */
export interface ShardShare {
  /** Held now. Of more than `share` a relay gives the rest back, once nothing of theirs is in flight. */
  readonly shards: readonly number[];
  readonly share: number;
}

/** An event that was taken and is not settled yet. */
export interface EventInFlight {
  readonly id: number;
  /** The length of its payload. */
  readonly bytes: number;
}

/** What a relay wants to read. */
export interface TakeRequest {
  readonly epoch: number;
  readonly shards: readonly number[];
  readonly limit: number;
  /**
   * None after those whose payloads reach this size, in bytes as the storage counts them: one event at least, however large.
   */
  readonly bytesMax: number;
  /** What was taken and is not settled yet: left out. */
  readonly inFlight: Iterable<EventInFlight>;
  /** Keys whose events are left out. */
  readonly held: readonly string[];
  /**
   * Events from this id on that this relay has taken, or left out, before are wanted again. Undefined: only what is new
   * need be found.
   */
  readonly again: number | undefined;
}

/** See {@link OutboxStorage.take}. */
export interface TakenEvents {
  readonly events: readonly PendingEvent[];
  /** False when one of the bounds was reached: there may be more. */
  readonly isAll: boolean;
}

/** What became of events. */
export interface Settlement {
  readonly epoch: number;
  /** The broker has them. */
  readonly sent: readonly number[];
  /** Refused, and to be tried again later. */
  readonly failed: readonly FailedEvent[];
  /** Refused for good: they go to the dead letters. */
  readonly dead: readonly DeadEvent[];
}

/** An event that was refused. */
export interface FailedEvent {
  readonly id: number;
  /** This one included. */
  readonly attempts: number;
  readonly delayMs: number;
  readonly error: string;
}

/** An event that is given up. */
export interface DeadEvent {
  readonly id: number;
  readonly attempts: number;
  /** A code of sagaz. */
  readonly code: string;
  readonly error: string;
  /**
   * Tells the saga that wanted it sent, in the same transaction. If that saga is here, it is for it to ask again: the dead
   * letter then counts as redriven from the start, by `saga`, and nobody else sends it.
   */
  readonly mail?: NewMail | undefined;
}

/** See {@link OutboxStorage.backlog}. */
export interface Backlog {
  readonly pending: number;
  /** When the oldest of them was written: milliseconds since 1970; null when none waits. */
  readonly oldestAt: number | null;
  /** Dead letters that nobody has redriven. */
  readonly dead: number;
}
