import { SagaError } from "../../core/errors.ts";
import type { MessageBroker } from "../../ports/broker.ts";
import type { Chance } from "../../ports/chance.ts";
import type { Clock } from "../../ports/clock.ts";
import { consoleLog } from "../../ports/log.ts";
import type { Log } from "../../ports/log.ts";
import type { Beat, SagaStorage } from "../../ports/storage.ts";
import { DatabaseTime } from "../database-time.ts";
import { Lease } from "../lease.ts";
import { Maintenance } from "../maintenance.ts";
import { keepTrying } from "../patience.ts";
import { systemChance, systemClock } from "../system.ts";
import { join, leave } from "../users.ts";
import { Relay } from "./relay.ts";
import type { RelayCounts } from "./relay.ts";
import type { PoisonPolicy } from "./verdict.ts";

/** How events are relayed. Only `storage` and `broker` are needed; times are milliseconds. */
export interface OutboxWorkerOptions {
  readonly storage: SagaStorage;
  /** Started by this worker, and stopped when nothing in this process uses it any more. */
  readonly broker: MessageBroker;
  /** For people; default `sagaz-outbox`. */
  readonly workerName?: string;
  /** Events that are published at a time. Default 1,000, up to 10,000. After a crash at most three times as many come again. */
  readonly batchMax?: number;
  /** Default 5,000. A relay that does not renew for this long is taken for dead, and others take its shards. From 500 on. */
  readonly leaseMs?: number;
  /** An event that the broker refuses so often is given up. Outages do not count. Default 5. */
  readonly attemptsMax?: number;
  /**
   * What becomes of an event of a topic that is given up: it goes to the dead letters, and its key goes on
   * (`dead-letter`, the default), or its key stands still and it is tried for ever (`block-key`).
   */
  readonly onPoison?: (topic: string) => PoisonPolicy;
  readonly clock?: Clock;
  readonly chance?: Chance;
  readonly log?: Log;
}

/** See {@link OutboxWorker.health}. */
export interface OutboxWorkerHealth {
  /** False while the broker takes nothing, or the lease cannot be renewed. */
  readonly isUp: boolean;
  /** What is wrong, for people. */
  readonly detail?: string;
}

/** Shards are given out anew at each heartbeat: the lease's third. */
const LEASE_MS_MIN = 500;
const BATCH_MAX = 10_000;

