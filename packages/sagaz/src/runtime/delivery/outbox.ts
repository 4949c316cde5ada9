import type { SqlRunner } from "../../core/definition/context.ts";
import { toOutboxRow } from "../../core/delivery/outbox-event.ts";
import type { OutboxEvent, OutboxRow } from "../../core/delivery/outbox-event.ts";
import { checkTx } from "../../core/check-tx.ts";
import { SagaError } from "../../core/errors.ts";
import { givenOptions, PARTS, type Wanted } from "../../core/given-options.ts";
import type { Chance } from "../../ports/chance.ts";
import type { Clock } from "../../ports/clock.ts";
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

const WANTED: Wanted<OutboxOptions> = {
  storage: PARTS.storage,
  source: "optional",
  publisher: PARTS.publisher,
  payloadBytesMax: { from: 1 },
  clock: "optional",
  chance: "optional",
};

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

  constructor(written: OutboxOptions) {
    const options = givenOptions("Outbox", written, WANTED);
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
    checkTx("Outbox.add", tx);
    await this.#storage.outbox.addIn(tx, this.#toRows(events));
  }

  /**
   * Runs `work` in a transaction of its own on a connection of a `pg` pool, and commits. What `work` adds is written
   * together with the commit, which takes a round trip less than {@link Outbox.add}, and nothing when `work` throws, which
   * rolls back. An outbox with a publisher sends it right after, instead of waiting for a relay.
   *
   * `add` throws `SAGAZ_INVALID_EVENT`, `SAGAZ_NOT_JSON` and `SAGAZ_PAYLOAD_TOO_LARGE`: then none of its events is added.
   *
   * @throws SagaError `SAGAZ_CANNOT` when the storage cannot; what `work` throws, and the driver's own errors.
   */
  async transaction<T>(
    pool: TransactionPool,
    work: (tx: SqlRunner, add: (events: OutboxEvent | readonly OutboxEvent[]) => void) => T | Promise<T>,
  ): Promise<T> {
    const publisher = this.#publisher;
    const added: OutboxRow[] = [];
    let isOver = false;
    const add = (events: OutboxEvent | readonly OutboxEvent[]) => {
      if (isOver) throw new SagaError("SAGAZ_CALL_SETTLED", { whose: "a transaction" });
      for (const row of this.#toRows(events)) added.push(row);
    };
    return inTransaction(
      pool,
      (tx) => work(tx, add),
      () => {
        isOver = true;
        if (added.length === 0) return { text: "", committed: () => {} };
        const { text, read } = this.#storage.outbox.toText(added, publisher?.holdMs ?? 0);
        return { text, committed: (rows) => publisher?.offer(added, read(rows)) };
      },
    );
  }

  #toRows(events: OutboxEvent | readonly OutboxEvent[]): readonly OutboxRow[] {
    const { name: storage, can } = this.#storage;
    if (!can.joinTransaction)
      throw new SagaError("SAGAZ_CANNOT", { storage, what: "join the caller's transaction" });
    const all = Array.isArray(events) ? (events as readonly OutboxEvent[]) : [events as OutboxEvent];
    const defaults = {
      newId: () => newId(this.#clock.now(), this.#chance),
      source: this.#source,
      bytesMax: this.#payloadBytesMax,
    };
    return all.map((event) => toOutboxRow(event, defaults));
  }
}
