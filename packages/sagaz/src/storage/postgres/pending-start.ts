import type { Decided, UndecidedIds } from "./undecided-ids.ts";

/** What a look for pending events begins with. */
export interface PendingLook {
  /** Nothing is pending up to this id, nor can anything come to light. */
  readonly after: number;
  /** What was decided before the look. */
  readonly decided: Decided;
}

/**
 * After so many ids nobody looks while he writes: where a transaction that adds events is open for long, those that have come and
 * gone meanwhile are walked over one by one.
 */
const IDS_WALKED_MAX = 10_000;

/**
 * Where pending events begin, as far as this process has seen: who asks what waits before an event need not walk over what
 * has long been deleted.
 */
export class PendingStart {
  readonly #undecided: UndecidedIds;
  #known = { life: "", after: 0 };

  constructor(undecided: UndecidedIds) {
    this.#undecided = undecided;
  }

  /** Asks the database now and then. */
  async look(): Promise<PendingLook> {
    return this.#toLook(await this.#undecided.mark());
  }

  /** The same without waiting, for a look that is part of a write: undefined when it is not known, or would take long. */
  lookNow(): PendingLook | undefined {
    const recent = this.#undecided.recent();
    const look = recent && this.#toLook(recent);
    return look && look.decided.lastId - look.after <= IDS_WALKED_MAX ? look : undefined;
  }

  #toLook(decided: Decided): PendingLook {
    if (this.#known.life !== decided.life) this.#known = { life: decided.life, after: 0 };
    return { after: this.#known.after, decided };
  }

  /** A look has found that nothing is pending between where it began and this id. */
  found({ decided }: PendingLook, lowest: number): void {
    if (decided.life !== this.#known.life) return;
    // Between the two nothing waits, and what is decided stays so.
    this.#known.after = Math.max(this.#known.after, Math.min(decided.upTo, lowest - 1));
  }
}
