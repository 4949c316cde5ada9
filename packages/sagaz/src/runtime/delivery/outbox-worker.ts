import { toShown } from "../../core/delivery/url-topic.ts";
import { SagaError } from "../../core/errors.ts";
import { givenOptions, PARTS, type Wanted } from "../../core/given-options.ts";
import type { MessageOutlet } from "../../ports/broker.ts";
import type { Chance } from "../../ports/chance.ts";
import type { Clock } from "../../ports/clock.ts";
import { consoleLog } from "../../ports/log.ts";
import type { Log } from "../../ports/log.ts";
import type { Beat, OutboxStorage, SagaStorage } from "../../ports/storage.ts";
import { DatabaseTime } from "../database-time.ts";
import { Lease } from "../lease.ts";
import { Maintenance } from "../maintenance.ts";
import { OneLife } from "../one-life.ts";
import { keepTrying } from "../patience.ts";
import { systemChance, systemClock } from "../system.ts";
import { join, leave } from "../users.ts";
import { CdcDelivery } from "./cdc-delivery.ts";
import type { DeliveryState } from "./cdc-delivery.ts";
import { Relay } from "./relay.ts";
import type { RelayCounts, RelayParts } from "./relay.ts";
import type { PoisonPolicy } from "./verdict.ts";

/** How events are relayed. Only `storage` and `broker` are needed; times are milliseconds. */
export interface OutboxWorkerOptions {
  readonly storage: SagaStorage;
  /** Started by this worker, and stopped when nothing in this process uses it any more. */
  readonly broker: MessageOutlet;
  /** For people; default `sagaz-outbox`. */
  readonly workerName?: string;
  /**
   * Events that are published at a time. Default 1,000, up to 10,000; large ones fewer, up to 16 MB of payloads and one event more.
   * After a crash at most three times as many come again.
   */
  readonly batchMax?: number;
  /** Default 5,000. A relay that does not renew for this long is taken for dead, and others take its shards. From 500 on. */
  readonly leaseMs?: number;
  /** An event that the broker refuses so often is given up. Outages do not count. Default 5. */
  readonly attemptsMax?: number;
  /**
   * What becomes of an event of a topic that is given up: it goes to the dead letters, and its key goes on
   * (`dead-letter`, the default), or its key stands still and it is tried for ever (`block-key`; also when this throws).
   */
  readonly onPoison?: (topic: string) => PoisonPolicy;
  /**
   * How events are found: by polling the tables (`relay`, the default), or in the database's log (`cdc`), by one worker at
   * a time. Where the log cannot be read they are polled for until it can. Needs `wal_level = logical` and a role with
   * `REPLICATION`.
   */
  readonly delivery?: "relay" | "cdc";
  /** Log that is kept for a reader who does not get on, in bytes; then polling takes over. Default 1 GiB; from 1 MiB on. */
  readonly slotWalBytesMax?: number;
  readonly clock?: Clock;
  readonly chance?: Chance;
  readonly log?: Log;
}

/** See {@link OutboxWorker.health}. */
export interface OutboxWorkerHealth {
  /** False while the broker takes nothing, or the lease cannot be renewed. A URL that takes nothing is a detail. */
  readonly isUp: boolean;
  /** What is wrong, for people; also when events get out, but are polled for where the log was to be read. */
  readonly detail?: string;
}

