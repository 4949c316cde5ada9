import type { StreamSettlement } from "../../ports/event-stream.ts";

/** What is noted of a batch, and how far the stream is through then. */
export interface StreamNote extends StreamSettlement {
  readonly position: number;
}

const NOTHING: StreamNote = { sent: [], failed: [], dead: [], left: [], position: 0 };

/** Notes what became of a stream's events while others are sent: what comes during one write gathers for the next. */
export class StreamNotes {
  readonly #write: (note: StreamNote) => Promise<void>;
  #next: StreamNote | undefined;
  #current = NOTHING;
  /** Of the write that is under way; it stays for good when that has failed. */
  #writing: Promise<void> | undefined;

  constructor(write: (note: StreamNote) => Promise<void>) {
    this.#write = write;
  }

  add(note: StreamNote): void {
    this.#next = this.#next ? join(this.#next, note) : note;
    if (!this.#writing) this.#begin();
  }

  /** Waits until so many events at most are published and not noted. Throws what a write has thrown. */
  async atMost(events: number): Promise<void> {
    while (this.#writing && sizeOf(this.#current) + sizeOf(this.#next ?? NOTHING) > events)
      await this.#writing;
  }

  /** Waits until all is noted. Throws what a write has thrown. */
  async end(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  #begin(): void {
    this.#writing = this.#run();
    this.#writing.catch(() => {}); // who waits for it is told
  }

  async #run(): Promise<void> {
    this.#current = this.#next ?? NOTHING;
    this.#next = undefined;
    await this.#write(this.#current);
    this.#current = NOTHING;
    this.#writing = undefined;
    if (this.#next) this.#begin();
  }
}

function join(one: StreamNote, { sent, failed, dead, left, position }: StreamNote): StreamNote {
  return {
    sent: [...one.sent, ...sent],
    failed: [...one.failed, ...failed],
    dead: [...one.dead, ...dead],
    left: [...one.left, ...left],
    position,
  };
}

function sizeOf({ sent, failed, dead, left }: StreamNote): number {
  return sent.length + failed.length + dead.length + left.length;
}
