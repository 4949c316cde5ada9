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

/**
 * Loads sagas anew that this worker owns and no longer has in memory: what memory held was not what is stored. Without
 * it such a saga would have an owner who does not run it, for as long as that one lives.
 */
export class Reload {
  readonly #parts: ReloadParts;
  /** How far a saga was on record when a write of it was refused, and how often it was refused there. */
  readonly #refusals = new Map<string, { readonly ackedSeq: number; readonly count: number }>();

  constructor(parts: ReloadParts) {
    this.#parts = parts;
  }

  /** Its tail was lost, or is not what we thought. */
  begin(sagaId: string): void {
    this.#load(sagaId, (saga, epoch) => this.#parts.onLoaded(saga, epoch));
  }

  /**
   * A write was refused for good. Most of what causes that is over when the saga is decided anew, such as an id that
   * an outage made too old, or a race with a straggling write; many refusals at the same place are not chance any more.
   */
  afterRefusal({ sagaId, ackedSeq }: { sagaId: string; ackedSeq: number }, error: SagaError): void {
    const { log, onHopeless } = this.#parts;
    if (error.code === "SAGAZ_FENCED" || error.code === "SAGAZ_STOPPED") return;
    log.warn("sagaz: a write was refused; its saga is loaded anew", { sagaId, error: error.message });
    const before = this.#refusals.get(sagaId);
    const count = before?.ackedSeq === ackedSeq ? before.count + 1 : 1;
    this.#refusals.set(sagaId, { ackedSeq, count });
    const limit = error.code === "SAGAZ_CONFLICT" ? CONFLICTS_MAX : REFUSALS_MAX;
    if (count >= limit) this.#load(sagaId, (saga) => onHopeless(saga, error.message));
    else this.begin(sagaId);
  }

  #load(sagaId: string, then: (saga: ClaimedSaga, epoch: number) => void): void {
    const { storage, epoch, isHere, clock, log, isWanted } = this.#parts;
    const before = epoch();
    const load = async () => {
      const row = await storage.queries.find(sagaId);
      const journal = await storage.queries.journal(sagaId);
      if (row?.owner !== before || before !== epoch() || isHere(sagaId)) return;
      then({ sagaId, adoptions: Math.max(1, row.adoptions), mailSeq: 0, journal }, before);
    };
    void keepTrying(load, { clock, log, what: "reloading a saga", isWanted });
  }
}
