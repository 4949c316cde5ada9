/** One acknowledgement for the server. */
export interface Ack {
  readonly tag: number;
  /** It covers every message up to this one. */
  readonly allUpTo: boolean;
}

/** Makes few acknowledgements for the server of many that come in any order. Tags count from 1, without a gap. */
export class AckWindow {
  /** The lowest tag that is not acknowledged. */
  #next = 1;
  /** What is acknowledged above it, and told. */
  readonly #told = new Set<number>();
  readonly #fresh = new Set<number>();

  /** Notes an acknowledgement; each tag once. */
  add(tag: number): void {
    this.#fresh.add(tag);
  }

  /** What is to be told now. */
  take(): readonly Ack[] {
    let last: number | undefined;
    for (; ; this.#next += 1) {
      // The server knows no tag any more that it was told: only a fresh one can stand for all below it.
      if (this.#fresh.delete(this.#next)) last = this.#next;
      else if (!this.#told.delete(this.#next)) break;
    }
    const acks: Ack[] = last === undefined ? [] : [{ tag: last, allUpTo: true }];
    for (const tag of this.#fresh) {
      this.#told.add(tag);
      acks.push({ tag, allUpTo: false });
    }
    this.#fresh.clear();
    return acks;
  }
}
