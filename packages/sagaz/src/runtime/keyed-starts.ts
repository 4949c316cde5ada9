import { isSagaError, SagaError } from "../core/errors.ts";
import type { KeyedOutcome } from "../ports/storage.ts";
import type { NewSaga } from "./entry.ts";
import type { Worker } from "./worker.ts";

const BATCH_MAX = 100;
const RETRY_MS = { first: 20, most: 1_000 };
/** A start whose key is held by another open transaction is tried again for this long. */
const HELD_MS = 1_000;

interface Waiting {
  readonly saga: NewSaga;
  readonly resolve: (outcome: KeyedOutcome) => void;
  readonly reject: (error: unknown) => void;
  /** Of the first and the last try: one that was in doubt may have started the saga under an epoch that is over. */
  epochs: { readonly first: number; readonly last: number } | undefined;
  isInDoubt: boolean;
  /** Its key was held: since when, and the delay before the next try. */
  held: { readonly since: number; readonly delayMs: number } | undefined;
}

/**
 * Starts with idempotency keys. They have a lane of their own and never hold up a step's result. One whose key is held
 * by another open transaction leaves the lane and comes back to it, so that it never holds up those with other keys.
 */
export class KeyedStarts {
  readonly #worker: Worker;
  #queue: Waiting[] = [];
  /** Those whose keys were held: they go apart from the others, who would wait with them. */
  #again: Waiting[] = [];
  #resting = 0;
  #busy = false;

  constructor(worker: Worker) {
    this.#worker = worker;
  }

  /** Starts that wait for their turn. */
  get waiting(): number {
    return this.#queue.length + this.#again.length + this.#resting;
  }

  /** Resolves once the saga, or the one that had the key, is on record. */
  start(saga: NewSaga): Promise<KeyedOutcome> {
    const { room, expected } = this.#worker;
    const { row: start } = saga;
    expected.add(start.sagaId);
    // What this worker will run takes room before it is in memory.
    if (start.owned) room.enter(start.sagaId, { name: start.sagaName, ...start });
    return new Promise<KeyedOutcome>((resolve, reject) => {
      const state = { epochs: undefined, isInDoubt: false, held: undefined };
      this.#queue.push({ saga, resolve, reject, ...state });
      this.#runSoon();
    }).finally(() => {
      expected.delete(start.sagaId);
      if (!this.#worker.find(start.sagaId)) room.leave(start.sagaId);
    });
  }

  #runSoon(): void {
    if (!this.#busy) void this.#run();
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#queue.length + this.#again.length > 0) {
      await this.#write(this.#queue.splice(0, BATCH_MAX));
      await this.#write(this.#again.splice(0, BATCH_MAX));
    }
    this.#busy = false;
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    if (batch.length === 0) return;
    try {
      const outcomes = await this.#try(batch);
      batch.forEach((waiting, i) => this.#done(waiting, outcomes[i]));
    } catch (error) {
      if (batch.length === 1 || isSagaError(error, "SAGAZ_FENCED"))
        for (const waiting of batch) this.#failed(waiting, error);
      // One that is refused must not sink its neighbours.
      else for (const waiting of batch) await this.#write([waiting]);
    }
  }

  /** An earlier try may have come through after all: then the saga is ours, and somebody has to run it. */
  #failed({ saga, reject }: Waiting, error: unknown): void {
    this.#worker.seek(saga.row.sagaId);
    reject(error);
  }

  /** A start in doubt is simply repeated: its own key then answers with its own id. */
  async #try(batch: readonly Waiting[]): Promise<readonly KeyedOutcome[]> {
    const starts = batch.map(({ saga }) => saga.row);
    for (let delayMs = RETRY_MS.first; ; delayMs = Math.min(delayMs * 2, RETRY_MS.most)) {
      const last = this.#worker.epoch();
      for (const waiting of batch) waiting.epochs = { first: waiting.epochs?.first ?? last, last };
      try {
        return await this.#worker.storage.journal.startKeyed(last, starts);
      } catch (error) {
        if (isSagaError(error, "SAGAZ_COMMIT_IN_DOUBT"))
          for (const waiting of batch) waiting.isInDoubt = true;
        if (!this.#mayRepeat(error)) throw error;
      }
      await new Promise<void>((resolve) => this.#worker.clock.setTimer(delayMs, resolve));
    }
  }

  #mayRepeat(error: unknown): boolean {
    return isSagaError(error) && error.retryable && error.code !== "SAGAZ_FENCED" && this.#worker.isRunning;
  }

  #done(waiting: Waiting, outcome: KeyedOutcome | undefined): void {
    const { saga, epochs, resolve, reject } = waiting;
    if (!outcome || !epochs)
      return reject(new SagaError("SAGAZ_BUG", { rule: "every keyed start has an outcome" }));
    if (outcome.kind === "busy") return this.#isHeld(waiting);
    if (outcome.sagaId === saga.row.sagaId && saga.row.owned)
      this.#worker.takeStarted(saga, outcome.kind === "started" ? epochs.last : epochs.first);
    resolve(outcome);
  }

  /**
   * Another transaction has the key and is open: its end may be near. It may also be the very write of ours that is in
   * doubt, which nobody would run if it came through after all: that is waited for until it is sure.
   */
  #isHeld(waiting: Waiting): void {
    const { clock, isRunning } = this.#worker;
    const { since, delayMs } = waiting.held ?? { since: clock.monotonic(), delayMs: RETRY_MS.first };
    const isWorthIt = waiting.isInDoubt || clock.monotonic() - since < HELD_MS;
    if (!isRunning || !isWorthIt) return waiting.resolve({ kind: "busy" });
    waiting.held = { since, delayMs: Math.min(delayMs * 2, RETRY_MS.most) };
    this.#resting++;
    clock.setTimer(delayMs, () => {
      this.#resting--;
      this.#again.push(waiting);
      this.#runSoon();
    });
  }
}
