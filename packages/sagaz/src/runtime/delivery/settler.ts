/** What became of events: ids, and the keys in whose way they stand until it is noted. */
export interface Settled {
  readonly sent: readonly number[];
  readonly released: readonly number[];
  readonly keys: Iterable<string>;
}

/** What is noted in one write. */
class Lot {
  readonly sent: number[] = [];
  readonly released: number[] = [];
  readonly keys = new Set<string>();

  add({ sent, released, keys }: Settled): void {
    this.sent.push(...sent);
    this.released.push(...released);
    for (const key of keys) this.keys.add(key);
  }

  get size(): number {
    return this.sent.length + this.released.length;
  }
}

/** Notes what became of events while others are sent: what comes during one write gathers for the next. */
export class Settler {
  readonly #settle: (lot: { readonly sent: number[]; readonly released: number[] }) => Promise<void>;
  #next = new Lot();
  #current = new Lot();
  #writing: Promise<void> = Promise.resolve();
  #running: Promise<void> | undefined;

  /** `settle` must not fail: what it cannot write is for somebody else. */
  constructor(settle: (lot: { readonly sent: number[]; readonly released: number[] }) => Promise<void>) {
    this.#settle = settle;
  }

  /** Events whose note is not written yet. */
  get size(): number {
    return this.#next.size + this.#current.size;
  }

  add(settled: Settled): void {
    this.#next.add(settled);
    this.#running ??= this.#run();
  }

  /** Waits until everything of these keys is noted. */
  async noted(keys: readonly string[]): Promise<void> {
    while (keys.some((key) => this.#next.keys.has(key) || this.#current.keys.has(key))) await this.#writing;
  }

  /** Waits until everything is noted. */
  async end(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#next.size > 0) {
      this.#current = this.#next;
      this.#next = new Lot();
      this.#writing = this.#settle(this.#current);
      await this.#writing;
    }
    this.#current = new Lot();
    this.#running = undefined;
  }
}
