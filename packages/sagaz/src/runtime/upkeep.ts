import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Beat, ClaimedSaga, SagaStorage } from "../ports/storage.ts";
import { CLAIM_MAX } from "./intake.ts";
import { Maintenance } from "./maintenance.ts";
import type { RollCall } from "./roll-call.ts";
import type { Timers } from "./timers.ts";

/** A definition that no live worker holds for this long parks its sagas. */
const DEFINITION_MISSING_MS = 300_000;

/** What {@link Upkeep} needs of its worker. */
export interface UpkeepParts {
  readonly storage: SagaStorage;
  readonly clock: Clock;
  readonly log: Log;
  readonly timers: Timers;
  readonly epoch: () => number;
  /** Workers sweep at different moments. */
  readonly jitterMs: () => number;
  readonly isWanted: () => boolean;
  /** Sagas of a dead worker can be claimed now. */
  readonly onReleased: () => void;
  /** Sagas that nobody can run were claimed, to be parked; or what a claim took whose answer was lost. */
  readonly onOrphans: (sagas: readonly ClaimedSaga[], epoch: number) => void;
  /** See {@link RollCall.taking}. */
  readonly taking: RollCall["taking"];
}

/** The work that keeps the whole going: every worker does it, none is special, and twice does no harm. */
export class Upkeep {
  readonly #parts: UpkeepParts;
  readonly #maintenance: Maintenance;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
    this.#maintenance = new Maintenance(parts);
  }

  /** A heartbeat says whether there is something to sweep. */
  onBeat(beat: Beat): void {
    const { timers, jitterMs } = this.#parts;
    if (beat.upkeep) timers.later(jitterMs(), () => void this.#sweep());
    void this.#maintenance.ifDue();
  }

  /** Lets go of the sagas of dead workers, and collects those that nobody can run. */
  async #sweep(): Promise<void> {
    const { storage, log, epoch, isWanted, onReleased, onOrphans, taking } = this.#parts;
    if (!isWanted()) return;
    try {
      const sagas = await storage.leases.fenceExpired();
      if (sagas > 0) {
        log.info("sagaz: took over from a dead worker", { sagas });
        onReleased();
      }
      await taking(async () => {
        const orphans = { epoch: epoch(), missingMs: DEFINITION_MISSING_MS, limit: CLAIM_MAX };
        onOrphans(await storage.upkeep.claimOrphans(orphans), orphans.epoch);
      });
    } catch (error) {
      log.warn("sagaz: the sweep failed; the next one will do", { error: String(error) });
    }
  }
}
