import type { SagaError } from "../core/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { ClaimedSaga, SagaStorage } from "../ports/storage.ts";
import { keepTrying } from "./patience.ts";

/** Refusals of one saga's write at one place before it is parked as stuck. Conflicts may be races, several in a row. */
const REFUSALS_MAX = 2;
const CONFLICTS_MAX = 5;

/** What {@link Reload} needs of its worker. */
export interface ReloadParts {
  readonly storage: SagaStorage;
  readonly clock: Clock;
  readonly log: Log;
  readonly epoch: () => number;
  readonly isWanted: () => boolean;
  /** True when the saga is in memory (again). */
  readonly isHere: (sagaId: string) => boolean;
  readonly onLoaded: (saga: ClaimedSaga, epoch: number) => void;
  /** It cannot go on, however often it is tried. */
  readonly onHopeless: (saga: ClaimedSaga, why: string) => void;
}

/** A saga whose memory turned out not to be what is stored. */
interface Stray {
  /** How far it was on record when a write of it was refused, how often it was refused there, and why. */
  readonly ackedSeq: number;
  readonly count: number;
  readonly error: SagaError | undefined;
}

/**
 * Loads sagas anew that this worker owns and no longer has in memory: what memory held was not what is stored. Without
 * it such a saga would have an owner who does not run it, until the next call of the roll.
 */
export class Reload {
  readonly #parts: ReloadParts;
  /**
   * From the write that was refused, or the tail that was lost, until the saga has left in good order or is another's:
   * so no more than this worker owns. While one is left, nobody knows for sure which of our attempts took effect.
   */
  readonly #strays = new Map<string, Stray>();
  readonly #loading = new Set<string>();

  constructor(parts: ReloadParts) {
    this.#parts = parts;
  }

  /** Sagas on their way back into memory. */
  get loading(): Iterable<string> {
    return this.#loading;
  }

  /** True when the last write of every saga that ran here is on record. */
  get isClear(): boolean {
    return this.#strays.size === 0;
  }

  /** The saga ended, was given up or parked, and that is on record. */
  settled(sagaId: string): void {
    this.#strays.delete(sagaId);
  }

  /** Others own whatever was ours. */
  allLost(): void {
    this.#strays.clear();
  }

  /** Its tail was lost, or is not what we thought. */
  afterLoss(sagaId: string): void {
    if (!this.#strays.has(sagaId)) this.#strays.set(sagaId, { ackedSeq: 0, count: 0, error: undefined });
    this.begin(sagaId);
  }

  /**
   * A write was refused for good. Most of what causes that is over when the saga is decided anew, such as an id that
   * an outage made too old, or a race with a straggling write; many refusals at the same place are not chance any more.
   */
  afterRefusal({ sagaId, ackedSeq }: { sagaId: string; ackedSeq: number }, error: SagaError): void {
    if (error.code === "SAGAZ_FENCED" || error.code === "SAGAZ_STOPPED") return;
    this.#parts.log.warn("sagaz: a write was refused; its saga is loaded anew", {
      sagaId,
      error: error.message,
    });
    const before = this.#strays.get(sagaId);
    const count = before?.ackedSeq === ackedSeq ? before.count + 1 : 1;
    this.#strays.set(sagaId, { ackedSeq, count, error });
    this.begin(sagaId);
  }

  /** Brings a saga back into memory, if it is ours. */
  begin(sagaId: string): void {
    if (this.#loading.has(sagaId)) return;
    this.#loading.add(sagaId);
    const { clock, log, isWanted, epoch } = this.#parts;
    const under = epoch();
    const load = () => this.#load(sagaId, under);
    void keepTrying(load, { clock, log, what: "reloading a saga", isWanted }).finally(() =>
      this.#loading.delete(sagaId),
    );
  }

  async #load(sagaId: string, under: number): Promise<void> {
    const { storage, epoch, isHere } = this.#parts;
    const row = await storage.queries.find(sagaId);
    const journal = await storage.queries.journal(sagaId);
    if (under !== epoch() || isHere(sagaId)) return;
    if (row?.owner !== under) return this.settled(sagaId);
    this.takeUp({ sagaId, adoptions: row.adoptions, mailSeq: 0, journal }, under);
  }

  /**
   * Takes up a saga that is ours and not in memory. Its last owner was ourselves, or a claim whose answer was lost;
   * attempts of it may have run in any case. One that can only be parked, and whose parking was refused, is not run
   * again for that.
   */
  takeUp(saga: ClaimedSaga, epoch: number): void {
    const { onLoaded, onHopeless } = this.#parts;
    const adopted = { ...saga, adoptions: Math.max(1, saga.adoptions) };
    const stray = this.#strays.get(saga.sagaId);
    const why = stray && stray.ackedSeq === saga.journal.length ? whyHopeless(stray) : undefined;
    if (why === undefined) onLoaded(adopted, epoch);
    else onHopeless(adopted, why);
  }
}

function whyHopeless({ error, count }: Stray): string | undefined {
  if (!error) return undefined;
  const limit = error.code === "SAGAZ_CONFLICT" ? CONFLICTS_MAX : REFUSALS_MAX;
  return count < limit ? undefined : error.message;
}
