import type { OpenConnection, Statement, TextRow } from "./connection.ts";
import type { Circumstances } from "./errors.ts";

/** A connection of its own for one kind of work: checked out once, opened anew by the next call after it was lost. */
export class Lane {
  #current: OpenConnection | undefined;
  #opening: Promise<OpenConnection> | undefined;
  #failures = 0;
  #running = 0;
  readonly #open: () => Promise<OpenConnection>;

  /** `open` may refuse: before the storage was started, and after it was stopped. */
  constructor(open: () => Promise<OpenConnection>) {
    this.#open = open;
  }

  /** Runs one statement in a transaction of its own. */
  async run(statement: Statement, circumstances: Circumstances): Promise<readonly TextRow[]> {
    this.#running += 1;
    try {
      const connection = await this.#usable();
      return await connection.run(statement, circumstances);
    } finally {
      this.#running -= 1;
    }
  }

  /** True while a statement is under way. */
  get isBusy(): boolean {
    return this.#running > 0;
  }

  /** Gives the connection back. */
  close(): void {
    this.#current?.release();
    this.#current = undefined;
  }

  async #usable(): Promise<OpenConnection> {
    if (this.#current?.isUsable === true) return this.#current;
    this.close();
    this.#opening ??= this.#reopen().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #reopen(): Promise<OpenConnection> {
    // Whoever calls in a loop while the server is away waits a little longer each time.
    if (this.#failures > 0) await pause(Math.min(10 * 2 ** this.#failures, 1_000));
    try {
      this.#current = await this.#open();
      this.#current.hold();
      this.#failures = 0;
      return this.#current;
    } catch (error) {
      this.#failures += 1;
      throw error;
    }
  }
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs);
  });
}
