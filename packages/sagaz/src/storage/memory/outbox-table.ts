import { OUTBOX_SHARDS } from "../../core/delivery/shard.ts";
import type { DeadEvent, FailedEvent, OutboxRow, PendingEvent } from "../../ports/outbox.ts";

/** An event that waits, and until when. */
interface PendingRecord extends Omit<PendingEvent, "waitMs"> {
  attempts: number;
  availableAt: number;
}

/** An event that was given up. */
interface DeadRecord extends OutboxRow, Pick<DeadEvent, "attempts" | "code" | "error"> {
  /** Who could not process it; null when no broker would have it. */
  readonly consumerName: string | null;
  readonly diedAt: number;
}

/** Events that wait to be published, and who relays which of them. */
export class OutboxTable {
  /** By id, in the order of ids. */
  readonly pending = new Map<number, PendingRecord>();
  readonly dead: DeadRecord[] = [];
  /** Epochs of relays. */
  readonly relays = new Set<number>();
  /** By shard. */
  readonly #owners = new Map<number, number>();
  #lastId = 0;

  add(event: OutboxRow, createdAt: number): void {
    const id = ++this.#lastId;
    this.pending.set(id, { ...event, id, createdAt, attempts: 0, availableAt: 0 });
  }

  shardsOf(epoch: number): readonly number[] {
    const shards = Array.from({ length: OUTBOX_SHARDS }, (_, shard) => shard);
    return shards.filter((shard) => this.#owners.get(shard) === epoch);
  }

  /** Gives a relay shards that are free, until it has so many. */
  fill(epoch: number, share: number): void {
    for (let shard = 0, held = this.shardsOf(epoch).length; shard < OUTBOX_SHARDS && held < share; shard++) {
      if (this.#owners.has(shard)) continue;
      this.#owners.set(shard, epoch);
      held += 1;
    }
  }

  /** Frees those of these shards that the relay holds. */
  free(epoch: number, shards: readonly number[]): void {
    for (const shard of shards) if (this.#owners.get(shard) === epoch) this.#owners.delete(shard);
  }

  /** A relay is gone: its shards are nobody's. */
  dismiss(epoch: number): void {
    this.relays.delete(epoch);
    this.free(epoch, this.shardsOf(epoch));
  }

  postpone({ id, attempts, delayMs }: FailedEvent, now: number): void {
    const record = this.pending.get(id);
    if (!record) return;
    record.attempts = attempts;
    record.availableAt = now + delayMs;
  }

  bury({ id, attempts, code, error }: DeadEvent, diedAt: number): void {
    const record = this.pending.get(id);
    if (!record) return;
    this.pending.delete(id);
    this.dead.push({ ...record, consumerName: null, attempts, code, error, diedAt });
  }
}
