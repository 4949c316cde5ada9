import { toHeaders } from "../../core/delivery/envelope.ts";
import type { OutboxRow } from "../../core/delivery/outbox-event.ts";
import { isUrl } from "../../core/delivery/url-topic.ts";
import { givenOptions, PARTS, type Wanted } from "../../core/given-options.ts";
import type { MessageOutlet } from "../../ports/broker.ts";
import type { Clock } from "../../ports/clock.ts";
import { consoleLog } from "../../ports/log.ts";
import type { Log } from "../../ports/log.ts";
import type { AddedEvent } from "../../ports/outbox.ts";
import type { SagaStorage } from "../../ports/storage.ts";
import { OneLife } from "../one-life.ts";
import { keepTrying } from "../patience.ts";
import { systemClock } from "../system.ts";
import { join, leave } from "../users.ts";
import { Rest } from "./rest.ts";
import { Settler } from "./settler.ts";

/** What sends events right after their commit. Only `storage` and `broker` are needed. */
export interface OptimisticPublisherOptions {
  readonly storage: SagaStorage;
  /** Started by this publisher, and stopped when nothing in this process uses it any more. */
  readonly broker: MessageOutlet;
  readonly clock?: Clock;
  readonly log?: Log;
}

const WANTED: Wanted<OptimisticPublisherOptions> = {
  storage: PARTS.storage,
  broker: PARTS.outlet,
  clock: "optional",
  log: PARTS.log,
};

/** How long relays leave an event alone that is sent here, in milliseconds: what a crash costs it. */
const HOLD_MS = 2_000;
/** Later than this after its commit an event is left to the relays: their time must not have come while it is sent. */
const SEND_WITHIN_MS = 1_000;
/** Events that are sent at a time, and that may wait here; more are for the relays from the start. */
const BATCH_MAX = 1_000;
const WAITING_MAX = 10_000;
/** With so many bytes of payloads in hand too. */
const BYTES_MAX = 64 << 20;
/** After trouble with the broker events are for the relays for so long. */
const PAUSE_MS = 5_000;
/** How long it rests when nobody wakes it. */
const REST_MS = 60_000;
/** How long a stop waits for the broker and the storage. */
const STOP_MS = 10_000;

/** What a publisher has done since its start. */
export interface OptimisticCounts {
  /** Sent here. */
  sent: number;
  /** Left to the relays. */
  released: number;
}

/** An event that has committed. */
interface Committed {
  readonly id: number;
  readonly event: OutboxRow;
  readonly createdAt: number;
  readonly offeredAt: number;
  /** Nothing waits before it in its key. Where that is not certain it is to be asked for. */
  isFree: boolean;
}

/**
 * Sends events as soon as their transaction has committed, in a few milliseconds and in order per key, with the relays
 * as the safety net: whatever it cannot send, they do.
 *
 * An event that goes this way is written so that relays leave it alone for 2 s. After the commit it is sent if nothing
 * of its key waits before it, which the storage tells together with the write where it can; then it is pending no more. A
 * crash in between costs 2 s, never an event.
 *
 * @example
 * const publisher = new OptimisticPublisher({ storage, broker });
 * await publisher.start();
 * const orchestrator = new SagaOrchestrator({ storage, sagas, publisher });
 */
