/**
 * The turn to append to one saga's journal. Usually nobody holds it and entries simply queue up; a transactional step
 * takes it for the time of its commit, because its event is numbered and written outside the common batch. What
 * happens to the saga meanwhile waits, in order.
 */
export class AppendTurn {
  #isTaken = false;
  #deferred: (() => void)[] = [];
  #waiting: (() => void)[] = [];

  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** Takes the turn once nothing of the saga is on its way; `isBusy` is asked again after each `recheck`. */
  async take(isBusy: () => boolean): Promise<void> {
    while (this.#isTaken || isBusy()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#isTaken = true;
  }

  /** Puts off a call until the turn is given back. */
  defer(call: () => void): void {
    this.#deferred.push(call);
  }

  /** Gives the turn back and makes up for what was put off. Harmless when it was never taken. */
  giveBack(): void {
    this.#isTaken = false;
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const call of deferred) call();
    this.recheck();
  }

  /** Something was recorded: whoever waits for the turn looks again. */
  recheck(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
