import type { ReceivedMessage } from "../../ports/broker.ts";
import type { FetchedPartition } from "./driver.ts";
import { codes } from "./error-codes.ts";
import { visibleRecords, type PlacedRecord } from "./visible-records.ts";

/** A message that was handed over. */
export interface Handed {
  readonly feed: Feed;
  readonly message: ReceivedMessage;
  readonly offset: bigint;
  isAcked: boolean;
}

/** What comes from one partition while it is ours. */
export class Feed {
  readonly topic: string;
  readonly partition: number;
  /** What to fetch next; undefined until it is known. */
  position: bigint | undefined;
  /** True when what the group had come to is not there any more. */
  isLost = false;
  /** True while it is being fetched, or rests after trouble. */
  isBusy = false;
  /** Fetched, and not handed over. */
  #ready: readonly PlacedRecord[] = [];
  #next = 0;
  /** Handed over; those at the front are not acknowledged. */
  #handed: Handed[] = [];
  /** Everything below is acknowledged. */
  #done: bigint | undefined;
  #committed: bigint | undefined;

  constructor(topic: string, partition: number) {
    this.topic = topic;
    this.partition = partition;
  }

  get hasReady(): boolean {
    return this.#next < this.#ready.length;
  }

  /** How far the group has come and has not recorded yet. */
  get toCommit(): bigint | undefined {
    return this.#done === this.#committed ? undefined : this.#done;
  }

  /** Takes what was fetched, if it is asked for no more. Answers the error code that is not dealt with by this. */
  receive({ errorCode, records, abortedTransactions }: FetchedPartition): number {
    if (this.position === undefined) return codes.none;
    if (errorCode === codes.offsetOutOfRange) {
      this.isLost = true;
      this.position = undefined;
      return codes.none;
    }
    if (errorCode !== codes.none) return errorCode;
    const visible = visibleRecords(records ?? [], abortedTransactions ?? [], this.position);
    this.position = visible.next;
    this.#ready = visible.records;
    this.#next = 0;
    return codes.none;
  }

  /** Takes up to so many messages, to be handed over. */
  take(most: number): readonly Handed[] {
    const taken = this.#ready.slice(this.#next, this.#next + most).map((record) => this.#toHanded(record));
    this.#next += taken.length;
    this.#handed.push(...taken);
    return taken;
  }

  #toHanded({ offset, record: { key, value, headers } }: PlacedRecord): Handed {
    const message = {
      topic: this.topic,
      key: key?.toString() ?? "",
      headers: Object.fromEntries(headers.map(([name, text]) => [String(name), text?.toString() ?? ""])),
      payload: value ?? new Uint8Array(),
    };
    return { feed: this, message, offset, isAcked: false };
  }

  /** Counts what is acknowledged without a gap. */
  settle(): void {
    let acked = 0;
    while (this.#handed[acked]?.isAcked) acked += 1;
    const last = this.#handed[acked - 1];
    if (!last) return;
    this.#done = last.offset + 1n;
    this.#handed.splice(0, acked);
  }

  noteCommitted(offset: bigint): void {
    this.#committed = offset;
  }
}
