import { SagaError } from "../../core/errors.ts";
import type { ReceivedMessage, SubscribeOptions, Subscription } from "../../ports/broker.ts";
import { fromFields, type Entry } from "./entry.ts";
import type { Keys } from "./keys.ts";
import type { Line } from "./line.ts";
import type { Tenure } from "./tenure.ts";
import { Tenures } from "./tenures.ts";

const messagesPerReadMax = 500;
/** Leases are renewed, and asked for, so many times in the time that one lasts. */
const tendsPerLease = 10;

/** What a {@link RedisSubscription} works with. */
export interface SubscriptionParts {
  /** For all but what blocks it. */
  readonly line: Line;
  /** Makes a connection that is waited on for messages. */
  readonly makeReader: (onLost: () => void) => Line;
  readonly keys: Keys;
  readonly leaseMs: number;
  /** The reader's connection counts as lost when it has had no answer for so long. */
  readonly answerTimeoutMs: number;
  readonly options: SubscribeOptions;
}

/** A receiver of a group: it reads the topics whose lease it holds, and stands by for the others. */
export class RedisSubscription implements Subscription {
  readonly #reader: Line;
  readonly #tenures: Tenures;
  readonly #options: SubscribeOptions;
  readonly #keys: Keys;
  readonly #tendEveryMs: number;
  /** For so long a read waits for messages: it answers by then though none come, or its silence would count as a loss. */
  readonly #blockMs: number;
  #tending: NodeJS.Timeout | undefined;
  #saving: NodeJS.Immediate | undefined;
  #turn = 0;
  #wake = () => {};
  #stopping: Promise<void> | undefined;

  constructor({ line, makeReader, keys, leaseMs, answerTimeoutMs, options }: SubscriptionParts) {
    this.#options = options;
    this.#keys = keys;
    this.#tendEveryMs = leaseMs / tendsPerLease;
    this.#blockMs = Math.ceil(Math.min(this.#tendEveryMs, answerTimeoutMs / 2));
    this.#tenures = new Tenures({ line, keys, leaseMs, group: options.group, topics: options.topics });
    // What was handed over comes again, so that all of it is handed over on a connection that works.
    this.#reader = makeReader(() => this.#tenures.dropAll());
  }

  /** @throws SagaError as `subscribe`. */
  async start(): Promise<void> {
    try {
      await this.#tenures.hold();
      await this.#reader.open();
    } catch (error) {
      if (!this.#stopping) {
        await this.stop();
        throw error;
      }
    }
    if (this.#stopping) {
      this.#reader.close(); // it may have been opened after the stop
      throw new SagaError("SAGAZ_STOPPED", { what: "broker" });
    }
    this.#tendLater();
    void this.#readOn();
  }

  ack(messages: readonly ReceivedMessage[]): void {
    for (const message of messages) this.#tenures.ack(message);
    if (this.#stopping) return;
    this.#wake();
    this.#saving ??= setImmediate(() => {
      this.#saving = undefined;
      void this.#tenures.save();
    });
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#tending);
    clearImmediate(this.#saving);
    this.#wake();
    await this.#tenures.release();
    this.#reader.close();
  }

  #tendLater(): void {
    if (this.#stopping) return;
    this.#tending = setTimeout(() => void this.#tend(), this.#tendEveryMs);
  }

  async #tend(): Promise<void> {
    // In an outage it is done again, and again.
    await this.#tenures.hold().catch(() => {});
    await this.#tenures.save();
    this.#wake();
    this.#tendLater();
  }

  async #readOn(): Promise<void> {
    while (!this.#stopping) {
      const tenures = this.#choose();
      const isRead = tenures.length > 0 && (await this.#read(tenures));
      // Until a message is acknowledged, or leases were tended to.
      if (!isRead) await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  get #room(): number {
    return this.#tenures.list().reduce((room, { unacked }) => room - unacked, this.#options.unackedMax);
  }

  /** What is read next: every topic in its turn, where there is not room for a message of each. */
  #choose(): readonly Tenure[] {
    const held = this.#tenures.list();
    const from = held.length === 0 ? 0 : this.#turn++ % held.length;
    return [...held.slice(from), ...held.slice(0, from)].slice(0, Math.max(0, this.#room));
  }

  /** False when there is no connection. */
  async #read(tenures: readonly Tenure[]): Promise<boolean> {
    const count = Math.min(messagesPerReadMax, Math.floor(this.#room / tenures.length));
    const streams = tenures.map(({ topic }) => this.#keys.stream(topic));
    const places = tenures.map(({ next }) => next);
    const how = ["COUNT", count, "BLOCK", this.#blockMs];
    try {
      const answer = await this.#reader.callBuffer("XREAD", ...how, "STREAMS", ...streams, ...places);
      const read = new Map(
        ((answer ?? []) as [Buffer, Entry[]][]).map(([stream, list]) => [String(stream), list]),
      );
      this.#handOver(tenures.map((tenure, n) => [tenure, read.get(streams[n] ?? "") ?? []]));
      return true;
    } catch {
      return false;
    }
  }

  #handOver(read: readonly (readonly [Tenure, readonly Entry[]])[]): void {
    const messages: ReceivedMessage[] = [];
    for (const [tenure, entries] of read) {
      if (this.#stopping || !this.#tenures.isHeld(tenure)) continue;
      for (const [id, fields] of entries) {
        const message = fromFields(tenure.topic, fields);
        tenure.take(String(id), message);
        messages.push(message);
      }
    }
    if (messages.length === 0) return;
    try {
      this.#options.handle(messages);
    } catch {
      // As the port says: the messages stay unacknowledged.
    }
  }
}
