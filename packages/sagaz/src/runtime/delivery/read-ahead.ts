import { BATCH_BYTES_MAX, payloadBytes } from "../../core/delivery/payload-bytes.ts";
import type { EventStream, StreamBatch, StreamedEvent } from "../../ports/event-stream.ts";

/**
 * Reads a stream all the time, and keeps what has come until it is taken: what comes while a batch is with the broker is
 * ready when that ends, all of it at once. With a batch in hand it reads no more.
 */
export class ReadAhead {
  readonly #stream: EventStream;
  readonly #batchMax: number;
  #events: StreamedEvent[] = [];
  /** Of their payloads. */
  #bytes = 0;
  /** Up to here all that the stream had is among the events, or was taken, or was none of ours. */
  #position = 0;
  #taken = 0;
  #isClosed = false;
  #failure: { readonly error: unknown } | undefined;
  #onNews: () => void = () => {};
  #onRoom: () => void = () => {};

  constructor(stream: EventStream, batchMax: number) {
    this.#stream = stream;
    this.#batchMax = batchMax;
  }

  start(): void {
    void this.#run();
  }

  close(): void {
    this.#isClosed = true;
    this.#onNews();
    this.#onRoom();
  }

  /** Waits until there is something to take; false when it is closed. Throws what the stream has thrown, whatever came before. */
  async hasSome(): Promise<boolean> {
    while (!this.#isClosed && !this.#failure && this.#taken === this.#position)
      await new Promise<void>((resolve) => (this.#onNews = resolve));
    if (this.#isClosed) return false;
    if (this.#failure) throw this.#failure.error;
    return true;
  }

  /** What is to be sent next. */
  take(): StreamBatch {
    const events = this.#events.slice(0, this.#batchMax);
    this.#events = this.#events.slice(this.#batchMax);
    this.#bytes -= payloadBytes(events);
    this.#taken = this.#toPosition();
    this.#onRoom();
    return { events, position: this.#taken };
  }

  /** Gives back the last of what was taken last, to be taken again. */
  giveBack(events: readonly StreamedEvent[]): void {
    this.#events = [...events, ...this.#events];
    this.#bytes += payloadBytes(events);
    this.#taken = this.#toPosition();
  }

  /** All before this position's next event is taken. */
  #toPosition(): number {
    const [first] = this.#events;
    return first ? first.position - 1 : this.#position;
  }

  async #run(): Promise<void> {
    try {
      while (!this.#isClosed) {
        if (this.#events.length < this.#batchMax && this.#bytes < BATCH_BYTES_MAX)
          this.#keep(await this.#stream.read(this.#batchMax));
        else await new Promise<void>((resolve) => (this.#onRoom = resolve));
      }
    } catch (error) {
      this.#failure = { error };
      this.#onNews();
    }
  }

  #keep({ events, position }: StreamBatch): void {
    this.#events.push(...events);
    this.#bytes += payloadBytes(events);
    this.#position = position;
    this.#onNews();
  }
}
