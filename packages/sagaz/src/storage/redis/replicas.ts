import { SagaError } from "../../core/errors.ts";
import { toSagaError } from "./errors.ts";
import type { Line } from "./line.ts";

/** How many replicas must have a write before it counts, and how long to wait for them. */
export interface ReplicasWanted {
  readonly min: number;
  readonly timeoutMs: number;
}

/**
 * Waits until what a line has written is on as many replicas as are wanted.
 *
 * Redis keeps a waiting connection from everything else, heartbeats too, so whoever asks while it waits shares the next
 * wait: it covers all that was written before it.
 */
export class Replicas {
  readonly #line: Line;
  readonly #wanted: ReplicasWanted;
  #current: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(line: Line, wanted: ReplicasWanted) {
    this.#line = line;
    this.#wanted = wanted;
  }

  /**
   * All that this line has written so far, by the connection of this number: another one may have found another server, that
   * knows nothing of it.
   *
   * @throws SagaError with this code.
   */
  async reach(number: number, code: "SAGAZ_COMMIT_IN_DOUBT" | "SAGAZ_STORAGE_UNAVAILABLE"): Promise<void> {
    try {
      await this.#shared();
    } catch (error) {
      const { message } = toSagaError(error, { writes: false, wasSent: true });
      throw new SagaError(code, { message });
    }
    if (number !== this.#line.number)
      throw new SagaError(code, { message: "the connection was lost while replicas were waited for" });
  }

  #shared(): Promise<void> {
    if (!this.#current) return this.#begin();
    this.#next ??= this.#current.catch(() => {}).then(() => this.#begin());
    return this.#next;
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    const waiting = this.#wait().finally(() => {
      if (this.#current === waiting) this.#current = undefined;
    });
    this.#current = waiting;
    return waiting;
  }

  async #wait(): Promise<void> {
    const { min, timeoutMs } = this.#wanted;
    const reached = Number(await this.#line.call("WAIT", [min, timeoutMs], false));
    if (reached < min) throw new Error(`${reached} of ${min} replicas have it after ${timeoutMs} ms`);
  }
}
