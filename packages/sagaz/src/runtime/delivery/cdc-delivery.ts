import { OUTBOX_SHARDS } from "../../core/delivery/shard.ts";
import { isSagaError, SagaError } from "../../core/errors.ts";
import type { Reader, StreamOutlook } from "../../ports/event-stream.ts";
import type { OutboxStorage } from "../../ports/outbox.ts";
import { CdcRelay } from "./cdc-relay.ts";
import type { CdcRelayParts } from "./cdc-relay.ts";
import { drain } from "./drain.ts";
import { Relay } from "./relay.ts";
import { Rest } from "./rest.ts";

/** How often it is looked whether the log can be read, and how the slot is while it is. */
const LOOK_MS = 1_000;
/** The longest time between two tries to read, while none brings anything: each takes the keys from the relays for a moment. */
const TRY_MS_MOST = 60_000;
/** How often it is looked whether relays have let go of their shards. */
const SHARDS_MS = 50;
/** How long a stop waits for the broker and the storage. */
const STOP_MS = 10_000;

/** What reading the log is made of. */
export interface CdcDeliveryParts extends Pick<
  CdcRelayParts,
  "streams" | "broker" | "clock" | "log" | "batchMax" | "policy" | "counts" | "mayPublish"
> {
  readonly outbox: OutboxStorage;
  readonly slotWalBytesMax: number;
  /** Of the worker, as it is now. */
  readonly epoch: () => number;
  /** Shares the shards out anew: now there are more or fewer for relays. */
  readonly balance: () => Promise<void>;
  readonly onFenced: (epoch: number) => void;
}

/** How events get out now. */
export interface DeliveryState {
  /** `cdc`: this worker reads the log. `relay`: by polling, here or elsewhere, or another worker reads. */
  readonly mode: "relay" | "cdc";
  /** Why the log is not read, though it should be. */
  readonly trouble?: SagaError;
}

/**
 * Reads the database's log while that is possible, and lets the relays poll while it is not.
 *
 * One worker reads; the others stand by, and take over when it is gone. What is pending is told by the tables alone, at
 * each moment, so that any change between the two ways loses nothing, and sends twice only what was in flight.
 */
export class CdcDelivery {
  readonly #parts: CdcDeliveryParts;
  readonly #rest: Rest;
  #isClosed = false;
  #reader: Reader | undefined;
  #relay: CdcRelay | undefined;
  #tables: Relay | undefined;
  #trouble: SagaError | undefined;
  /** Log was kept in vain: polling has to catch up first. */
  #mustCatchUp = false;
  #isReading = false;
  /** Tries to read, one after the other, that ended in an error and brought nothing. */
  #failures = 0;
  #running: Promise<void> | undefined;

  constructor(parts: CdcDeliveryParts) {
    this.#parts = parts;
    this.#rest = new Rest(parts.clock);
  }

  get state(): DeliveryState {
    const mode = this.#isReading ? "cdc" : "relay";
    return this.#trouble ? { mode, trouble: this.#trouble } : { mode };
  }

  /** Since when the broker has not taken anything; undefined while it does, and while this worker does not read. */
  get outage(): SagaError | undefined {
    return this.#relay?.outage;
  }

