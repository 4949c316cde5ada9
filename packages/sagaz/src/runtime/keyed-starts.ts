import type { SagaDefinition } from "../core/definition/definition.ts";
import { isSagaError, SagaError } from "../core/errors.ts";
import type { KeyedOutcome, StartRow } from "../ports/storage.ts";
import type { Worker } from "./worker.ts";

const BATCH_MAX = 100;
const RETRY_MS = { first: 20, most: 1_000 };

interface Waiting {
  readonly start: StartRow;
  readonly definition: SagaDefinition;
  readonly resolve: (outcome: KeyedOutcome) => void;
  readonly reject: (error: unknown) => void;
}

interface Sure {
  readonly outcomes: readonly KeyedOutcome[];
  /** Of the first and the last try: one that was in doubt may have started the saga under an epoch that is over. */
  readonly epochs: { readonly first: number; readonly last: number };
}

/**
 * Starts with idempotency keys. They wait behind other open transactions with the same key, so they have a lane of
 * their own and never hold up a step's result.
 */
export class KeyedStarts {
  readonly #worker: Worker;
  #queue: Waiting[] = [];
  #busy = false;

  constructor(worker: Worker) {
    this.#worker = worker;
  }

  /** Starts that wait for their turn. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Resolves once the saga, or the one that had the key, is on record. */
  start(start: StartRow, definition: SagaDefinition): Promise<KeyedOutcome> {
    const { room } = this.#worker;
    // What this worker will run takes room before it is in memory.
    if (start.owned) room.enter(start.sagaId, { name: start.sagaName, ...start });
    return new Promise<KeyedOutcome>((resolve, reject) => {
      this.#queue.push({ start, definition, resolve, reject });
      if (!this.#busy) void this.#run();
    }).finally(() => {
      if (!this.#worker.find(start.sagaId)) room.leave(start.sagaId);
    });
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#queue.length > 0) await this.#write(this.#queue.splice(0, BATCH_MAX));
    this.#busy = false;
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    try {
      const { outcomes, epochs } = await this.#tryUntilSure(batch.map(({ start }) => start));
      batch.forEach((waiting, i) => this.#done(waiting, outcomes[i], epochs));
    } catch (error) {
      if (batch.length === 1 || isSagaError(error, "SAGAZ_FENCED"))
        for (const waiting of batch) this.#failed(waiting, error);
      // One that is refused must not sink its neighbours.
      else for (const waiting of batch) await this.#write([waiting]);
    }
  }

  /** An earlier try may have come through after all: then the saga is ours, and somebody has to run it. */
  #failed({ start: { sagaId }, reject }: Waiting, error: unknown): void {
    if (isSagaError(error)) this.#worker.notWritten({ sagaId, ackedSeq: 0 }, error);
    reject(error);
  }

  /** A start in doubt is simply repeated: its own key then answers with its own id. */
  async #tryUntilSure(starts: readonly StartRow[]): Promise<Sure> {
    const first = this.#worker.epoch();
    let isInDoubt = false;
    for (let delayMs = RETRY_MS.first; ; delayMs = Math.min(delayMs * 2, RETRY_MS.most)) {
      const last = this.#worker.epoch();
      try {
        const outcomes = await this.#worker.storage.journal.startKeyed(last, starts);
        // The key may be held by the very write that is in doubt, which nobody would run if it came through after all.
        const isSure = !isInDoubt || !this.#worker.isRunning || outcomes.every(({ kind }) => kind !== "busy");
        if (isSure) return { outcomes, epochs: { first, last } };
      } catch (error) {
        isInDoubt ||= isSagaError(error, "SAGAZ_COMMIT_IN_DOUBT");
        if (!this.#mayRepeat(error)) throw error;
      }
      await new Promise<void>((resolve) => this.#worker.clock.setTimer(delayMs, resolve));
    }
  }

  #mayRepeat(error: unknown): boolean {
    return isSagaError(error) && error.retryable && error.code !== "SAGAZ_FENCED" && this.#worker.isRunning;
  }

  #done(
    { start, definition, resolve, reject }: Waiting,
    outcome: KeyedOutcome | undefined,
    epochs: Sure["epochs"],
  ): void {
    if (!outcome) return reject(new SagaError("SAGAZ_BUG", { rule: "every keyed start has an outcome" }));
    if (outcome.kind !== "busy" && outcome.sagaId === start.sagaId && start.owned)
      this.#worker.takeStarted(start, definition, outcome.kind === "started" ? epochs.last : epochs.first);
    resolve(outcome);
  }
}
