import type { DeadLetter } from "../../ports/dead-letters.ts";
import { OUTBOX_SHARDS } from "../../core/delivery/shard.ts";
import type { NewMail } from "../../ports/storage.ts";
import type { DeadEvent, FailedEvent, HeldEvent, OutboxRow, PendingEvent } from "../../ports/outbox.ts";

/** An event that waits, and until when. */
interface PendingRecord extends Omit<PendingEvent, "waitMs"> {
  attempts: number;
  availableAt: number;
}

/** Events that wait to be published, and who relays which of them. */
export class OutboxTable {
  /** By id, in the order of ids. */
  readonly pending = new Map<number, PendingRecord>();
  /** In the order of ids. */
  readonly dead: DeadRecord[] = [];
  /** Epochs of relays. */
  readonly relays = new Set<number>();
  /** By shard. */
  readonly #owners = new Map<number, number>();
  #lastId = 0;

  add(
    event: OutboxRow,
    { createdAt, holdMs }: { readonly createdAt: number; readonly holdMs: number },
  ): number {
    const id = ++this.#lastId;
    this.pending.set(id, { ...event, id, createdAt, attempts: 0, availableAt: createdAt + holdMs });
    return id;
  }

  /** Those of these events that wait behind an earlier one of their key. */
  behindOthers(events: readonly HeldEvent[]): readonly number[] {
    const own = new Set(events.map(({ id }) => id));
    const first = new Map<string, number>();
    for (const { id, key } of this.pending.values()) if (!own.has(id) && !first.has(key)) first.set(key, id);
    return events.filter(({ id, key }) => (first.get(key) ?? id) < id).map(({ id }) => id);
  }

  release(id: number): void {
    const record = this.pending.get(id);
    if (record?.attempts === 0) record.availableAt = 0;
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

  /** An event that no broker would have. */
  giveUp(
    { id, attempts, code, error, mail }: DeadEvent,
    at: { readonly diedAt: number; readonly tell: Tell },
  ): void {
    const record = this.pending.get(id);
    if (!record) return;
    this.pending.delete(id);
    const { createdAt, attempts: _attempts, availableAt: _availableAt, id: _id, ...event } = record;
    const isTold = mail !== undefined && at.tell(mail);
    const letter = { consumerName: null, event, createdAt, attempts, code, error, stack: null };
    this.bury(letter, { diedAt: at.diedAt, isTold });
  }

  bury(
    letter: Omit<DeadLetter, "id" | "diedAt" | "redrivenAt" | "redrivenBy">,
    { diedAt, isTold }: { readonly diedAt: number; readonly isTold: boolean },
  ): void {
    const redriven = isTold
      ? { redrivenAt: diedAt, redrivenBy: "saga" }
      : { redrivenAt: null, redrivenBy: null };
    this.dead.push({ ...letter, id: this.dead.length + 1, diedAt, ...redriven });
  }
}

/** Puts mail into a saga's box. False when there is no such saga. */
type Tell = (mail: NewMail) => boolean;

/** A dead letter, which is redriven in place. */
export type DeadRecord = { -readonly [Field in keyof DeadLetter]: DeadLetter[Field] };