/** Shards are given out anew at each heartbeat: the lease's third. */
const LEASE_MS_MIN = 500;
const BATCH_MAX = 10_000;
const SLOT_WAL_BYTES_MIN = 1 << 20;
const WANTED: Wanted<OutboxWorkerOptions> = {
  storage: PARTS.storage,
  broker: PARTS.outlet,
  workerName: "optional",
  batchMax: { from: 1, to: BATCH_MAX },
  leaseMs: { from: LEASE_MS_MIN },
  attemptsMax: { from: 1 },
  onPoison: "function",
  delivery: { oneOf: ["relay", "cdc"] },
  slotWalBytesMax: { from: SLOT_WAL_BYTES_MIN },
  clock: "optional",
  chance: "optional",
  log: PARTS.log,
};

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
  readonly #life = new OneLife({
    what: "outbox worker",
    start: () => this.#start(),
    stop: () => this.#stop(),
  });
  readonly #options: Required<Omit<OutboxWorkerOptions, "storage" | "broker">> & OutboxWorkerOptions;
  readonly #lease: Lease;
  readonly #maintenance: Maintenance;
  readonly #counts: RelayCounts = { sent: 0, refused: 0, dead: 0, outages: 0 };
  readonly #cdc: CdcDelivery | undefined;
  #relay: Relay | undefined;
  #unlisten: (() => void) | undefined;
  #brokerUp: Promise<boolean> | undefined;
  /** Until then it takes no keys: others may reach the broker. */
  #mayRelay = false;

  constructor(options: OutboxWorkerOptions) {
    this.#options = {
      workerName: "sagaz-outbox",
      batchMax: 1_000,
      leaseMs: 5_000,
      attemptsMax: 5,
      onPoison: () => "dead-letter",
      delivery: "relay",
      slotWalBytesMax: 1 << 30,
      clock: systemClock,
      chance: systemChance,
      log: consoleLog,
      ...givenOptions("OutboxWorker", options, WANTED),
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
      onFenced: () => {
        this.#relay?.close();
        this.#cdc?.fenced();
      },
    });
    this.#cdc = this.#options.delivery === "cdc" ? this.#toCdc() : undefined;
  }

  #toCdc(): CdcDelivery {
    const { storage, clock, slotWalBytesMax } = this.#options;
    const { eventStreams: streams, name } = storage;
    if (!streams) throw new SagaError("SAGAZ_CANNOT", { storage: name, what: "read events from a log" });
    return new CdcDelivery({
      ...this.#relayParts(),
      streams,
      clock,
      slotWalBytesMax,
      epoch: () => this.#lease.epoch,
      balance: () => this.#balance(),
    });
  }

  /** How events get out now, and why not as they should. */
  get delivery(): DeliveryState {
    return this.#cdc?.state ?? { mode: "relay" };
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
    return this.#life.start();
  }

  async #start(): Promise<void> {
    const { storage, broker, clock, log } = this.#options;
    await join(storage, this);
    const isWanted = () => !this.#life.isOver;
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
    this.#relay?.close();
    this.#relay = new Relay({ ...this.#relayParts(), epoch });
    void this.#brokerUp?.then((isUp) => {
      if (isUp && !this.#life.isOver) this.#goOn();
    });
  }

  #goOn(): void {
    this.#mayRelay = true;
    this.#relay?.start();
    // Who may read looks first whether it can: the next heartbeat shares the shards out if not.
    if (this.#cdc) this.#cdc.start();
    else void this.#balance();
  }

  #relayParts(): Omit<RelayParts, "epoch" | "outbox"> & { readonly outbox: OutboxStorage } {
    const { storage, broker, clock, log, batchMax, attemptsMax, onPoison, chance } = this.#options;
    return {
      outbox: storage.outbox,
      broker,
      clock,
      log,
      batchMax,
      policy: { attemptsMax, onPoison: guarded(onPoison, log), luck: () => chance.next() },
      counts: this.#counts,
      mayPublish: () => !this.#lease.isSuspended,
      onFenced: (fenced) => this.#lease.fenced(fenced),
    };
  }

  async #onBeat(beat: Beat): Promise<void> {
    const { storage, log, slotWalBytesMax } = this.#options;
    void this.#maintenance.ifDue();
    try {
      if (beat.upkeep) await storage.leases.fenceExpired();
      await storage.eventStreams?.tidy({ slotWalBytesMax });
    } catch (error) {
      log.warn("sagaz: the sweep failed; the next one will do", { error: String(error) });
    }
    if (this.#mayRelay) await this.#balance();
  }

  async #balance(): Promise<void> {
    const { storage, log } = this.#options;
    const relay = this.#relay;
    if (!relay) return;
    try {
      const { shards, share } = await storage.outbox.balance(this.#lease.epoch);
      relay.hold(shards, share);
    } catch (error) {
      log.warn("sagaz: the shards could not be shared out; the next heartbeat will do", {
        error: String(error),
      });
    }
  }

  /** Tells whether events get out; never rejects. */
  async health(): Promise<OutboxWorkerHealth> {
    const obstacle = this.#obstacle();
    if (obstacle !== undefined) return { isUp: false, detail: obstacle };
    const { isUp, detail: told } = await this.#options.broker.health();
    const detail = told ?? this.delivery.trouble?.message ?? this.#troubleOfUrls;
    return detail === undefined ? { isUp } : { isUp, detail };
  }

  /** Why nothing gets out, if that is known without asking anybody. */
  #obstacle(): string | undefined {
    if (!this.#relay || this.#life.isOver) return "it is not started";
    if (this.#lease.isSuspended) return "its lease could not be renewed";
    return (this.#cdc?.outage ?? this.#relay.outage)?.message;
  }

  get #troubleOfUrls(): string | undefined {
    return this.#cdc?.troubleOfUrls ?? this.#relay?.trouble;
  }

  /**
   * Lets the batch that is with the broker end, notes it, and gives the shards back at once. Safe twice and before
   * start.
   */
  stop(): Promise<void> {
    return this.#life.stop();
  }

  async #stop(): Promise<void> {
    const { storage, broker, log } = this.#options;
    this.#unlisten?.();
    await this.#cdc?.stop();
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

/** It is the user's: a bug of it must not end the relay, nor give an event up whose key was to stand still. */
function guarded(onPoison: (topic: string) => PoisonPolicy, log: Log): (topic: string) => PoisonPolicy {
  return (topic) => {
    try {
      return onPoison(topic);
    } catch (error) {
      log.error("sagaz: onPoison threw; the key stands still", {
        topic: toShown(topic),
        error: String(error),
      });
      return "block-key";
    }
  };
}
