import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Beat, HeldDefinition, SagaStorage } from "../ports/storage.ts";
import type { DatabaseTime } from "./database-time.ts";
import { keepTrying } from "./patience.ts";
import { Timers } from "./timers.ts";

/** Parts of a lease: a beat after each third; without an answer for two thirds nothing begins any more. */
const BEATS_PER_LEASE = 3;
/** One lost beat must not cost the lease: until one is answered they come quicker. */
const BEATS_PER_LEASE_IN_TROUBLE = 20;
const SUSPEND_AFTER = 2 / 3;

/** What a lease is made of. */
export interface LeaseParts {
  readonly storage: SagaStorage;
  readonly clock: Clock;
  readonly log: Log;
  readonly time: DatabaseTime;
  readonly workerName: string;
  readonly leaseMs: number;
  readonly definitions: () => readonly HeldDefinition[];
  /** Called with each new epoch. */
  readonly onRegistered: (epoch: number) => void;
  /** Called with the answer to each heartbeat. */
  readonly onBeat: (beat: Beat) => void;
  /** Others may soon take over: nothing may begin, attempts stop. */
  readonly onSuspended: () => void;
  /** The lease was renewed after all. */
  readonly onResumed: () => void;
  /** Others own our sagas now. */
  readonly onFenced: (epoch: number) => void;
}

/**
 * The lease of a worker: one heartbeat for all its sagas. Its age is measured by the monotonic clock from when a beat
 * was sent, so neither a jump of the wall clock nor a slow answer makes it look younger than the database sees it.
 */
export class Lease {
  readonly #parts: LeaseParts;
  readonly #timers: Timers;
  #epoch = 0;
  #renewedAt = 0;
  #isSuspended = false;
  #isStopped = false;
  #comingBack: Promise<boolean> | undefined;

  constructor(parts: LeaseParts) {
    this.#parts = parts;
    this.#timers = new Timers(parts.clock);
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** True while this worker may not begin anything: its lease is in danger, or lost. */
  get isSuspended(): boolean {
    return this.#isSuspended || this.#comingBack !== undefined;
  }

  /** Registers and begins to beat. */
  async start(): Promise<void> {
    await this.#register();
    this.#beatLater();
  }

  /** Stops beating. What the lease holds must be given back before, or waits until it runs out. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timers.stop();
    await this.#comingBack;
  }

  async #register(): Promise<void> {
    const { storage, clock, time, workerName, leaseMs, definitions } = this.#parts;
    const askedAt = clock.monotonic();
    const { epoch, now } = await storage.leases.register({ workerName, leaseMs, definitions: definitions() });
    time.set(now, askedAt);
    this.#epoch = epoch;
    this.#renewedAt = askedAt;
    this.#isSuspended = false;
    this.#parts.onRegistered(epoch);
  }

  #beatLater(perLease = BEATS_PER_LEASE): void {
    this.#timers.later(this.#parts.leaseMs / perLease, () => void this.#beat());
  }

  async #beat(): Promise<void> {
    const { storage, clock, log, time } = this.#parts;
    const askedAt = clock.monotonic();
    const watch = this.#timers.later(Math.max(1, this.#leftMs(askedAt)), () => this.#suspend());
    try {
      const beat = await storage.leases.beat(this.#epoch);
      time.set(beat.now, askedAt);
      watch.cancel();
      if (beat.alive) this.#renewed(askedAt, beat);
      else this.fenced(this.#epoch);
    } catch (error) {
      log.warn("sagaz: the heartbeat was not answered", { error: String(error) });
      return this.#beatLater(BEATS_PER_LEASE_IN_TROUBLE);
    }
    this.#beatLater();
  }

  /** How long things may still begin without an answer. */
  #leftMs(now: number): number {
    return this.#parts.leaseMs * SUSPEND_AFTER - (now - this.#renewedAt);
  }

  #renewed(askedAt: number, beat: Beat): void {
    this.#renewedAt = askedAt;
    if (this.#isSuspended) {
      this.#isSuspended = false;
      this.#parts.onResumed();
    }
    this.#parts.onBeat(beat);
  }

  /** Called when a beat has waited for too long; a later one may have been answered meanwhile. */
  #suspend(): void {
    if (this.#isSuspended || this.#leftMs(this.#parts.clock.monotonic()) > 0) return;
    this.#isSuspended = true;
    this.#parts.log.warn("sagaz: the lease could not be renewed in time; this worker pauses", {
      epoch: this.#epoch,
    });
    this.#parts.onSuspended();
  }

  /** Somebody noticed that this epoch is fenced: everything is dropped, and the worker comes back under a new one. */
  fenced(epoch: number): void {
    if (epoch !== this.#epoch || this.#comingBack || this.#isStopped) return;
    const { clock, log } = this.#parts;
    log.warn("sagaz: this worker was fenced; its sagas go on elsewhere", { epoch });
    const isWanted = () => !this.#isStopped;
    this.#comingBack = keepTrying(() => this.#register(), { clock, log, what: "a registration", isWanted });
    this.#parts.onFenced(epoch);
    void this.#comingBack.then(() => {
      this.#comingBack = undefined;
      if (!this.#isStopped) this.#parts.onResumed();
    });
  }
}
