import type { Database } from "./database.ts";
import { UndecidedIds } from "./undecided-ids.ts";

/** What a look for pending events begins with. */
export interface PendingLook {
  /** Nothing is pending up to this id, nor can anything come to light. */
  readonly after: number;
  /** What was decided before the look. */
  readonly decided: number;
  /** Of the server: see {@link Decided}. */
  readonly life: number;
}

/**
 * Where pending events begin, as far as this process has seen: who asks what waits before an event need not walk over what
 * has long been deleted.
 */
export class PendingStart {
  readonly #undecided: UndecidedIds;
  #known = { life: 0, after: 0 };

  constructor(database: Database) {
    this.#undecided = new UndecidedIds(database);
  }

  /** Asks the database now and then. */
  async look(): Promise<PendingLook> {
    return this.#toLook(await this.#undecided.mark());
  }

  /** The same without waiting; undefined when the last answer is too old, and a new one is on its way. */
  lookNow(): PendingLook | undefined {
    const recent = this.#undecided.recent();
    return recent && this.#toLook(recent);
  }

  #toLook({ upTo: decided, life }: { readonly upTo: number; readonly life: number }): PendingLook {
    if (this.#known.life !== life) this.#known = { life, after: 0 };
    return { after: this.#known.after, decided, life };
  }

  /** A look has found that nothing is pending between where it began and this id. */
  found(look: PendingLook | undefined, lowest: number): void {
    if (look?.life !== this.#known.life) return;
    // Between the two nothing waits, and what is decided stays so.
    this.#known.after = Math.max(this.#known.after, Math.min(look.decided, lowest - 1));
  }
}
