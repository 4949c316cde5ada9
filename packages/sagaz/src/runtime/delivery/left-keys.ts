import type { EventStreams } from "../../ports/event-stream.ts";
import type { Clock } from "../../ports/clock.ts";

/** With more keys than these everything goes through the tables for a while. */
const KEYS_MAX = 100_000;
/** How often it is looked whether keys are through, and where there are too many to be told by name. */
const LOOK_EVERY_MS = { some: 200, all: 10_000 };
/** Keys that are looked at in one go, the others in their turn. */
const LOOK_AT_MAX = 1_000;

/** Keys of which something was left to the tables: what follows in the stream is left too, until all of it is sent. */
export class LeftKeys {
  readonly #parts: {
    readonly streams: Pick<EventStreams, "leftKeys" | "stillLeft">;
    readonly clock: Pick<Clock, "monotonic">;
  };
  #keys = new Set<string>();
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(parts: {
    readonly streams: Pick<EventStreams, "leftKeys" | "stillLeft">;
    readonly clock: Pick<Clock, "monotonic">;
  }) {
    this.#parts = parts;
  }

  get isEmpty(): boolean {
    return this.#keys.size === 0;
  }

  has(key: string): boolean {
    return this.#keys.has(key) || this.#areTooMany;
  }

  add(key: string): void {
    this.#keys.add(key);
  }

  /** Worth a look: there are some, and some time has passed. */
  get isDue(): boolean {
    const everyMs = this.#areTooMany ? LOOK_EVERY_MS.all : LOOK_EVERY_MS.some;
    return !this.isEmpty && this.#parts.clock.monotonic() - this.#lookedAt >= everyMs;
  }

  get #areTooMany(): boolean {
    return this.#keys.size > KEYS_MAX;
  }

  /** Forgets those that are through. Everything that was left must have been noted before. */
  async look(): Promise<void> {
    const { streams, clock } = this.#parts;
    const isFirst = this.#lookedAt === Number.NEGATIVE_INFINITY;
    this.#lookedAt = clock.monotonic();
    if (isFirst || this.#areTooMany) this.#keys = new Set(await streams.leftKeys(KEYS_MAX + 1));
    else await this.#lookAtSome();
  }

  async #lookAtSome(): Promise<void> {
    const some = [...this.#keys].slice(0, LOOK_AT_MAX);
    const left = await this.#parts.streams.stillLeft(some);
    for (const key of some) this.#keys.delete(key);
    for (const key of left) this.#keys.add(key); // the last ones now
  }
}