export class OptimisticPublisher {
  readonly #life = new OneLife({
    what: "publisher",
    start: () => this.#start(),
    stop: () => this.#stop(),
  });
  readonly #storage: SagaStorage;
  readonly #broker: MessageOutlet;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #rest: Rest;
  readonly #counts: OptimisticCounts = { sent: 0, released: 0 };
  #waiting: Committed[] = [];
  /** Of the payloads of what waits, or is being sent. */
  #bytes = 0;
  #pausedUntil = Number.NEGATIVE_INFINITY;
  #state: "new" | "started" | "stopped" = "new";
  #running: Promise<void> | undefined;
  /** Until it is noted that events were sent, they still stand in the way of their keys. */
  readonly #settler = new Settler((lot) => this.#settle(lot));

  constructor(options: OptimisticPublisherOptions) {
    const given = givenOptions("OptimisticPublisher", options, WANTED);
    const { storage, broker, clock = systemClock, log = consoleLog } = given;
    this.#storage = storage;
    this.#broker = broker;
    this.#clock = clock;
    this.#log = log;
    this.#rest = new Rest(clock);
  }

  /** Events sent, and left to the relays, since the start. */
  get counts(): Readonly<OptimisticCounts> {
    return { ...this.#counts };
  }

  /** For how long relays are to leave alone what is written now, in milliseconds; 0 when it is for them to send. */
  get holdMs(): number {
    const isReady = this.#state === "started" && this.#clock.monotonic() >= this.#pausedUntil;
    const hasRoom = this.#waiting.length + this.#settler.size < WAITING_MAX && this.#bytes < BYTES_MAX;
    return isReady && hasRoom ? HOLD_MS : 0;
  }

  /**
   * Connects. Until it has, events are left to the relays. After a failure it can be called again.
   *
   * @throws SagaError as the storage's and the broker's `start()`; `SAGAZ_STOPPED`.
   */
  start(): Promise<void> {
    return this.#life.start();
  }

  async #start(): Promise<void> {
    await join(this.#storage, this);
    await join(this.#broker, this);
    this.#state = "started";
    this.#running ??= this.#run();
  }

  /** Sends what is waiting, for a moment, and leaves the rest to the relays. Safe twice and before start. */
  stop(): Promise<void> {
    return this.#life.stop();
  }

  async #stop(): Promise<void> {
    this.#state = "stopped";
    this.#rest.end();
    const patience = new Rest(this.#clock);
    await Promise.race([this.#running, patience.for(STOP_MS)]);
    patience.end(); // its timer would keep the process alive
    await leave(this.#broker, this);
    await leave(this.#storage, this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Takes events that have just committed, and what was said of them. */
  offer(events: readonly OutboxRow[], added: readonly AddedEvent[]): void {
    const offeredAt = this.#clock.monotonic();
    for (const [n, event] of events.entries()) {
      const one = added[n];
      if (one === undefined) continue;
      this.#waiting.push({ ...one, event, offeredAt });
      this.#bytes += event.payload.length;
    }
    this.#rest.end();
  }

  async #run(): Promise<void> {
    while (this.#state === "started" || this.#waiting.length > 0) {
      if (this.#waiting.length === 0) await this.#rest.for(REST_MS);
      // Whoever waited for a lock of another transaction's may hear of his commit before that one does.
      const batch = this.#waiting.slice(0, BATCH_MAX).sort((a, b) => a.id - b.id);
      this.#waiting = this.#waiting.slice(BATCH_MAX);
      // What was written after a free event of its key is not free, unless it was written together with it.
      await this.#send(batch.filter(({ isFree }) => isFree));
      await this.#send(batch.filter(({ isFree }) => !isFree));
      for (const { event } of batch) this.#bytes -= event.payload.length;
    }
    await this.#settler.end();
  }

  async #send(batch: readonly Committed[]): Promise<void> {
    if (batch.length === 0) return;
    const sent = new Set<number>();
    try {
      const open = await this.#openOf(batch);
      for (const id of await this.#publish(open)) sent.add(id);
    } catch (error) {
      this.#pause(error);
    }
    const released = batch.filter(({ id }) => !sent.has(id));
    this.#holdUp(new Set(keysOf(released)));
    this.#counts.sent += sent.size;
    this.#counts.released += released.length;
    this.#settler.add({ sent: [...sent], released: released.map(({ id }) => id), keys: keysOf(batch) });
  }

  /** What was written together with an event that is left to the relays may still wait here, and is free no more. */
  #holdUp(keys: ReadonlySet<string>): void {
    if (keys.size === 0) return;
    for (const waiting of this.#waiting) if (keys.has(waiting.event.key)) waiting.isFree = false;
  }

  /** Those that may be sent here: in time, and with nothing of their key before them. */
  async #openOf(batch: readonly Committed[]): Promise<readonly Committed[]> {
    if (this.#clock.monotonic() < this.#pausedUntil) return [];
    const behind = new Set(await this.#behindOthers(batch.filter(({ isFree }) => !isFree)));
    const soonest = this.#clock.monotonic() - SEND_WITHIN_MS;
    const heldKeys = new Set<string>();
    return batch.filter(({ id, event: { topic, key }, offeredAt }) => {
      // What follows one that is not sent here is not sent here either. What is posted would hold up the others.
      if (isUrl(topic) || heldKeys.has(key) || behind.has(id) || offeredAt < soonest) {
        heldKeys.add(key);
        return false;
      }
      return true;
    });
  }

  async #behindOthers(events: readonly Committed[]): Promise<readonly number[]> {
    if (events.length === 0) return [];
    await this.#settler.noted(keysOf(events));
    return this.#storage.outbox.behindOthers(events.map(({ id, event: { key } }) => ({ id, key })));
  }

  async #publish(open: readonly Committed[]): Promise<readonly number[]> {
    if (open.length === 0) return [];
    const answers = await this.#broker.publish(
      open.map(({ event, createdAt }) => {
        const { topic, key, payload } = event;
        return { topic, key, headers: toHeaders(event, createdAt), payload };
      }),
    );
    const trouble = answers.find((answer) => answer?.code === "SAGAZ_BROKER_UNAVAILABLE");
    if (trouble) this.#pause(trouble);
    return open.flatMap(({ id }, n) => (answers[n] ? [] : [id]));
  }

  #pause(error: unknown): void {
    this.#pausedUntil = this.#clock.monotonic() + PAUSE_MS;
    this.#log.warn("sagaz: events are left to the relays for a while", { error: String(error) });
  }

  /** If it fails, relays find them when their time is over: those that were sent go out once more. */
  async #settle(lot: { readonly sent: number[]; readonly released: number[] }): Promise<void> {
    const patience = this.#clock.monotonic() + SEND_WITHIN_MS;
    await keepTrying(() => this.#storage.outbox.settleHeld(lot), {
      clock: this.#clock,
      log: this.#log,
      what: "noting what was sent",
      isWanted: () => this.#clock.monotonic() < patience,
    });
  }
}

function keysOf(events: readonly Committed[]): readonly string[] {
  return events.map(({ event: { key } }) => key);
}
