import { correlationOf } from "../../core/delivery/envelope.ts";
import { canCarry } from "../../core/delivery/outbox-event.ts";
import { REDRIVEN_FOR } from "../../core/delivery/redriven-row.ts";
import { isSagaError, SagaError } from "../../core/errors.ts";
import type { SagaErrorCode } from "../../core/errors.ts";
import { givenOptions, splitOptions, PARTS, type Wanted } from "../../core/given-options.ts";
import type { MessageInlet, ReceivedMessage, Subscription } from "../../ports/broker.ts";
import { consoleLog } from "../../ports/log.ts";
import { Maintenance } from "../maintenance.ts";
import { OneLife } from "../one-life.ts";
import { keepTrying } from "../patience.ts";
import { newId, systemChance, systemClock } from "../system.ts";
import { join, leave } from "../users.ts";
import { ConsumerInbox, INBOX_WANTED } from "./consumer-inbox.ts";
import type { BatchResult, ConsumerInboxOptions, InboxHandler, InboxMessage } from "./consumer-inbox.ts";
import { HeldKeys } from "./held-keys.ts";
import { Rest } from "./rest.ts";
import { toDeadLetter } from "./to-dead-letter.ts";
import type { Log } from "../../ports/log.ts";

/** How messages are consumed. Times are milliseconds. */
export interface InboxWorkerOptions extends ConsumerInboxOptions {
  /** Started by this worker, and stopped when nothing in this process uses it any more. */
  readonly broker: MessageInlet;
  readonly topics: readonly string[];
  /**
   * Processes an event. By type: an event of a type that is not named is passed over. JSON payloads come as values, all
   * others as bytes.
   */
  readonly handle: InboxHandler | Readonly<Record<string, InboxHandler>>;
  /** Messages that are processed in one transaction at most. Default 100. */
  readonly batchMax?: number;
  /** Messages that are received and not yet acknowledged at most; back-pressure begins there. Default 1,000. */
  readonly unackedMax?: number;
  /** A message whose handler has failed so often is given up. Outages of the storage do not count. Default 5. */
  readonly attemptsMax?: number;
  readonly log?: Log;
}

/** What each option is that it shares with those that are made of it. */
export const RECEIVER_WANTED: Wanted<Omit<InboxWorkerOptions, "topics" | "handle" | "consumerName">> = {
  ...INBOX_WANTED,
  broker: PARTS.inlet,
  batchMax: { from: 1 },
  unackedMax: { from: 1 },
  attemptsMax: { from: 1 },
  log: PARTS.log,
};
const WANTED: Wanted<InboxWorkerOptions> = {
  ...RECEIVER_WANTED,
  consumerName: "needed",
  topics: "some",
  handle: "functions",
};

/** What an inbox worker has done since its start. */
export interface InboxCounts {
  processed: number;
  duplicates: number;
  failed: number;
  dead: number;
}

/** What a worker of ours does otherwise. */
export interface InboxManners {
  /** Called before a message goes to the dead letters, as often as it takes. */
  readonly beforeBurying: (message: InboxMessage, error: SagaError) => Promise<void>;
  /** True for a message that goes ahead of those that wait, also of its own key, and also while that stands still. */
  readonly overtakes: (message: InboxMessage) => boolean;
}

/** A message that waits for its turn. */
interface Waiting {
  readonly received: ReceivedMessage;
  readonly message: InboxMessage;
  readonly overtakes: boolean;
  attempts: number;
}

const RETRY_MS = { first: 200, most: 30_000 };
const REST_MS = 60_000;
/** How long a stop waits for the batch at hand. */
const STOP_MS = 10_000;

/**
 * Receives events from a broker and processes each of them once, in order per key, in batches.
 *
 * A message whose handler fails is tried again with growing delays, while its key stands still and other keys go on; after
 * `attemptsMax` tries it goes to the dead letters, with its reason, and its key goes on. It is acknowledged only then, or
 * once it is processed: what a crash leaves unacknowledged comes again, and the inbox drops what was processed.
 *
 * @example
 * await using worker = new InboxWorker({
 *   storage, broker, consumerName: "billing", topics: ["orders"],
 *   handle: { "order.placed": async (order, { tx }) => { await tx("insert into invoices …", [order.id]); } },
 * });
 * await worker.start();
 */
