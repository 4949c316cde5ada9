import type { Log } from "../ports/log.ts";
import type { ClaimedSaga, SagaStorage } from "../ports/storage.ts";

/** Heartbeats from one call to the next: so many that an idle worker's questions stay few. */
const BEATS_BETWEEN = 6;

/** What a {@link RollCall} needs of its worker. */
export interface RollCallParts {
  readonly storage: SagaStorage;
  readonly log: Log;
  readonly epoch: () => number;
  readonly isWanted: () => boolean;
  /** Sagas of which this process knows: in memory, on their way there, or with a write under way that gives them up. */
  readonly known: () => readonly string[];
  readonly onForgotten: (sagas: readonly ClaimedSaga[], epoch: number) => void;
}

/**
 * Compares, every few heartbeats, what this worker owns with what it knows, and takes in what it has forgotten: a saga
 * whose parking was refused, a start that came through after it was given up. Such a saga has an owner that does not
 * run it, and that would stay so for as long as the worker lives.
 *
 * What is merely on its way must not be taken for forgotten: it would run twice. It cannot be:
 * - A claim commits before its answer is here. So claims and calls of the roll keep out of each other's way: see
 *   {@link taking}. A claim whose answer was lost is over; what it took is forgotten indeed, and the storage does not
 *   hand it over a second time.
 * - Every other saga that comes to be ours is known before the storage hears of it: a start has its runner, a start
 *   with a key is noted, what is loaded anew too.
 * - What leaves is known until its last write is answered; then it is not ours any more.
 * So what is ours at some moment of the question, was unknown when it was asked, and has not come into memory since,
 * is forgotten. Nobody else writes to it, so the journal in the answer is all there is.
 */
export class RollCall {
  readonly #parts: RollCallParts;
  #beats = 0;
  /** Claims under way, and who waits for the last of them. */
  #takings = 0;
  #onNone: (() => void) | undefined;
  #call: Promise<void> | undefined;
  /** What came into memory during the call: it may have left again. */
  readonly #came = new Set<string>();

  constructor(parts: RollCallParts) {
    this.#parts = parts;
  }

  onBeat(): void {
    if (++this.#beats % BEATS_BETWEEN !== 0 || this.#call) return;
    this.#call = this.#run().finally(() => {
      this.#call = undefined;
      this.#came.clear();
    });
  }

  /** A saga is in memory now. */
  came(sagaId: string): void {
    if (this.#call) this.#came.add(sagaId);
  }

  /** Claims sagas and takes them in, while no call of the roll is under way. */
  async taking<Answer>(claim: () => Promise<Answer>): Promise<Answer> {
    while (this.#call) await this.#call;
    this.#takings++;
    try {
      return await claim();
    } finally {
      this.#takings--;
      if (this.#takings === 0) this.#onNone?.();
    }
  }

  async #run(): Promise<void> {
    const { storage, log, epoch, isWanted, known, onForgotten } = this.#parts;
    if (this.#takings > 0) await new Promise<void>((resolve) => (this.#onNone = resolve));
    this.#onNone = undefined;
    if (!isWanted()) return;
    const under = epoch();
    try {
      const owned = await storage.leases.forgotten({ epoch: under, known: known() });
      const here = new Set([...known(), ...this.#came]);
      const forgotten = owned.filter(({ sagaId }) => !here.has(sagaId));
      if (forgotten.length === 0) return;
      log.warn("sagaz: sagas that this worker owns and did not know are taken up", {
        sagas: forgotten.map(({ sagaId }) => sagaId),
      });
      onForgotten(forgotten, under);
    } catch (error) {
      log.warn("sagaz: calling the roll failed; the next time will do", { error: String(error) });
    }
  }
}
