/**
 * Where the reading of what was left to the tables goes on: what has been told already is not read again, unless it is
 * asked for. Ids are not left in their order, so whatever is left moves this back.
 */
export class LeftPlace {
  /** All up to this id has been told, or waits behind a key that is left out. */
  #after = 0;
  /** The lowest id that was left since the reading under way began. */
  #lowest = Number.POSITIVE_INFINITY;
  /** Keys that are left out, and where that began: what comes to light of them meanwhile is after that. */
  readonly #heldFrom = new Map<string, number>();

  /** Begins a reading: answers after which id. */
  begin(held: readonly string[], again: number | undefined): number {
    this.#lowest = Number.POSITIVE_INFINITY;
    if (again !== undefined) this.#goBack(again);
    const isHeld = new Set(held);
    for (const [key, from] of this.#heldFrom) {
      if (isHeld.has(key)) continue;
      this.#heldFrom.delete(key);
      this.#after = Math.min(this.#after, from);
    }
    for (const key of held) if (!this.#heldFrom.has(key)) this.#heldFrom.set(key, this.#after);
    return this.#after;
  }

  /** All up to this id has been read, as it was when the reading began. */
  readTo(id: number): void {
    this.#after = Math.max(this.#after, Math.min(id, this.#lowest - 1));
  }

  /** These were left, as everybody can see by now. */
  left(ids: readonly number[]): void {
    const lowest = ids.reduce((least, id) => Math.min(least, id), Number.POSITIVE_INFINITY);
    this.#lowest = Math.min(this.#lowest, lowest);
    this.#goBack(lowest);
    for (const [key, from] of this.#heldFrom) this.#heldFrom.set(key, Math.min(from, lowest - 1));
  }

  #goBack(to: number): void {
    this.#after = Math.min(this.#after, to - 1);
  }
}
