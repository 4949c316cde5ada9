import { setTimeout as pause } from "node:timers/promises";
import type { ReceivedMessage, SubscribeOptions, Subscription } from "../../ports/broker.ts";
import type { AmqpConnection } from "./amqp.ts";
import { Inlet } from "./inlet.ts";
import type { Link } from "./link.ts";
import { ignore, toUnavailable } from "./trouble.ts";

const reopenMs = 100;
const reopenMsMax = 5_000;
/** What the protocol has room for. */
const prefetchMax = 65_535;

/** How a subscription is made. */
export interface RabbitMQSubscriptionOptions extends SubscribeOptions {
  readonly link: Link;
  readonly exchange: string;
  readonly answerTimeoutMs: number;
  readonly onStop: () => void;
}

/** A message that has come in, and how to acknowledge it. */
interface Arrival {
  readonly inlet: Inlet;
  readonly message: ReceivedMessage;
  readonly tag: number;
}

/** A receiver of a group: an inlet for each topic, opened again whenever it is closed. */
export class RabbitMQSubscription implements Subscription {
  readonly #options: RabbitMQSubscriptionOptions;
  readonly #inlets = new Set<Inlet>();
  /** What has come in, and waits until there is room. */
  #waiting: Arrival[] = [];
  /** What was handed over, and not acknowledged yet. */
  readonly #unacked = new Map<ReceivedMessage, Arrival>();
  #turn: NodeJS.Immediate | undefined;
  readonly #life = new AbortController();

  constructor(options: RabbitMQSubscriptionOptions) {
    this.#options = options;
  }

  /** Begins to receive. @throws SagaError `SAGAZ_BROKER_UNAVAILABLE` */
  async start(): Promise<void> {
    try {
      const { connection } = this.#options.link;
      for (const topic of this.#options.topics) void this.#goOn(topic, await this.#open(connection, topic));
    } catch (error) {
      await this.stop();
      throw toUnavailable(error);
    }
  }

  ack(messages: readonly ReceivedMessage[]): void {
    for (const message of messages) {
      const arrival = this.#unacked.get(message);
      if (!arrival) continue;
      this.#unacked.delete(message);
      arrival.inlet.ack(arrival.tag);
    }
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#life.abort();
    this.#options.onStop();
    clearImmediate(this.#turn);
    this.#unacked.clear();
    await Promise.all(Array.from(this.#inlets, (inlet) => inlet.close()));
  }

  /** Keeps a topic's inlet open until the end. */
  async #goOn(topic: string, first: Inlet): Promise<void> {
    const { signal } = this.#life;
    let inlet: Inlet | undefined = first;
    for (let delayMs = reopenMs; ;) {
      await inlet?.closed;
      if (inlet) this.#forget(inlet);
      await pause(delayMs, undefined, { signal }).catch(ignore);
      const connection = await this.#options.link.whenOpen();
      if (!connection || signal.aborted) return;
      inlet = await this.#open(connection, topic).catch(() => undefined);
      delayMs = inlet ? reopenMs : Math.min(delayMs * 2, reopenMsMax);
    }
  }

  async #open(connection: AmqpConnection, topic: string): Promise<Inlet> {
    const { link, exchange, group, unackedMax, answerTimeoutMs } = this.#options;
    const inlet = await Inlet.open({
      connection,
      place: { exchange, group, topic },
      prefetch: Math.min(unackedMax, prefetchMax),
      answerTimeoutMs,
      onMessage: (from, message, tag) => this.#arrive({ inlet: from, message, tag }),
      onSilence: () => link.drop(connection, `no answer within ${answerTimeoutMs} ms`),
    });
    this.#inlets.add(inlet);
    if (this.#life.signal.aborted) await inlet.close();
    return inlet;
  }

  #arrive(arrival: Arrival): void {
    if (this.#life.signal.aborted) return;
    this.#waiting.push(arrival);
    this.#wake();
  }

  /** Hands over what is there in the next turn: all that came in one packet goes in one call. */
  #wake(): void {
    if (this.#waiting.length > 0 && !this.#life.signal.aborted)
      this.#turn ??= setImmediate(() => this.#handOver());
  }

  #handOver(): void {
    this.#turn = undefined;
    const arrivals = this.#waiting.splice(0, this.#options.unackedMax - this.#unacked.size);
    if (arrivals.length === 0) return;
    for (const arrival of arrivals) this.#unacked.set(arrival.message, arrival);
    try {
      this.#options.handle(arrivals.map(({ message }) => message));
    } catch {
      // As the port says: the messages stay unacknowledged.
    }
  }

  /** What came in by a closed inlet comes again by another one. */
  #forget(inlet: Inlet): void {
    this.#inlets.delete(inlet);
    this.#waiting = this.#waiting.filter((arrival) => arrival.inlet !== inlet);
    for (const [message, arrival] of this.#unacked)
      if (arrival.inlet === inlet) this.#unacked.delete(message);
    this.#wake();
  }
}
