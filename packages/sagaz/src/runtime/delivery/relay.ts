import { BATCH_BYTES_MAX } from "../../core/delivery/payload-bytes.ts";
import { isSagaError } from "../../core/errors.ts";
import type { SagaError } from "../../core/errors.ts";
import type { MessageOutlet } from "../../ports/broker.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import type {
  EventInFlight,
  OutboxStorage,
  PendingEvent,
  Settlement,
  TakenEvents,
} from "../../ports/outbox.ts";
import { keepTrying } from "../patience.ts";
import { BackOff } from "./back-off.ts";
import { BrokerOutage } from "./broker-outage.ts";
import { HeldKeys } from "./held-keys.ts";
import { LaneNotes } from "./lane-notes.ts";
import type { Note } from "./lane-notes.ts";
import { firstOf, Lanes, toLaneBatch, toLanes } from "./lanes.ts";
import type { LaneBatch, LaneVerdict } from "./lanes.ts";
import { publishEvents } from "./publish-events.ts";
import { Rest } from "./rest.ts";
import { judgeBatch } from "./verdict.ts";
import type { BatchVerdict, RefusalPolicy } from "./verdict.ts";

/** Delays between looks while nothing is found. */
const LOOK_MS = { first: 2, most: 1_000 };
/** An event that was never refused and may not be sent yet is looked at again after this time: somebody may send it meanwhile. */
const UNAVAILABLE_MS = 100;
/** Keys that stood still go on so many at a time, as a part of a batch: else what is refused again and again would be all of it. */
const RELEASED_PART = 0.1;
/** How long a stop waits for the broker and the storage. */
const STOP_MS = 10_000;
/** Once in this time everything is looked through, whatever is thought to be known. */
const READ_ALL_MS = 60_000;

/** What a relay has done since it began. */
export interface RelayCounts {
  sent: number;
  refused: number;
  dead: number;
  outages: number;
}

/** What a relay is made of. */
export interface RelayParts {
  readonly outbox: Pick<OutboxStorage, "take" | "settle" | "release">;
  readonly broker: MessageOutlet;
  readonly clock: Clock;
  readonly log: Log;
  readonly epoch: number;
  /** Events that are read, and published, at a time, of `BATCH_BYTES_MAX` at most. After a crash three times as many may be sent twice. */
  readonly batchMax: number;
  readonly policy: RefusalPolicy;
  readonly counts: RelayCounts;
  /** False while the lease is in danger: then nothing is published. */
  readonly mayPublish: () => boolean;
  /** Somebody else holds the shards now. */
  readonly onFenced: (epoch: number) => void;
}

/**
 * Moves events from the outbox to the broker, for the shards that one epoch holds.
 *
 * Batches follow one another: the next is read, and the one before is noted as sent, while one is with the broker. So no
 * key is ever in two batches at the broker, and no transaction is open while the broker is waited for. A crash between
 * the broker's answer and the note sends a batch again; the inbox drops the copies.
 *
 * What goes to URLs goes beside that, in lanes: see {@link Lanes}.
 */
export class Relay {
  readonly #parts: RelayParts;
  readonly #held: HeldKeys;
  readonly #rest: Rest;
  readonly #backOff: BackOff;
  readonly #outage: BrokerOutage;
  readonly #lanes: Lanes;
  readonly #laneNotes = new LaneNotes((note) => this.#settle(note));
  /** Lanes that are sent to. */
  readonly #posting = new Set<Promise<void>>();
  /** Taken and not settled, by id, with its shard. Not the event itself, which is large and lives for longer then. */
  readonly #inFlight = new Map<number, EventInFlight & { readonly shard: number }>();
  #shards: readonly number[] = [];
  #mine: ReadonlySet<number> = new Set();
  /** Shards to be given back, once nothing of theirs is in flight. */
  #leaving: readonly number[] = [];
  #ahead: Promise<TakenEvents> | undefined;
  #again: number | undefined;
  #readAllAt: number;
  #settling: Promise<unknown> = Promise.resolve();
  #lookMs = LOOK_MS.first;
  #isClosed = false;
  #isFenced = false;
  /** Nobody waits for the last note any more. */
  #isAbandoned = false;
  #running: Promise<void> | undefined;

