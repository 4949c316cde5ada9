/**
 * Measures how fast something runs while it runs: from its first answer to its last, so that starting is no part of it.
 *
 * What the first answer brought was done before it, and is not counted.
 */
export class Meter {
  /** Resolves when all has come. */
  readonly done: Promise<void>;
  readonly #expected: number;
  readonly #now: () => number;
  #resolve: () => void = () => {};
  #firstCount = 0;
  #firstAt = 0;
  #lastAt = 0;
  #count = 0;

  constructor(expected: number, now: () => number = () => performance.now()) {
    this.#expected = expected;
    this.#now = now;
    this.done = new Promise((resolve) => (this.#resolve = resolve));
  }

  note(count: number): void {
    this.#lastAt = this.#now();
    if (this.#count === 0) {
      this.#firstCount = count;
      this.#firstAt = this.#lastAt;
    }
    this.#count += count;
    if (this.#count >= this.#expected) this.#resolve();
  }

  /**
   * How many a second.
   *
   * @throws Error when fewer or more have come than must: a figure for other work is worse than none.
   */
  perSecond(): number {
    if (this.#count !== this.#expected)
      throw new Error(`${this.#count} events came where there were ${this.#expected}.`);
    return ((this.#count - this.#firstCount) / (this.#lastAt - this.#firstAt)) * 1000;
  }
}
