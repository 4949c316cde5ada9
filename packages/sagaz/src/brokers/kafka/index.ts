import type { ConnectionOptions as TlsOptions } from "node:tls";
import { SagaError } from "../../core/errors.ts";
import { givenOptions, type Wanted } from "../../core/given-options.ts";
import type {
  BrokerHealth,
  BrokerMessage,
  MessageBroker,
  SubscribeOptions,
  Subscription,
} from "../../ports/broker.ts";
import { Cluster } from "./cluster.ts";
import type { KafkaSasl } from "./connections.ts";
import type { KafkaDriver } from "./driver.ts";
import { describe } from "./error-codes.ts";
import { Publisher } from "./publisher.ts";
import { KafkaSubscription } from "./subscription.ts";
import { Topics, type KafkaNewTopics } from "./topics.ts";

export type { KafkaSasl } from "./connections.ts";
export type { KafkaDriver } from "./driver.ts";
export type { KafkaNewTopics } from "./topics.ts";

/** How Kafka is reached and used. Times are in milliseconds. */
export interface KafkaBrokerOptions {
  /** The driver: `import * as kafka from "@platformatic/kafka"`. */
  readonly kafka: KafkaDriver;
  /** Some brokers of the cluster, each `host:port`; they tell of the others. */
  readonly servers: readonly string[];
  /** A login. Default: none. */
  readonly sasl?: KafkaSasl;
  /** How to encrypt, as for Node's `tls.connect`; `{}` will do for certificates that Node knows. Default: not at all. */
  readonly tls?: TlsOptions;
  /** How brokers call this program in their logs and quotas. Default `sagaz`. */
  readonly clientId?: string;
  /** Create topics that do not exist. Default: they are `SAGAZ_UNKNOWN_TOPIC`. */
  readonly createTopics?: KafkaNewTopics;
  /** What a message may have at most, with all that Kafka puts around it: its `message.max.bytes`. Default 1,048,588. */
  readonly messageBytesMax?: number;
  /** How long a message is tried before it is answered with `SAGAZ_BROKER_UNAVAILABLE`. Default 10,000. */
  readonly publishTimeoutMs?: number;
  /** After this time without an answer a connection counts as lost. Default 5,000. */
  readonly answerTimeoutMs?: number;
  /** A receiver that is not heard of for so long is dead, and others get its partitions. Default 10,000. */
  readonly sessionTimeoutMs?: number;
}

const WANTED: Wanted<KafkaBrokerOptions> = {
  kafka: { has: ["Connection"], rule: "it must be the package @platformatic/kafka" },
  servers: "some",
  sasl: "optional",
  tls: "optional",
  clientId: "optional",
  createTopics: "optional",
  messageBytesMax: { from: 1 },
  publishTimeoutMs: { from: 1 },
  answerTimeoutMs: { from: 1 },
  sessionTimeoutMs: { from: 1 },
};

/**
 * Messages over Apache Kafka 3.1 or later, by the driver `@platformatic/kafka`.
 *
 * A message's key chooses its partition, as with Kafka's own clients. It counts as published when all replicas that are in
 * sync have it (`acks=all`); publishing is idempotent. A group's members share the partitions of its topics.
 *
 * @example
 * import * as kafka from "@platformatic/kafka";
 * const broker = new KafkaBroker({ kafka, servers: ["kafka-1:9092", "kafka-2:9092"] });
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`
 */
export class KafkaBroker implements MessageBroker {
  readonly name = "Kafka";
  readonly #cluster: Cluster;
  readonly #topics: Topics;
  readonly #limits: { readonly messageBytesMax: number; readonly publishTimeoutMs: number };
  readonly #sessionTimeoutMs: number;
  readonly #subscriptions = new Set<KafkaSubscription>();
  #publisher: Publisher | undefined;
  #state: "new" | "started" | "stopped" = "new";

  constructor(written: KafkaBrokerOptions) {
    const options = givenOptions("KafkaBroker", written, WANTED);
    const { kafka, servers, clientId = "sagaz", answerTimeoutMs = 5_000, sasl, tls } = options;
    this.#cluster = new Cluster({ kafka, clientId, answerTimeoutMs, sasl, tls }, servers);
    this.#topics = new Topics(this.#cluster, options.createTopics);
    this.#sessionTimeoutMs = options.sessionTimeoutMs ?? 10_000;
    this.#limits = {
      messageBytesMax: options.messageBytesMax ?? 1_048_588,
      publishTimeoutMs: options.publishTimeoutMs ?? 10_000,
    };
  }

  async start(): Promise<void> {
    if (this.#state === "started") return;
    await this.#cluster.look([]);
    this.#publisher = new Publisher(this.#cluster, this.#topics, this.#limits);
    this.#state = "started";
  }

  async stop(): Promise<void> {
    this.#state = "stopped";
    const publisher = this.#publisher;
    this.#publisher = undefined;
    await Promise.all([publisher?.stop(), ...Array.from(this.#subscriptions, (one) => one.stop())]);
    this.#subscriptions.clear();
    this.#cluster.close();
  }

  async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    return this.#mustBeStarted().publish(messages);
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    this.#mustBeStarted();
    const parts = { cluster: this.#cluster, topics: this.#topics, sessionTimeoutMs: this.#sessionTimeoutMs };
    const subscription = new KafkaSubscription(parts, options);
    this.#subscriptions.add(subscription);
    try {
      await subscription.start();
    } catch (error) {
      this.#subscriptions.delete(subscription);
      throw error;
    }
    return subscription;
  }

  async health(): Promise<BrokerHealth> {
    if (this.#state !== "started") return { isUp: false, detail: "it is not started" };
    try {
      await this.#cluster.look([]);
    } catch (error) {
      return { isUp: false, detail: describe(error) };
    }
    const troubles = Array.from(this.#subscriptions, ({ trouble }) => trouble).filter(Boolean);
    return troubles.length === 0 ? { isUp: true } : { isUp: true, detail: troubles.join("; ") };
  }

  #mustBeStarted(): Publisher {
    if (this.#state === "stopped") throw new SagaError("SAGAZ_STOPPED", { what: "broker" });
    if (!this.#publisher) throw new SagaError("SAGAZ_NOT_STARTED", { what: "broker" });
    return this.#publisher;
  }
}