  constructor(parts: RelayParts) {
    this.#parts = parts;
    this.#held = new HeldKeys(parts.clock);
    this.#rest = new Rest(parts.clock);
    this.#backOff = new BackOff({ clock: parts.clock, luck: () => parts.policy.luck() });
    this.#outage = new BrokerOutage({ counts: parts.counts, log: parts.log, backOff: this.#backOff });
    this.#lanes = new Lanes(parts);
    this.#readAllAt = parts.clock.monotonic();
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends after the batch that is with the broker; what is not settled then is sent again by whoever comes next. */
  async stop(): Promise<void> {
    this.close();
    const ended = async () => {
      await this.#running;
      await this.#settling;
      await Promise.all(this.#posting);
    };
    const patience = new Rest(this.#parts.clock);
    await Promise.race([ended(), patience.for(STOP_MS)]);
    patience.end(); // its timer would keep the process alive
    this.#isAbandoned = true;
  }

  /** What the broker said last; undefined while it takes events. */
  get outage(): SagaError | undefined {
    return this.#outage.current;
  }

  /** URLs that take nothing, for people. */
  get trouble(): string | undefined {
    return this.#lanes.trouble;
  }

  /** Begins nothing more. */
  close(): void {
    this.#isClosed = true;
    this.#rest.end();
    this.#backOff.end();
  }

  /** Something may have been written. */
  hint(): void {
    this.#lookMs = LOOK_MS.first;
    this.#rest.end();
  }

  /** These shards are ours, and of more than the share the rest goes back. */
  hold(shards: readonly number[], share: number): void {
    const kept = shards.slice(0, share);
    this.#leaving = shards.slice(share);
    if (kept.join() === this.#shards.join()) return void this.#giveBack();
    this.#shards = kept;
    this.#mine = new Set(kept);
    this.#ahead = undefined;
    this.#lanes.forget();
    this.#wantAgain(1); // whoever had them may have read some of theirs, and not sent it
    this.hint();
    void this.#giveBack();
  }

  async #giveBack(): Promise<void> {
    const busy = new Set([...this.#inFlight.values()].map(({ shard }) => shard));
    const free = this.#leaving.filter((shard) => !busy.has(shard));
    if (free.length === 0) return;
    this.#leaving = this.#leaving.filter((shard) => busy.has(shard));
    const { outbox, epoch, log } = this.#parts;
    // If it fails, the next balance finds them still ours.
    await outbox.release({ epoch, shards: free }).catch((error: unknown) => {
      log.warn("sagaz: shards could not be given back yet", { error: String(error) });
    });
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      try {
        await this.#round();
      } catch (error) {
        if (isSagaError(error, "SAGAZ_FENCED")) this.#fenced();
        else await this.#storageAway(error);
      }
    }
  }

  async #round(): Promise<void> {
    if (!this.#parts.mayPublish() || this.#shards.length === 0)
      return void (await this.#rest.for(LOOK_MS.most));
    const { events, isAll } = await this.#read();
    const ready = this.#sift(events);
    if (ready.length === 0) return this.#idle();
    this.#lookMs = LOOK_MS.first;
    const { lanes, others } = toLanes(ready);
    for (const { id, shard, payload } of ready) this.#inFlight.set(id, { id, shard, bytes: payload.length });
    for (const lane of lanes) this.#post(lane);
    if (!isAll) await this.#readAhead();
    if (others.length > 0) await this.#send(others);
  }

  // Reading.

  #read(): Promise<TakenEvents> {
    const reading = this.#ahead ?? this.#take();
    this.#ahead = undefined;
    return reading;
  }

  #take(): Promise<TakenEvents> {
    const { outbox, clock, epoch, batchMax } = this.#parts;
    this.#wantAgain(this.#held.release(Math.ceil(batchMax * RELEASED_PART)));
    if (clock.monotonic() - this.#readAllAt > READ_ALL_MS) {
      this.#readAllAt = clock.monotonic();
      this.#wantAgain(1);
    }
    const again = this.#again;
    this.#again = undefined;
    const held = this.#held.keys();
    const inFlight = this.#inFlight.values();
    const room = { limit: batchMax, bytesMax: BATCH_BYTES_MAX };
    return outbox
      .take({ epoch, shards: this.#shards, ...room, inFlight, held, again })
      .catch((error: unknown) => {
        this.#wantAgain(again);
        throw error;
      });
  }

  /** What was read from this id on, and not sent, is to be read again. */
  #wantAgain(id: number | undefined): void {
    if (id !== undefined) this.#again = Math.min(this.#again ?? id, id);
  }

  /** Waits until the question is on its way: to write a batch down for the broker takes long, and nothing is sent meanwhile. */
  #readAhead(): Promise<void> {
    this.#ahead = this.#take();
    // It is awaited by the next round, or dropped: either way it must not end the process.
    this.#ahead.catch(() => {});
    return new Promise((resolve) => this.#parts.clock.setTimer(0, resolve));
  }

  /** Leaves out what may not be sent now, with all that follows it in its key. */
  #sift(events: readonly PendingEvent[]): readonly PendingEvent[] {
    return events.filter(({ id, key, shard, attempts, waitMs }) => {
      // A shard may have gone while this was read.
      if (!this.#mine.has(shard) || this.#held.has(key, id)) return false;
      if (waitMs === 0) return true;
      const forMs = attempts > 0 ? waitMs : Math.min(waitMs, UNAVAILABLE_MS);
      this.#held.hold(key, { fromId: id, forMs });
      return false;
    });
  }

  /** Nothing to do: looks again later and later, until somebody says that there is something. */
  async #idle(): Promise<void> {
    const delayMs = Math.min(this.#lookMs, this.#held.nextIn() ?? LOOK_MS.most);
    this.#lookMs = Math.min(this.#lookMs * 2, LOOK_MS.most);
    if (await this.#rest.for(delayMs)) this.#lookMs = LOOK_MS.first;
  }

  // Sending.

  async #send(events: readonly PendingEvent[]): Promise<void> {
    const { policy, counts } = this.#parts;
    const answers = await publishEvents(this.#parts.broker, events);
    const verdict = judgeBatch(events, answers, policy);
    const { sent, failed, dead, outage } = verdict;
    counts.sent += sent.length;
    counts.refused += failed.length + dead.length;
    counts.dead += dead.length;
    if (sent.length < events.length) await this.#holdBack(events, verdict);
    await this.#settling;
    this.#settling = this.#settle(verdict).then(() => this.#letGo(events, verdict));
    if (outage) await this.#brokerAway(outage);
    else this.#outage.over();
  }

  /** What was not accepted is read anew, before anything that comes after it: what was read ahead is dropped. */
  async #holdBack(events: readonly PendingEvent[], { sent, failed, dead }: BatchVerdict): Promise<void> {
    const refused = new Set([...failed.map(({ id }) => id), ...dead.map(({ id }) => id)]);
    const settled = new Set([...sent, ...refused]);
    for (const { id, key } of events) {
      // Until it is noted it is in flight, and left out of what is read: what follows it must not be found without it.
      if (refused.has(id)) this.#held.hold(key, { fromId: id, forMs: Number.POSITIVE_INFINITY });
      if (settled.has(id)) continue;
      this.#inFlight.delete(id);
      this.#wantAgain(id);
    }
    const ahead = await this.#ahead?.catch(() => undefined);
    this.#ahead = undefined;
    this.#wantAgain(ahead?.events[0]?.id);
  }

  /** It is noted: keys of what was refused go on when it is tried again, and those of what was given up at once. */
  #letGo(events: readonly PendingEvent[], { failed, dead }: BatchVerdict): void {
    if (failed.length + dead.length === 0) return;
    const delays = new Map(failed.map(({ id, delayMs }) => [id, delayMs]));
    for (const { id } of dead) delays.set(id, 0);
    for (const { id, key } of events) {
      const forMs = delays.get(id);
      if (forMs !== undefined) this.#held.hold(key, { fromId: id, forMs });
    }
    this.#rest.end();
  }

  /** Repeated until it is written: until then its events count as in flight, so nobody here sends them again. */
  async #settle({ sent, failed, dead }: Note): Promise<void> {
    if (sent.length + failed.length + dead.length === 0) return;
    const { outbox, clock, log, epoch } = this.#parts;
    const settlement: Settlement = { epoch, sent, failed, dead };
    for (const { id, code, error } of dead)
      log.error("sagaz: an event went to the dead letters", { id, code, error });
    const isWritten = await keepTrying(() => this.#noting(() => outbox.settle(settlement)), {
      clock,
      log,
      what: "noting what was sent",
      isWanted: () => !this.#isFenced && !this.#isAbandoned,
    });
    if (this.#isFenced) return this.#fenced();
    for (const ids of [sent, failed.map(({ id }) => id), dead.map(({ id }) => id)]) {
      for (const id of ids) {
        this.#inFlight.delete(id);
        // Refused for good, which is a bug of ours: what was sent comes again, which is better than what never does.
        if (!isWritten) this.#wantAgain(id);
      }
    }
    if (this.#leaving.length > 0) void this.#giveBack();
  }

  async #noting(call: () => Promise<void>): Promise<void> {
    try {
      await call();
    } catch (error) {
      if (isSagaError(error, "SAGAZ_FENCED")) this.#isFenced = true;
      throw error;
    }
  }

  #fenced(): void {
    this.close();
    this.#parts.onFenced(this.#parts.epoch);
  }

  // Lanes.

  /** Nothing waits for it but what follows in its lane. */
  #post(lane: LaneBatch): void {
    this.#held.hold(lane.key, { fromId: firstOf(lane.events).id, forMs: Number.POSITIVE_INFINITY });
    const posting = this.#lanes.send(lane).then((verdict) => this.#posted(lane, verdict));
    this.#posting.add(posting);
    void posting.finally(() => this.#posting.delete(posting));
  }

  /** Once it is noted the lane goes on. What is neither sent nor refused then is read again. */
  async #posted({ key, events, rest }: LaneBatch, verdict: LaneVerdict): Promise<void> {
    const { sent, failed, dead, waitMs } = verdict;
    const { counts } = this.#parts;
    counts.sent += sent.length;
    counts.refused += failed.length + dead.length;
    counts.dead += dead.length;
    const settled = new Set([...sent, ...failed.map(({ id }) => id), ...dead.map(({ id }) => id)]);
    for (const { id } of events) if (!settled.has(id)) this.#inFlight.delete(id);
    await this.#laneNotes.add(verdict);
    if (sent.length === events.length && this.#mayGoOn(rest)) return this.#post(toLaneBatch(rest));
    for (const { id } of rest) this.#inFlight.delete(id);
    this.#held.hold(key, { fromId: firstOf(events).id, forMs: waitMs });
    this.#rest.end();
  }

  #mayGoOn([next]: readonly PendingEvent[]): boolean {
    if (!next || this.#isClosed) return false;
    return this.#parts.mayPublish() && this.#mine.has(next.shard);
  }

  // Outages.

  async #brokerAway(outage: SagaError): Promise<void> {
    this.#outage.met(outage);
    if (!this.#isClosed) await this.#backOff.wait();
  }

  async #storageAway(error: unknown): Promise<void> {
    this.#ahead = undefined;
    this.#parts.log.warn("sagaz: the outbox cannot be read", { error: String(error) });
    if (!this.#isClosed) await this.#backOff.wait();
  }
}
