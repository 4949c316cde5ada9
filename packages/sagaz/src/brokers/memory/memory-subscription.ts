import type { ReceivedMessage, SubscribeOptions, Subscription } from "../../ports/broker.ts";
import type { GroupPlace } from "./topic-log.ts";
import type { Topics } from "./topics.ts";

/** A receiver of a group. */
export class MemorySubscription implements Subscription {
  readonly group: string;
  readonly topics: readonly string[];
  readonly #server: Topics;
  readonly #options: SubscribeOptions;
  /** What was handed over, and not acknowledged yet. */
  readonly #unacked = new Map<ReceivedMessage, { readonly group: GroupPlace; readonly place: number }>();
  #isStopped = false;

  constructor(server: Topics, options: SubscribeOptions) {
    this.group = options.group;
    this.topics = options.topics;
    this.#server = server;
    this.#options = options;
    for (const topic of options.topics) server.ensure(topic).ensureGroup(options.group);
    server.join(this);
  }

  ack(messages: readonly ReceivedMessage[]): void {
    for (const message of messages) {
      const handed = this.#unacked.get(message);
      if (!handed) continue;
      this.#unacked.delete(message);
      handed.group.done(handed.place);
    }
    this.#server.wake();
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.disconnect();
    this.#server.leave(this);
  }

  /** Everything that is not acknowledged comes again, here or elsewhere. */
  disconnect(): void {
    const places = new Set(Array.from(this.#unacked.values(), ({ group }) => group));
    this.#unacked.clear();
    for (const place of places) place.rewind();
  }

  /** Hands over what is there of a topic, as far as there is room. */
  give(name: string): void {
    const topic = this.#server.ensure(name);
    const group = topic.ensureGroup(this.group);
    const taken = topic.take(group, this.#options.unackedMax - this.#unacked.size);
    if (taken.length === 0) return;
    for (const [place, message] of taken) this.#unacked.set(message, { group, place });
    try {
      this.#options.handle(taken.map(([, message]) => message));
    } catch {
      // As the port says: the messages stay unacknowledged.
    }
  }
}
