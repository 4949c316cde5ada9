import type { ReceivedMessage } from "../../ports/broker.ts";

/** A message that was handed over, and whether it need not come again. */
interface Handed {
  readonly id: string;
  isDone: boolean;
}

/** The stream is trimmed when so many messages were acknowledged, or one was and so much time has passed. */
const trimMessages = 1_000;
const trimMs = 30_000;
/** Acknowledged messages are forgotten in lots of so many: to take them off one by one would move all others each time. */
const forgetAt = 1_000;

/**
 * The time in which a subscription alone reads a topic for its group. It begins at the group's place in the stream, ends
 * with the lease or the connection, and takes with it what was handed over in it.
 *
 * The group's place is the last entry up to which everything is acknowledged. So a reader that reads on without a lease
 * takes nothing away from the next one, and that one begins with the oldest message that was not acknowledged.
 */
export class Tenure {
  readonly topic: string;
  /** The lease holds until then, by this process's monotonic clock. */
  validUntil: number;
  /** The last entry that was handed over. */
  next: string;
  /** Everything up to here is acknowledged. */
  #place: string;
  #saved: string | undefined;
  #untrimmed = 0;
  #trimmedAt = performance.now();
  /** In the order of the stream. */
  readonly #handed: Handed[] = [];
  /** So many of them, from the first on, are acknowledged. */
  #doneCount = 0;
  readonly #open = new Map<ReceivedMessage, Handed>();

  constructor(topic: string, place: string, validUntil: number) {
    this.topic = topic;
    this.next = place;
    this.#place = place;
    this.#saved = place;
    this.validUntil = validUntil;
  }

  /** How many are handed over and not acknowledged. */
  get unacked(): number {
    return this.#open.size;
  }

  /** What is to be saved now, if there is anything; it counts as saved until `unsave`. */
  toSave(): { readonly place: string; readonly trims: boolean } | undefined {
    const trims =
      this.#untrimmed >= trimMessages ||
      (this.#untrimmed > 0 && performance.now() > this.#trimmedAt + trimMs);
    if (this.#place === this.#saved && !trims) return undefined;
    this.#saved = this.#place;
    if (trims) {
      this.#untrimmed = 0;
      this.#trimmedAt = performance.now();
    }
    return { place: this.#place, trims };
  }

  /** The place could not be saved: it is to be saved again. */
  unsave(): void {
    this.#saved = undefined;
  }

  take(id: string, message: ReceivedMessage): void {
    const handed = { id, isDone: false };
    this.#handed.push(handed);
    this.#open.set(message, handed);
    this.next = id;
  }

  /** What was not handed over in this tenure, or is acknowledged already, is left alone. */
  ack(message: ReceivedMessage): void {
    const handed = this.#open.get(message);
    if (!handed) return;
    handed.isDone = true;
    this.#open.delete(message);
    this.#untrimmed += 1;
    this.#advance();
  }

  #advance(): void {
    for (let first; (first = this.#handed[this.#doneCount])?.isDone; this.#doneCount += 1)
      this.#place = first.id;
    if (this.#doneCount < forgetAt) return;
    this.#handed.splice(0, this.#doneCount);
    this.#doneCount = 0;
  }
}
