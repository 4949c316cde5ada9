/**
 * Measures how fast something runs while it runs: from when the first lot was answered until all was, so that starting,
 * and reading the first lot, are no part of it.
 */
export class Meter {
  /** Resolves when all has come. */
  readonly done: Promise<void>;
  readonly #expected: number;
  readonly #lot: number;
  readonly #now: () => number;
  #resolve: () => void = () => {};
  #from: { readonly count: number; readonly at: number } | undefined;
  #lastAt = 0;
  #count = 0;

  /** A `lot` is what is read at a time. */
  constructor(
    { expected, lot }: { expected: number; lot: number },
    now: () => number = () => performance.now(),
  ) {
    this.#expected = expected;
    this.#lot = lot;
    this.#now = now;
    this.done = new Promise((resolve) => (this.#resolve = resolve));
  }

  note(count: number): void {
    this.#count += count;
    this.#lastAt = this.#now();
    if (this.#from === undefined && this.#count >= this.#lot)
      this.#from = { count: this.#count, at: this.#lastAt };
    if (this.#count >= this.#expected) this.#resolve();
  }

  /**
   * How many a second.
   *
   * @throws Error when fewer or more have come than must: a figure for other work is worse than none.
   */
  perSecond(): number {
    if (this.#count !== this.#expected || this.#from === undefined)
      throw new Error(`${this.#count} events came where there were ${this.#expected}.`);
    return ((this.#count - this.#from.count) / (this.#lastAt - this.#from.at)) * 1000;
  }
}
