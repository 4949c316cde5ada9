import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { SagaStorage } from "../ports/storage.ts";

/** Partitions are made ahead, and what is old is cleared away, once in this time. */
const EVERY_MS = 3_600_000;

/** Keeps the database in shape. Every worker of whatever kind does it, for it may be the only one; twice does no harm. */
export class Maintenance {
  readonly #parts: { readonly storage: SagaStorage; readonly clock: Clock; readonly log: Log };
  #doneAt: number;

  constructor(parts: { readonly storage: SagaStorage; readonly clock: Clock; readonly log: Log }) {
    this.#parts = parts;
    this.#doneAt = parts.clock.monotonic();
  }

  /** Does it if it is due: called as often as one likes, and never rejects. */
  async ifDue(): Promise<void> {
    const { storage, clock, log } = this.#parts;
    if (clock.monotonic() - this.#doneAt <= EVERY_MS) return;
    this.#doneAt = clock.monotonic();
    try {
      await storage.upkeep.maintain();
    } catch (error) {
      log.warn("sagaz: maintenance failed; the next one will do", { error: String(error) });
    }
  }
}
