import { SagaError } from "../../core/errors.ts";
import { givenOptions, type Wanted } from "../../core/given-options.ts";
import type {
  BrokerHealth,
  BrokerMessage,
  MessageBroker,
  SubscribeOptions,
  Subscription,
} from "../../ports/broker.ts";
import { MemorySubscription } from "./memory-subscription.ts";
import { Topics } from "./topics.ts";

/** Options of {@link InMemoryBroker}. */
export interface InMemoryBrokerOptions {
  /** Another broker object whose topics this one shares, as a second process would that connects to the same server. */
  readonly beside?: InMemoryBroker;
  /**
   * How many messages of a topic are kept for groups to come. A group that lags by so many holds up publishing
   * (`SAGAZ_BROKER_UNAVAILABLE`). Default 100,000. With `beside` it is that one's.
   */
  readonly messagesKeptMax?: number;
}

const MESSAGES_KEPT_MAX = 100_000;
const WANTED: Wanted<InMemoryBrokerOptions> = { beside: "optional", messagesKeptMax: { from: 1 } };

/**
 * A broker that lives and dies with its process: for tests, for demonstrations, and for sagas that meet in one process.
 *
 * The object is the server: it keeps topics and groups also while it is stopped, until it is collected.
 */
export class InMemoryBroker implements MessageBroker {
  readonly name = "memory";
  readonly #topics: Topics;
  readonly #subscriptions = new Set<MemorySubscription>();
  #state: "new" | "started" | "stopped" = "new";

  constructor(options: InMemoryBrokerOptions = {}) {
    const given = givenOptions("InMemoryBroker", options, WANTED);
    const { beside, messagesKeptMax = MESSAGES_KEPT_MAX } = given;
    this.#topics = beside ? beside.#topics : new Topics(messagesKeptMax);
  }

  async start(): Promise<void> {
    if (this.#topics.isAway) throw unavailable();
    this.#state = "started";
  }

  async stop(): Promise<void> {
    this.#state = "stopped";
    for (const subscription of this.#subscriptions) await subscription.stop();
    this.#subscriptions.clear();
  }

  async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    this.#mustBeStarted();
    if (this.#topics.isAway) return messages.map(() => unavailable());
    const answers = messages.map((message) => this.#put(message));
    this.#topics.wake();
    return answers;
  }

  /** A full topic stays full for the rest of a call, so that a prefix of it is accepted. */
  #put(message: BrokerMessage): SagaError | undefined {
    const topic = this.#topics.ensure(message.topic);
    if (topic.isFull) return unavailable(`topic "${message.topic}" is full: a group does not keep up`);
    topic.push(message);
    return undefined;
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    this.#mustBeStarted();
    if (this.#topics.isAway) throw unavailable();
    const subscription = new MemorySubscription(this.#topics, options);
    this.#subscriptions.add(subscription);
    this.#topics.wake();
    return subscription;
  }

  async health(): Promise<BrokerHealth> {
    if (this.#state !== "started") return { isUp: false, detail: "it is not started" };
    return this.#topics.isAway ? { isUp: false, detail: "it is away" } : { isUp: true };
  }

  /** For tests: cuts all connections, and refuses new ones until `comeBack()`. */
  goAway(): void {
    this.#topics.goAway();
  }

  /** For tests: ends what `goAway()` began. */
  comeBack(): void {
    this.#topics.comeBack();
  }

  #mustBeStarted(): void {
    if (this.#state === "new") throw new SagaError("SAGAZ_NOT_STARTED", { what: "broker" });
    if (this.#state === "stopped") throw new SagaError("SAGAZ_STOPPED", { what: "broker" });
  }
}

function unavailable(message = "it is away"): SagaError {
  return new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker: "memory", message });
}
