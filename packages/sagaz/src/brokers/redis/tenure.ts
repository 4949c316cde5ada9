import { AckedPrefix } from "../../core/delivery/acked-prefix.ts";
import type { ReceivedMessage } from "../../ports/broker.ts";

/** The stream is trimmed when so many messages were acknowledged, or one was and so much time has passed. */
const trimMessages = 1_000;
const trimMs = 30_000;

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
  readonly #acked: AckedPrefix<ReceivedMessage, string>;
  #saved: string | undefined;
  #untrimmed = 0;
  #trimmedAt = performance.now();

  constructor(topic: string, place: string, validUntil: number) {
    this.topic = topic;
    this.next = place;
    this.#acked = new AckedPrefix(place);
    this.#saved = place;
    this.validUntil = validUntil;
  }

  /** How many are handed over and not acknowledged. */
  get unacked(): number {
    return this.#acked.unacked;
  }

  take(id: string, message: ReceivedMessage): void {
    this.#acked.take(message, id);
    this.next = id;
  }

  /** What was not handed over in this tenure, or is acknowledged already, is left alone. */
  ack(message: ReceivedMessage): void {
    if (this.#acked.ack(message)) this.#untrimmed += 1;
  }

  /** What is to be saved now, if there is anything; it counts as saved until `unsave`. */
  toSave(): { readonly place: string; readonly trims: boolean } | undefined {
    const { place } = this.#acked;
    const isLongAgo = performance.now() > this.#trimmedAt + trimMs;
    const trims = this.#untrimmed >= trimMessages || (this.#untrimmed > 0 && isLongAgo);
    if (place === this.#saved && !trims) return undefined;
    this.#saved = place;
    if (trims) {
      this.#untrimmed = 0;
      this.#trimmedAt = performance.now();
    }
    return { place, trims };
  }

  /** The place could not be saved: it is to be saved again. */
  unsave(): void {
    this.#saved = undefined;
  }
}