  /** As of a relay: what goes to URLs goes from the tables. */
  get troubleOfUrls(): string | undefined {
    return this.#tables?.trouble;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** The lease is lost, and with it the right to read: what is not noted yet is for the next reader. Registered anew, it may be that one. */
  fenced(): void {
    this.#reader = undefined;
    this.#relay?.abandon();
    this.#rest.end();
  }

  /** Ends after the batch that is with the broker. The slot stays, for whoever reads next. */
  async stop(): Promise<void> {
    this.#isClosed = true;
    this.#relay?.close();
    this.#rest.end();
    const patience = new Rest(this.#parts.clock);
    await Promise.race([this.#running, patience.for(STOP_MS)]);
    patience.end(); // its timer would keep the process alive
    this.#relay?.abandon();
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      try {
        await this.#look();
      } catch (error) {
        this.#report(error);
      }
      const waitMs = LOOK_MS * 2 ** Math.max(0, this.#failures - 1);
      if (!this.#isClosed) await this.#rest.for(Math.min(waitMs, TRY_MS_MOST));
    }
  }

  #report(error: unknown): void {
    if (isSagaError(error, "SAGAZ_FENCED") && this.#reader) {
      // Another one reads, or nobody is to: or we are fenced ourselves, as the next heartbeat will tell.
      this.#reader = undefined;
    }
    this.#parts.log.warn("sagaz: the log is not read", { error: String(error) });
  }

  async #look(): Promise<void> {
    const { streams } = this.#parts;
    if (this.#mustCatchUp && !(await this.#hasCaughtUp())) return;
    if (this.#reader) {
      // It was cut off: a new slot would take its time, and must not be made while relays hold still.
      const trouble = await streams.trouble(this.#limits);
      if (trouble) return this.#fallBack(trouble);
    }
    const outlook = await streams.prepare(this.#limits);
    if (outlook.kind !== "ready") return this.#fallBack(outlook);
    const answer = await streams.become(this.#parts.epoch());
    if (answer.kind !== "reader") {
      // Another one reads, or nobody is to: whatever was in the way before is not any more.
      this.#trouble = undefined;
      return;
    }
    this.#reader = answer.reader;
    if (!(await this.#untilShardsAreFree())) return;
    if (answer.isDrained || (await this.#drain(answer.reader))) await this.#tryToRead(answer.reader);
  }

  /** Whoever reads keeps the relays from sending: so one that cannot read leaves it to them. */
  async #tryToRead(reader: Reader): Promise<void> {
    const { streams, counts } = this.#parts;
    const sentBefore = counts.sent;
    try {
      await this.#read(reader);
    } catch (error) {
      if (!isSagaError(error) || error.code === "SAGAZ_FENCED" || this.#isClosed) throw error;
      this.#failures = counts.sent > sentBefore ? 1 : this.#failures + 1;
      if (error.code === "SAGAZ_SLOT_LOST") await streams.discard();
      // Once is nothing: a connection was lost.
      else if (this.#failures === 1) throw error;
      await this.#poll(error);
    }
  }

  /** A slot that is made too early would only keep log in vain once more. */
  async #hasCaughtUp(): Promise<boolean> {
    await this.#parts.streams.tidy(this.#limits);
    const { pending } = await this.#parts.outbox.backlog();
    this.#mustCatchUp = pending > this.#parts.batchMax;
    return !this.#mustCatchUp;
  }

  get #limits() {
    return { slotWalBytesMax: this.#parts.slotWalBytesMax };
  }

  async #untilShardsAreFree(): Promise<boolean> {
    await this.#parts.balance();
    while (!this.#isClosed && this.#reader) {
      if ((await this.#parts.streams.shardsHeld()) === 0) return true;
      await this.#rest.for(SHARDS_MS);
    }
    return false;
  }

  #drain(reader: Reader): Promise<boolean> {
    const isWanted = () => !this.#isClosed && this.#reader === reader;
    return drain({ ...this.#parts, reader, isWanted });
  }

  async #read(reader: Reader): Promise<void> {
    const { streams, log } = this.#parts;
    const stream = await streams.open(reader);
    const tables = this.#makeTables(reader);
    const relay = new CdcRelay({ ...this.#parts, stream, reader, onLeft: () => tables.hint() });
    this.#relay = relay;
    this.#tables = tables;
    this.#isReading = true;
    this.#trouble = undefined;
    log.info("sagaz: events are read from the log", { term: reader.term });
    if (this.#isClosed) relay.close();
    const watch = new Rest(this.#parts.clock);
    const watched = this.#watch(relay, watch);
    try {
      tables.start();
      await relay.run();
    } finally {
      this.#isReading = false;
      this.#relay = undefined;
      this.#tables = undefined;
      relay.close();
      watch.end();
      await tables.stop();
      await stream.stop();
    }
    const trouble = await watched;
    if (trouble) await this.#fallBack(trouble);
  }

  /** Sends what was left to the tables, as a relay that holds all shards. */
  #makeTables(reader: Reader): Relay {
    const { streams, clock, log } = this.#parts;
    const relay = new Relay({
      ...this.#parts,
      outbox: {
        take: (request) => streams.takeLeft(reader, request),
        settle: (settlement) => streams.settleLeft(reader, settlement),
        release: async () => {},
      },
      epoch: reader.epoch,
      onFenced: () => {},
      clock,
      log,
    });
    const all = Array.from({ length: OUTBOX_SHARDS }, (_, shard) => shard);
    relay.hold(all, OUTBOX_SHARDS);
    return relay;
  }

  /** Looks after the slot while it is read. Answers why reading has to end; it ends when the relay does. */
  async #watch(relay: CdcRelay, rest: Rest): Promise<StreamOutlook | undefined> {
    const { streams, log } = this.#parts;
    for (;;) {
      await rest.for(LOOK_MS);
      if (relay.isClosed) return undefined;
      const trouble = await streams.trouble(this.#limits).catch((error: unknown) => {
        log.warn("sagaz: the slot could not be looked at", { error: String(error) });
        return undefined;
      });
      if (trouble === undefined) continue;
      relay.close();
      return trouble;
    }
  }

  async #fallBack(outlook: StreamOutlook): Promise<void> {
    if (outlook.kind === "behind") this.#mustCatchUp = true;
    await this.#poll(toError(outlook, this.#parts.slotWalBytesMax));
  }

  /** Leaves it to the relays, if it was not theirs before. */
  async #poll(trouble: SagaError | undefined): Promise<void> {
    if (trouble && trouble.message !== this.#trouble?.message)
      this.#parts.log.warn("sagaz: events are relayed by polling", { error: trouble.message });
    this.#trouble = trouble ?? this.#trouble;
    const reader = this.#reader;
    if (!reader) return;
    this.#reader = undefined;
    const reason = trouble?.message ?? "the slot is being made";
    await this.#parts.streams.end(reader, reason);
    await this.#parts.balance();
  }
}

function toError(outlook: StreamOutlook, limit: number): SagaError | undefined {
  switch (outlook.kind) {
    case "ready":
    case "soon":
      return undefined;
    case "unavailable":
      return new SagaError("SAGAZ_CDC_UNAVAILABLE", { why: outlook.why, advice: outlook.advice });
    case "lost":
      return new SagaError("SAGAZ_SLOT_LOST", { why: outlook.why });
    case "behind":
      return new SagaError("SAGAZ_SLOT_BEHIND", { bytes: outlook.keptBytes, limit });
  }
}
