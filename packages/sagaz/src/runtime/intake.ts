import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Claim, ClaimedSaga, SagaStorage } from "../ports/storage.ts";
import type { RollCall } from "./roll-call.ts";
import { Timers } from "./timers.ts";

/** Sagas claimed in one round trip. */
export const CLAIM_MAX = 200;
/** After work was found the next look comes this soon; without any the delay grows, up to the heartbeat. */
const POLL_MS = { first: 20, factor: 2 };

/** A saga started in somebody's transaction is looked for: nobody tells us of the commit. */
const HUNT_MS = { first: 2, most: 1_000, forMs: 30_000 };

/** What an intake is made of. */
export interface IntakeParts {
  readonly storage: SagaStorage;
  readonly clock: Clock;
  readonly log: Log;
  readonly epoch: () => number;
  /** What this process can take now. */
  readonly wanted: () => Pick<Claim, "limit" | "definitions" | "tenants">;
  /** The heartbeat looks for work anyway: no poll is slower. */
  readonly beatMs: number;
  readonly onClaimed: (sagas: readonly ClaimedSaga[], epoch: number) => void;
  /** See {@link RollCall.taking}. */
  readonly taking: RollCall["taking"];
}

/** Claims sagas that wait for a worker: on hints, and by looking, often after work was found and ever less without. */
export class Intake {
  readonly #parts: IntakeParts;
  readonly #timers: Timers;
  #pollMs = 0;
  #isClaiming = false;
  #again = false;
  #isStopped = false;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
    this.#timers = new Timers(parts.clock);
  }

  /** There may be work: look now, and a few times more. */
  look(): void {
    this.#pollMs = POLL_MS.first;
    void this.#claim();
  }

  /**
   * A heartbeat says that there is work: look once, and again if that found some. It says so with each beat while all
   * work that is left is of full definitions and tenants; looking often would not help then, but {@link look} when there is room.
   */
  glance(): void {
    void this.#claim();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timers.stop();
  }

  async #claim(): Promise<void> {
    this.#again = true;
    if (this.#isClaiming) return;
    this.#isClaiming = true;
    try {
      while (this.#again) {
        this.#again = false;
        if (await this.#parts.taking(() => this.#claimOnce())) this.#again = true;
      }
    } catch (error) {
      // The storage may be stopped under the last claim.
      if (!this.#isStopped) this.#parts.log.warn("sagaz: claiming work failed", { error: String(error) });
    } finally {
      this.#isClaiming = false;
    }
  }

  /** Answers whether there may be more to claim at once. */
  async #claimOnce(): Promise<boolean> {
    const { storage, epoch, onClaimed } = this.#parts;
    const wanted = this.#parts.wanted();
    const limit = Math.min(wanted.limit, CLAIM_MAX);
    if (limit <= 0) return false;
    const under = epoch();
    const claimed = await storage.leases.claim({ ...wanted, epoch: under, limit });
    if (claimed.length > 0) {
      this.#pollMs = POLL_MS.first;
      onClaimed(claimed, under);
    }
    this.#pollLater();
    return claimed.length === limit;
  }

  /** Looks for one saga, ever less often, until it is here or another's, or was not found for too long; then a sweep finds it. */
  hunt(sagaId: string, isHere: () => boolean): void {
    const { clock } = this.#parts;
    const until = clock.monotonic() + HUNT_MS.forMs;
    const lookAfter = (delayMs: number): void => {
      this.#timers.later(delayMs, () => {
        void this.#claimOne(sagaId, isHere).then((mayCome) => {
          if (mayCome && clock.monotonic() < until) lookAfter(Math.min(delayMs * 2, HUNT_MS.most));
        });
      });
    };
    lookAfter(HUNT_MS.first);
  }

  /** Answers whether it may still come. */
  async #claimOne(sagaId: string, isHere: () => boolean): Promise<boolean> {
    const { storage, log, epoch, onClaimed, taking } = this.#parts;
    if (isHere()) return false;
    const wanted = this.#parts.wanted();
    if (wanted.limit <= 0) return true;
    try {
      await taking(async () => {
        const claim = { ...wanted, epoch: epoch(), limit: 1, sagaId };
        onClaimed(await storage.leases.claim(claim), claim.epoch);
      });
      return !isHere() && !(await this.#isTaken(sagaId));
    } catch (error) {
      log.debug("sagaz: looking for a started saga failed", { sagaId, error: String(error) });
      return true;
    }
  }

  /** Somebody has it, or has had it: whoever begins a saga writes to it. */
  async #isTaken(sagaId: string): Promise<boolean> {
    const [tail] = await this.#parts.storage.journal.tails([sagaId]);
    return tail !== undefined && (tail.owner !== null || tail.seq > 1);
  }

  #pollLater(): void {
    const delayMs = this.#pollMs;
    if (delayMs === 0 || delayMs >= this.#parts.beatMs) {
      this.#pollMs = 0;
      return;
    }
    this.#pollMs = delayMs * POLL_MS.factor;
    this.#timers.later(delayMs, () => void this.#claim());
  }
}