export class InboxWorker {
  readonly #life = new OneLife({
    what: "inbox worker",
    start: () => this.#start(),
    stop: () => this.#stop(),
  });
  readonly #options: InboxWorkerOptions &
    Required<
      Pick<InboxWorkerOptions, "clock" | "chance" | "log" | "batchMax" | "unackedMax" | "attemptsMax">
    >;
  readonly #inbox: ConsumerInbox;
  readonly #held: HeldKeys;
  readonly #rest: Rest;
  readonly #manners: InboxManners | undefined;
  readonly #maintenance: Maintenance;
  readonly #counts: InboxCounts = { processed: 0, duplicates: 0, failed: 0, dead: 0 };
  #waiting: Waiting[] = [];
  #subscription: Subscription | undefined;
  #running: Promise<void> | undefined;
  #outage: SagaError | undefined;

  /** @throws SagaError `SAGAZ_INVALID_OPTION`. */
  constructor(options: InboxWorkerOptions, manners?: InboxManners) {
    const given = givenOptions("InboxWorker", options, WANTED);
    this.#manners = manners;
    const [ofInbox] = splitOptions(given, INBOX_WANTED);
    this.#inbox = new ConsumerInbox({ ...ofInbox, consumerName: given.consumerName });
    this.#options = {
      clock: systemClock,
      chance: systemChance,
      log: consoleLog,
      batchMax: 100,
      unackedMax: 1_000,
      attemptsMax: 5,
      ...given,
    };
    this.#maintenance = new Maintenance(this.#options);
    this.#held = new HeldKeys(this.#options.clock);
    this.#rest = new Rest(this.#options.clock);
  }

  /** Messages processed, recognised as repetitions, failed (each try), and given up, since the start. */
  get counts(): Readonly<InboxCounts> {
    return { ...this.#counts };
  }

  /**
   * Opens the storage and begins to receive; the broker may come later. After a failure it can be called again.
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
    const what = "subscribing at the broker";
    void keepTrying(() => this.#subscribe(broker), { clock, log, what, isWanted });
    this.#running ??= this.#run();
  }

  async #subscribe(broker: MessageInlet): Promise<void> {
    await join(broker, this);
    const { consumerName: group, topics, unackedMax } = this.#options;
    const subscription = await broker.subscribe({
      group,
      topics,
      unackedMax,
      handle: (messages) => this.#receive(messages),
    });
    if (this.#life.isOver) await subscription.stop();
    else this.#subscription = subscription;
    this.#rest.end();
  }

  #receive(messages: readonly ReceivedMessage[]): void {
    for (const received of messages) {
      const message = toInboxMessage(received);
      const overtakes = this.#manners?.overtakes(message) ?? false;
      // Those that overtake stand together, in front.
      const place = overtakes
        ? this.#waiting.filter((other) => other.overtakes).length
        : this.#waiting.length;
      this.#waiting.splice(place, 0, { received, message, overtakes, attempts: 0 });
    }
    this.#rest.end();
  }

  async #run(): Promise<void> {
    while (!this.#life.isOver) {
      void this.#maintenance.ifDue();
      const batch = this.#subscription ? this.#pick() : [];
      if (batch.length === 0) await this.#rest.for(Math.min(REST_MS, this.#held.nextIn() ?? REST_MS));
      else await this.#process(batch);
    }
  }

  /** The next messages in order, without those whose key stands still; what overtakes stands still by itself. */
  #pick(): readonly Waiting[] {
    this.#held.release();
    const batch: Waiting[] = [];
    for (const waiting of this.#waiting) {
      if (this.#held.has(keyOf(waiting), 0)) continue;
      batch.push(waiting);
      if (batch.length === this.#options.batchMax) break;
    }
    return batch;
  }

  async #process(batch: readonly Waiting[]): Promise<void> {
    const ours = batch.filter(({ message }) => this.#isOurs(message));
    let results: readonly BatchResult[];
    try {
      results = await this.#inbox.processBatch(
        ours.map(({ message }) => message),
        (payload, context) => this.#handlerOf(context.message)?.(payload, context),
      );
    } catch (error) {
      return this.#storageAway(error);
    }
    this.#outage = undefined;
    const done = batch.filter(({ message }) => !this.#isOurs(message));
    this.#counts.duplicates += done.length;
    for (const [n, waiting] of ours.entries())
      if (await this.#isDone(waiting, results[n])) done.push(waiting);
    const isDone = new Set(done);
    this.#waiting = this.#waiting.filter((waiting) => !isDone.has(waiting));
    this.#subscription?.ack(done.map(({ received }) => received));
  }

  /** Not a dead letter of another consumer that is redriven: noted as processed, it would stand for the event itself. */
  #isOurs({ redrivenFor }: InboxMessage): boolean {
    return redrivenFor === undefined || redrivenFor === this.#options.consumerName;
  }

  #handlerOf({ eventType: type }: InboxMessage): InboxHandler | undefined {
    const { handle } = this.#options;
    if (typeof handle === "function") return handle;
    return Object.hasOwn(handle, type) ? handle[type] : undefined;
  }

  /** Notes what became of a message; true when it need not come again. */
  async #isDone(waiting: Waiting, result: BatchResult | undefined): Promise<boolean> {
    switch (result?.status) {
      case "processed":
        if (result.isDuplicate) this.#counts.duplicates += 1;
        else this.#counts.processed += 1;
        return true;
      case "failed":
        return this.#failed(waiting, result.error);
      case "held":
      case undefined:
        return false;
    }
  }

  async #failed(waiting: Waiting, error: SagaError): Promise<boolean> {
    waiting.attempts += 1;
    this.#counts.failed += 1;
    const { attempts } = waiting;
    const { attemptsMax, chance, log } = this.#options;
    const { eventId, eventType: type } = waiting.message;
    log.warn("sagaz: a message could not be processed", { eventId, type, attempts, error: error.message });
    if (attempts >= attemptsMax || isHopeless(error)) return this.#bury(waiting, error);
    const growing = Math.min(RETRY_MS.first * 2 ** (attempts - 1), RETRY_MS.most);
    this.#held.hold(keyOf(waiting), { fromId: 0, forMs: growing * (0.5 + chance.next() / 2) });
    return false;
  }

  /** Only what is among the dead letters is acknowledged: else it would be gone. */
  async #bury(waiting: Waiting, error: SagaError): Promise<boolean> {
    const { storage, clock, chance, log, consumerName } = this.#options;
    const now = clock.now();
    const letter = toDeadLetter(waiting, { error, consumerName, now, newId: () => newId(now, chance) });
    const bury = async () => {
      await this.#manners?.beforeBurying(waiting.message, error);
      await storage.deadLetters.bury(letter);
    };
    const isBuried = await keepTrying(bury, {
      clock,
      log,
      what: "keeping a dead letter",
      isWanted: () => !this.#life.isOver,
    });
    if (!isBuried) {
      this.#held.hold(keyOf(waiting), { fromId: 0, forMs: RETRY_MS.most });
      return false;
    }
    const { eventId } = waiting.message;
    this.#counts.dead += 1;
    log.error("sagaz: a message went to the dead letters", { eventId, consumerName, error: error.message });
    return true;
  }

  /** Nobody's fault: everything stays as it is. What may have been processed is found to be a duplicate. */
  async #storageAway(error: unknown): Promise<void> {
    const { clock, log } = this.#options;
    this.#outage = isSagaError(error)
      ? error
      : new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: String(error) }, { cause: error });
    log.warn("sagaz: messages cannot be processed now; they wait", { error: String(error) });
    if (this.#life.isOver) return;
    await new Rest(clock).for(RETRY_MS.first * 5);
  }

  /** Tells whether messages get in; never rejects. */
  async health(): Promise<{ readonly isUp: boolean; readonly detail?: string }> {
    if (!this.#life.hasBegun || this.#life.isOver) return { isUp: false, detail: "it is not started" };
    if (this.#outage) return { isUp: false, detail: this.#outage.message };
    if (!this.#subscription) return { isUp: false, detail: "it is not subscribed yet" };
    return this.#options.broker.health();
  }

  /** Lets the batch at hand end, and leaves the rest to others of its group. Safe twice and before start. */
  stop(): Promise<void> {
    return this.#life.stop();
  }

  async #stop(): Promise<void> {
    const { storage, broker, clock } = this.#options;
    this.#rest.end();
    const patience = new Rest(clock);
    await Promise.race([this.#running, patience.for(STOP_MS)]);
    patience.end(); // its timer would keep the process alive
    await this.#subscription?.stop();
    await leave(broker, this);
    await leave(storage, this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** Trying again would not change it. */
function isHopeless({ code }: SagaError): boolean {
  return HOPELESS.has(code);
}

const HOPELESS = new Set<SagaErrorCode>([
  "SAGAZ_INVALID_EVENT",
  "SAGAZ_NOT_JSON",
  "SAGAZ_INVALID_COMMAND",
  "SAGAZ_INVALID_REPLY",
]);

function keyOf({ overtakes, received: { topic, key } }: Waiting): string {
  return `${overtakes ? "ahead" : ""} ${topic} ${key}`;
}

/**
 * A payload that is no JSON, though it says so, is handed over as it came: its handler will say what it lacks. A correlation id or
 * a trace that no event can have is left out: what the handler publishes would be refused for it.
 */
function toInboxMessage(received: ReceivedMessage): InboxMessage {
  const { topic, key, headers } = received;
  return {
    eventId: headers["ce_id"] ?? "",
    sourceTopic: topic,
    eventType: headers["ce_type"] ?? "",
    payload: toPayload(received),
    key,
    correlationId: carried(correlationOf(headers)),
    traceparent: carried(headers["traceparent"]),
    redrivenFor: headers[REDRIVEN_FOR],
  };
}

function carried(text: string | undefined): string | undefined {
  return text !== undefined && canCarry(text) ? text : undefined;
}

function toPayload({ headers, payload }: ReceivedMessage): unknown {
  const type = headers["content-type"] ?? "application/json";
  if (!/^application\/([\w.-]+\+)?json\b/.test(type)) return payload;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    return payload;
  }
}
