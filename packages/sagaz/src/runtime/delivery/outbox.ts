import type { SqlRunner } from "../../core/definition/context.ts";
import { toOutboxRow } from "../../core/delivery/outbox-event.ts";
import type { OutboxEvent, OutboxRow } from "../../core/delivery/outbox-event.ts";
import { SagaError } from "../../core/errors.ts";
import type { Chance } from "../../ports/chance.ts";
import type { Clock } from "../../ports/clock.ts";
import type { AddedEvents } from "../../ports/outbox.ts";
import type { SagaStorage } from "../../ports/storage.ts";
import { PAYLOAD_BYTES_MAX } from "../payload.ts";
import { newId, systemChance, systemClock } from "../system.ts";
import { inTransaction } from "./in-transaction.ts";
import type { TransactionPool } from "./in-transaction.ts";
import type { OptimisticPublisher } from "./optimistic-publisher.ts";

/** What an outbox is made of. Only `storage` is needed. */
export interface OutboxOptions {
  readonly storage: SagaStorage;
  /** Who says it: `ce_source` of the events. Default `sagaz`. */
  readonly source?: string;
  /** Sends events as soon as they have committed: see {@link Outbox.transaction}. Started and stopped by you. */
  readonly publisher?: OptimisticPublisher;
  /** Bytes of an event's payload. Default 1,048,576. */
  readonly payloadBytesMax?: number;
  readonly clock?: Clock;
  readonly chance?: Chance;
}

/**
 * Adds events to the outbox in a transaction of your own: they are published if and only if it commits.
 *
 * An `OutboxWorker`, in this process or another, publishes them. Of one key that is in the order of commits, as long as
 * the transactions follow one another: one that locks what its event is about before it adds the event sees to that.
 *
 * @example
 * const outbox = new Outbox({ storage, source: "order-service" });
 * await db.transaction(async (tx) => {
 *   await tx.insert(orders).values(order);
 *   await outbox.add(fromDrizzle(tx), { topic: "orders", type: "order.placed", key: order.id, payload: order });
 * });
 */
export class Outbox {
  readonly #storage: SagaStorage;
  readonly #source: string;
  readonly #payloadBytesMax: number;
  readonly #clock: Clock;
  readonly #chance: Chance;
  readonly #publisher: OptimisticPublisher | undefined;

  constructor(options: OutboxOptions) {
    const { storage, source = "sagaz", payloadBytesMax = PAYLOAD_BYTES_MAX } = options;
    this.#storage = storage;
    this.#source = source;
    this.#payloadBytesMax = payloadBytesMax;
    this.#publisher = options.publisher;
    this.#clock = options.clock ?? systemClock;
    this.#chance = options.chance ?? systemChance;
  }

  /**
   * Adds events, in their order. Nothing is sent yet: the transaction is yours to commit.
   *
   * @throws SagaError `SAGAZ_INVALID_EVENT`, `SAGAZ_NOT_JSON`, `SAGAZ_PAYLOAD_TOO_LARGE`: then none of them is added;
   * `SAGAZ_CANNOT` when the storage cannot join a transaction; `SAGAZ_STORAGE_REFUSED` and `SAGAZ_STORAGE_UNAVAILABLE`.
   */
  async add(tx: SqlRunner, events: OutboxEvent | readonly OutboxEvent[]): Promise<void> {
    await this.#add(tx, events, 0);
  }

  /**
   * Runs `work` in a transaction of its own on a connection of a `pg` pool, and commits. What it adds through `add` is
   * sent right after the commit when the outbox has a publisher, instead of waiting for a relay; and never when `work`
   * throws, which rolls back.
   *
   * @throws SagaError as {@link Outbox.add}; what `work` throws, and the driver's own errors.
   */
  async transaction<T>(
    pool: TransactionPool,
    work: (tx: SqlRunner, add: (events: OutboxEvent | readonly OutboxEvent[]) => Promise<void>) => Promise<T>,
  ): Promise<T> {
    const holdMs = this.#publisher?.holdMs ?? 0;
    const offers: (() => void)[] = [];
    const result = await inTransaction(pool, (tx) =>
      work(tx, async (events) => {
        const [rows, added] = await this.#add(tx, events, holdMs);
        if (holdMs > 0) offers.push(() => this.#publisher?.offer(rows, added));
      }),
    );
    for (const offer of offers) offer();
    return result;
  }

  async #add(
    tx: SqlRunner,
    events: OutboxEvent | readonly OutboxEvent[],
    holdMs: number,
  ): Promise<readonly [rows: readonly OutboxRow[], added: AddedEvents]> {
    const { name: storage, can, outbox } = this.#storage;
    if (!can.joinTransaction)
      throw new SagaError("SAGAZ_CANNOT", { storage, what: "join the caller's transaction" });
    const all = Array.isArray(events) ? (events as readonly OutboxEvent[]) : [events as OutboxEvent];
    const defaults = {
      newId: () => newId(this.#clock.now(), this.#chance),
      source: this.#source,
      bytesMax: this.#payloadBytesMax,
    };
    const rows = all.map((event) => toOutboxRow(event, defaults));
    return [rows, await outbox.addIn(tx, rows, holdMs)];
  }
}
