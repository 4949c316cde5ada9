import { SagaError } from "../../core/errors.ts";
import { givenOptions, type Wanted } from "../../core/given-options.ts";
import type {
  BrokerHealth,
  BrokerMessage,
  MessageBroker,
  SubscribeOptions,
  Subscription,
} from "../../ports/broker.ts";
import type { AmqpConnection, AmqpSocketOptions } from "./amqp.ts";
import { Link } from "./link.ts";
import { Publisher } from "./publisher.ts";
import { RabbitMQSubscription } from "./rabbitmq-subscription.ts";
import { checkPlace } from "./topology.ts";
import { ignore, messageOf } from "./trouble.ts";

export type {
  AmqpChannel,
  AmqpConfirmChannel,
  AmqpConnection,
  AmqpDelivery,
  AmqpPublishOptions,
  AmqpReturned,
  AmqpSocketOptions,
} from "./amqp.ts";

/** How messages cross RabbitMQ. Times are in milliseconds. */
export interface RabbitMQBrokerOptions {
  /**
   * Opens a connection, as `connect` of `amqplib` does. It is called for the one that publishes, for the one that
   * receives, and again for each that was lost; the broker closes them. That a server has vanished without a word shows by
   * the connection's heartbeats alone while nothing is published: after three minutes, or half a one with `?heartbeat=10`
   * in the URL.
   */
  readonly connect: (socketOptions: AmqpSocketOptions) => Promise<AmqpConnection>;
  /** The durable topic exchange through which all messages go; it is made if need be. Default `sagaz`. */
  readonly exchange?: string;
  /** How long to wait for a connection, or for a sign of life. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** After this time without an answer a message is in doubt, and a silent connection is given up. Default 10,000. */
  readonly answerTimeoutMs?: number;
}

const WANTED: Wanted<RabbitMQBrokerOptions> = {
  connect: { has: ["call"], rule: "it must be a function: (options) => connect(url, options)" },
  exchange: "optional",
  connectTimeoutMs: { from: 1 },
  answerTimeoutMs: { from: 1 },
};
/** How long publishing under way may go on when the broker is stopped. */
const finishMs = 5_000;

/** What there is while it is started. */
interface Started {
  readonly publishing: Link;
  readonly publisher: Publisher;
  /** One of its own: a server that is short of memory holds up the connections that publish, and they shall not be in the way of those that receive. */
  receiving: Promise<Link> | undefined;
  readonly subscriptions: Set<RabbitMQSubscription>;
}

/**
 * Messages by way of RabbitMQ 3.10 or later, with the driver `amqplib`.
 *
 * A topic is a routing key of one durable topic exchange. Each group has a durable quorum queue for each of its topics,
 * which its first subscription makes and binds; a message for which there is no queue at all is `SAGAZ_UNKNOWN_TOPIC`.
 * A queue has one receiver at a time. What was handed over 100 times and always came back is put aside into
 * `<exchange>-dead-letters/<group>/<topic>`. Let the members of a group have one `unackedMax`: what a smaller one gives
 * back when it dies would come after what a larger one had given back before.
 *
 * @example
 * import { connect } from "amqplib";
 * const broker = new RabbitMQBroker({ connect: (options) => connect("amqp://localhost", options) });
 */
export class RabbitMQBroker implements MessageBroker {
  readonly name = "RabbitMQ";
  readonly #options: Required<RabbitMQBrokerOptions>;
  #starting: Promise<void> | undefined;
  #started: Started | undefined;
  #wasStopped = false;

  constructor(options: RabbitMQBrokerOptions) {
    this.#options = {
      exchange: "sagaz",
      connectTimeoutMs: 5_000,
      answerTimeoutMs: 10_000,
      ...givenOptions("RabbitMQBroker", options, WANTED),
    };
  }

  start(): Promise<void> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  async stop(): Promise<void> {
    await this.#starting?.catch(ignore);
    const started = this.#started;
    this.#starting = this.#started = undefined;
    this.#wasStopped = true;
    if (!started) return;
    await Promise.all(Array.from(started.subscriptions, (subscription) => subscription.stop()));
    await started.publisher.stop(finishMs);
    await started.publishing.close();
    await started.receiving?.then((link) => link.close(), ignore);
  }

  async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    return this.#mustBeStarted().publisher.publish(messages);
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    const started = this.#mustBeStarted();
    const { exchange, answerTimeoutMs } = this.#options;
    for (const topic of options.topics) checkPlace({ exchange, group: options.group, topic });
    const link = await this.#openReceiving(started);
    const subscription = new RabbitMQSubscription({
      ...options,
      link,
      exchange,
      answerTimeoutMs,
      onStop: () => started.subscriptions.delete(subscription),
    });
    started.subscriptions.add(subscription);
    await subscription.start();
    return subscription;
  }

  async health(): Promise<BrokerHealth> {
    if (!this.#started) return { isUp: false, detail: "it is not started" };
    const { publishing, receiving } = this.#started;
    const detail = (await publishing.ping()) ?? (await receiving?.then((link) => link.ping(), messageOf));
    return detail === undefined ? { isUp: true } : { isUp: false, detail };
  }

  async #start(): Promise<void> {
    const publishing = await this.#openLink();
    const { exchange, answerTimeoutMs } = this.#options;
    const publisher = new Publisher({ link: publishing, exchange, answerTimeoutMs });
    this.#started = { publishing, publisher, receiving: undefined, subscriptions: new Set() };
  }

  #openReceiving(started: Started): Promise<Link> {
    started.receiving ??= this.#openLink().catch((error: unknown) => {
      started.receiving = undefined;
      throw error;
    });
    return started.receiving;
  }

  async #openLink(): Promise<Link> {
    const link = new Link(this.#options);
    await link.open();
    return link;
  }

  #mustBeStarted(): Started {
    if (this.#started) return this.#started;
    throw new SagaError(this.#wasStopped ? "SAGAZ_STOPPED" : "SAGAZ_NOT_STARTED", { what: "broker" });
  }
}
