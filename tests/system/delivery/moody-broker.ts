import {
  SagaError,
  type BrokerHealth,
  type BrokerMessage,
  type MessageBroker,
  type SubscribeOptions,
  type Subscription,
} from "sagaz";

/** How often a {@link MoodyBroker} does not take what it is given: shares of 1. */
export interface Moods {
  /** Calls that meet an outage: nothing is accepted, or all of it and nobody is told. */
  readonly away: number;
  /** Messages that are refused, each twice at most. */
  readonly refuses: number;
  /** Messages of this type are refused always. */
  readonly poison: string;
}

const refusalsMax = 2;

/** A broker before another one: it is away and refuses by chance, and keeps the port's promise that of a key a prefix is accepted. */
export class MoodyBroker implements MessageBroker {
  readonly name = "moody";
  readonly #broker: MessageBroker;
  readonly #moods: Moods;
  readonly #refusals = new Map<string, number>();

  constructor(broker: MessageBroker, moods: Moods) {
    this.#broker = broker;
    this.#moods = moods;
  }

  start(): Promise<void> {
    return this.#broker.start();
  }

  stop(): Promise<void> {
    return this.#broker.stop();
  }

  subscribe(options: SubscribeOptions): Promise<Subscription> {
    return this.#broker.subscribe(options);
  }

  health(): Promise<BrokerHealth> {
    return this.#broker.health();
  }

  async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    const isAway = Math.random() < this.#moods.away;
    if (isAway && Math.random() < 0.5) return messages.map(() => this.#away());
    const stopped = new Set<string>();
    const verdicts = messages.map((message) => this.#judge(message, stopped));
    const passed = messages.filter((_, n) => verdicts[n] === undefined);
    const answers = [...(await this.#broker.publish(passed))];
    if (isAway) return messages.map(() => this.#away());
    return verdicts.map((verdict) => verdict ?? answers.shift());
  }

  #judge(message: BrokerMessage, stopped: Set<string>): SagaError | undefined {
    const { topic, key } = message;
    if (stopped.has(key)) return new SagaError("SAGAZ_BROKER_HELD_BACK");
    if (!this.#refuses(message)) return undefined;
    stopped.add(key);
    return new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: this.name, topic, message: "not in the mood" });
  }

  #refuses({ headers }: BrokerMessage): boolean {
    if (headers["ce_type"] === this.#moods.poison) return true;
    const id = headers["ce_id"] ?? "";
    const before = this.#refusals.get(id) ?? 0;
    if (before === refusalsMax || Math.random() >= this.#moods.refuses) return false;
    this.#refusals.set(id, before + 1);
    return true;
  }

  #away(): SagaError {
    return new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker: this.name, message: "it is away" });
  }
}