/**
 * Moves events from the outbox to a broker: at least once, in order per key, and never one whose transaction did not
 * commit.
 *
 * Run as many as you like, in applications or in processes of their own: they share the keys, and take over from each
 * other. An outage of the broker or the database is waited for, and costs no event. An event that the broker itself
 * refuses goes to the dead letters after `attemptsMax` tries.
 *
 * @example
 * await using relay = new OutboxWorker({ storage, broker: new InMemoryBroker() });
 * await relay.start();
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export class OutboxWorker {
  readonly #options: Required<Omit<OutboxWorkerOptions, "storage" | "broker">> & OutboxWorkerOptions;
  readonly #lease: Lease;
  readonly #maintenance: Maintenance;
  readonly #counts: RelayCounts = { sent: 0, refused: 0, dead: 0, outages: 0 };
  #relay: Relay | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #unlisten: (() => void) | undefined;
  #brokerUp: Promise<unknown> | undefined;

  constructor(options: OutboxWorkerOptions) {
    checkOptions(options);
    this.#options = {
      workerName: "sagaz-outbox",
      batchMax: 1_000,
      leaseMs: 5_000,
      attemptsMax: 5,
      onPoison: () => "dead-letter",
      clock: systemClock,
      chance: systemChance,
      log: consoleLog,
      ...options,
    };
    const { storage, clock, log, workerName, leaseMs } = this.#options;
    this.#maintenance = new Maintenance({ storage, clock, log });
    this.#lease = new Lease({
      storage,
      clock,
      log,
      time: new DatabaseTime(clock),
      workerName,
      leaseMs,
      definitions: () => [],
      onRegistered: (epoch) => this.#begin(epoch),
      onBeat: (beat) => void this.#onBeat(beat),
      onSuspended: () => {},
      onResumed: () => this.#relay?.hint(),
      onFenced: () => this.#relay?.close(),
    });
  }

  /** Events published, refused, given up, and batches that met an outage, since the start. */
  get counts(): Readonly<RelayCounts> {
    return { ...this.#counts };
  }

  /**
   * Connects to the storage and begins to relay; the broker may come later. After a failure it can be called again.
   *
   * @throws SagaError as the storage's `start()`; `SAGAZ_STOPPED`.
   */
  start(): Promise<void> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  async #start(): Promise<void> {
    if (this.#stopping) throw new SagaError("SAGAZ_STOPPED", { what: "outbox worker" });
    const { storage, broker, clock, log } = this.#options;
    await join(storage, this);
    const isWanted = () => !this.#stopping;
    this.#brokerUp = keepTrying(() => join(broker, this), {
      clock,
      log,
      what: "connecting to the broker",
      isWanted,
    });
    await this.#lease.start();
    this.#unlisten = storage.listen((hint) => {
      if (hint === "outbox") this.#relay?.hint();
    });
  }

  /** A new epoch, the first one or one after a fence: a relay of its own. */
  #begin(epoch: number): void {
    const { storage, broker, clock, log, batchMax, attemptsMax, onPoison, chance } = this.#options;
    this.#relay?.close();
    this.#relay = new Relay({
      outbox: storage.outbox,
      broker,
      clock,
      log,
      epoch,
      batchMax,
      policy: { attemptsMax, onPoison, luck: () => chance.next() },
      counts: this.#counts,
      mayPublish: () => !this.#lease.isSuspended,
      onFenced: (fenced) => this.#lease.fenced(fenced),
    });
    void this.#brokerUp?.then(() => this.#relay?.start());
    void this.#balance(this.#relay, epoch);
  }

  async #onBeat(beat: Beat): Promise<void> {
    const { storage, log } = this.#options;
    void this.#maintenance.ifDue();
    try {
      if (beat.upkeep) await storage.leases.fenceExpired();
    } catch (error) {
      log.warn("sagaz: the sweep failed; the next one will do", { error: String(error) });
    }
    if (this.#relay) await this.#balance(this.#relay, this.#lease.epoch);
  }

  async #balance(relay: Relay, epoch: number): Promise<void> {
    const { storage, log } = this.#options;
    try {
      const { shards, share } = await storage.outbox.balance(epoch);
      relay.hold(shards, share);
    } catch (error) {
      log.warn("sagaz: the shards could not be shared out; the next heartbeat will do", {
        error: String(error),
      });
    }
  }

  /** Tells whether events get out; never rejects. */
  async health(): Promise<OutboxWorkerHealth> {
    if (!this.#relay || this.#stopping) return { isUp: false, detail: "it is not started" };
    if (this.#lease.isSuspended) return { isUp: false, detail: "its lease could not be renewed" };
    const { outage } = this.#relay;
    if (outage) return { isUp: false, detail: outage.message };
    const { isUp, detail } = await this.#options.broker.health();
    return detail === undefined ? { isUp } : { isUp, detail };
  }

  /**
   * Lets the batch that is with the broker end, notes it, and gives the shards back at once. Safe twice and before
   * start.
   */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  async #stop(): Promise<void> {
    await this.#starting?.catch(() => {});
    const { storage, broker, log } = this.#options;
    this.#unlisten?.();
    await this.#relay?.stop();
    await this.#lease.stop();
    if (this.#relay) {
      // If it fails, the shards are free when the lease has run out.
      await storage.leases.retire(this.#lease.epoch).catch((error: unknown) => {
        log.warn("sagaz: the shards could not be given back", { error: String(error) });
      });
    }
    await leave(broker, this);
    await leave(storage, this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

function checkOptions(options: OutboxWorkerOptions): void {
  const bounds = {
    batchMax: [1, BATCH_MAX],
    leaseMs: [LEASE_MS_MIN, Number.MAX_SAFE_INTEGER],
    attemptsMax: [1, Number.MAX_SAFE_INTEGER],
  } as const;
  for (const [option, [least, most]] of Object.entries(bounds)) {
    const value = options[option as keyof typeof bounds];
    if (value === undefined || (Number.isSafeInteger(value) && value >= least && value <= most)) continue;
    const upTo = most === Number.MAX_SAFE_INTEGER ? "on" : `to ${most}`;
    const rule = `it must be a whole number from ${least} ${upTo}`;
    throw new SagaError("SAGAZ_INVALID_OPTION", {
      where: "OutboxWorker",
      option,
      value: String(value),
      rule,
    });
  }
}
