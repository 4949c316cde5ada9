import { Histogram, type Registry } from "prom-client";
import type { BrokerHealth, BrokerMessage, MessageOutlet, SagaError } from "sagaz";

/** The same broker, or what posts; how long it takes, and how much at a time, is measured. */
export class MeteredBroker implements MessageOutlet {
  readonly name: string;
  readonly posts: boolean;
  /** Events that are with the broker now. */
  inFlight = 0;
  readonly #broker: MessageOutlet;
  readonly #seconds: Histogram;
  readonly #size: Histogram;

  constructor(broker: MessageOutlet, registry: Registry) {
    const registers = [registry];
    this.name = broker.name;
    this.posts = broker.posts ?? false;
    this.#broker = broker;
    this.#seconds = new Histogram({
      name: "outbox_publish_duration_seconds",
      help: "How long the broker, or a URL, took for a batch.",
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    });
    this.#size = new Histogram({
      name: "outbox_batch_size",
      help: "Events in a batch that was published.",
      buckets: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000],
      registers,
    });
  }

  async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    const end = this.#seconds.startTimer();
    this.#size.observe(messages.length);
    this.inFlight += messages.length;
    try {
      return await this.#broker.publish(messages);
    } finally {
      this.inFlight -= messages.length;
      end();
    }
  }

  start(): Promise<void> {
    return this.#broker.start();
  }

  stop(): Promise<void> {
    return this.#broker.stop();
  }

  health(): Promise<BrokerHealth> {
    return this.#broker.health();
  }
}
