import { TopicLog } from "./topic-log.ts";

/** Who listens to topics for a group. */
interface Listener {
  readonly group: string;
  readonly topics: readonly string[];
  /** Hands over what is there of a topic. */
  give(topic: string): void;
  disconnect(): void;
}

/** The server's side: topics, and who listens to them, in the order of their coming. */
export class Topics {
  readonly #logs = new Map<string, TopicLog>();
  readonly #subscriptions = new Set<Listener>();
  readonly #keptMax: number;
  #isWoken = false;
  isAway = false;

  constructor(keptMax: number) {
    this.#keptMax = keptMax;
  }

  ensure(name: string): TopicLog {
    const known = this.#logs.get(name);
    if (known) return known;
    const log = new TopicLog(name, this.#keptMax);
    this.#logs.set(name, log);
    return log;
  }

  join(subscription: Listener): void {
    this.#subscriptions.add(subscription);
  }

  leave(subscription: Listener): void {
    this.#subscriptions.delete(subscription);
    this.wake();
  }

  /** Hands over what there is, once for everything that happened in one go. */
  wake(): void {
    if (this.#isWoken) return;
    this.#isWoken = true;
    queueMicrotask(() => {
      this.#isWoken = false;
      if (!this.isAway) this.#handOver();
    });
  }

  /** Of each group and topic, the first that came gets the messages. */
  #handOver(): void {
    const served = new Set<string>();
    for (const subscription of this.#subscriptions) {
      for (const topic of subscription.topics) {
        const place = JSON.stringify([subscription.group, topic]);
        if (served.has(place)) continue;
        served.add(place);
        subscription.give(topic);
      }
    }
  }

  goAway(): void {
    this.isAway = true;
    for (const subscription of this.#subscriptions) subscription.disconnect();
  }

  comeBack(): void {
    this.isAway = false;
    this.wake();
  }
}
