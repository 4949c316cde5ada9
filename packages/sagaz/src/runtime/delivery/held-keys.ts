import type { Clock } from "../../ports/clock.ts";

/** A key whose first waiting event may not be sent yet. */
interface Hold {
  /** The lowest id that waits. */
  fromId: number;
  readonly until: number;
}

/** Keys that stand still for a while: nothing of theirs is read, so that nothing overtakes what waits. */
export class HeldKeys {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #holds = new Map<string, Hold>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  hold(key: string, { fromId, forMs }: { readonly fromId: number; readonly forMs: number }): void {
    const lowest = Math.min(fromId, this.#holds.get(key)?.fromId ?? fromId);
    this.#holds.set(key, { fromId: lowest, until: this.#clock.monotonic() + forMs });
  }

  /** True for an event of a key that stands still; it is found again with what it waits behind. */
  has(key: string, id: number): boolean {
    const hold = this.#holds.get(key);
    if (!hold) return false;
    hold.fromId = Math.min(hold.fromId, id);
    return true;
  }

  /** Lets go of so many at most whose time is over, those that were held first. Answers the lowest id of what may be waiting for that. */
  release(keysMax = Number.POSITIVE_INFINITY): number | undefined {
    const now = this.#clock.monotonic();
    let lowest: number | undefined;
    let released = 0;
    for (const [key, { fromId, until }] of this.#holds) {
      if (released === keysMax) break;
      if (until > now) continue;
      this.#holds.delete(key);
      released += 1;
      if (lowest === undefined || fromId < lowest) lowest = fromId;
    }
    return lowest;
  }

  keys(): readonly string[] {
    return [...this.#holds.keys()];
  }

  /** Milliseconds until the next one is let go; undefined when none is held. */
  nextIn(): number | undefined {
    let least: number | undefined;
    for (const { until } of this.#holds.values()) if (least === undefined || until < least) least = until;
    return least === undefined ? undefined : Math.max(0, least - this.#clock.monotonic());
  }
}
