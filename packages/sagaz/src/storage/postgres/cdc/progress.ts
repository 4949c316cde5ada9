import type { Lsn } from "./lsn.ts";

/** A transaction that is under way to whoever reads. */
interface Open {
  /** Of its last event. */
  last: number;
  /** Undefined until all of it has come. */
  endLsn: Lsn | undefined;
}

/**
 * How far the log may be forgotten: up to the end of the last transaction before which nothing is open. A transaction
 * counts as a whole, for the server knows no place within one.
 */
export class Progress {
  readonly #open: Open[] = [];
  #settled = 0;
  #given = 0;
  /** All up to here is done with. */
  lsn: Lsn;

  constructor(from: Lsn) {
    this.lsn = from;
  }

  begin(): void {
    this.#open.push({ last: this.#given, endLsn: undefined });
  }

  /** One more event of the transaction that is coming. Answers its position. */
  add(): number {
    this.#given += 1;
    const coming = this.#open.at(-1);
    if (coming) coming.last = this.#given;
    return this.#given;
  }

  end(endLsn: Lsn): void {
    const coming = this.#open.at(-1);
    if (coming) coming.endLsn = endLsn;
    this.#advance();
  }

  /** Everything up to this position is settled. */
  settle(position: number): void {
    this.#settled = Math.max(this.#settled, position);
    this.#advance();
  }

  /** The server has nothing for us up to here; what was never ours need not be kept for us. */
  pass(lsn: Lsn): void {
    if (this.#open.length === 0 && lsn > this.lsn) this.lsn = lsn;
  }

  #advance(): void {
    let done = 0;
    for (const { last, endLsn } of this.#open) {
      if (endLsn === undefined || last > this.#settled) break;
      if (endLsn > this.lsn) this.lsn = endLsn;
      done += 1;
    }
    if (done > 0) this.#open.splice(0, done);
  }
}
