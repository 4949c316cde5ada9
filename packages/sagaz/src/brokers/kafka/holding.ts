import type { ReceivedMessage } from "../../ports/broker.ts";
import { Feed, type Handed } from "./feed.ts";
import type { Partitions } from "./group-protocol.ts";
import type { Progress } from "./progress.ts";

/** What a member of a group has: the feeds of its partitions, and the messages that were handed over and are not acknowledged. */
export class Holding {
  readonly #unackedMax: number;
  readonly #open = new Map<ReceivedMessage, Handed>();
  #feeds = new Map<string, Feed>();
  #turn = 0;

  constructor(unackedMax: number) {
    this.#unackedMax = unackedMax;
  }

  get feeds(): Iterable<Feed> {
    return this.#feeds.values();
  }

  get partitions(): Partitions {
    const partitions = new Map<string, number[]>();
    for (const { topic, partition } of this.feeds)
      partitions.set(topic, [...(partitions.get(topic) ?? []), partition]);
    return partitions;
  }

  /** What is recorded less far than it is acknowledged. */
  get toCommit(): readonly Progress[] {
    return [...this.feeds].flatMap(({ topic, partition, toCommit: offset }) =>
      offset === undefined ? [] : [{ topic, partition, offset }],
    );
  }

  noteCommitted(progress: readonly Progress[]): void {
    for (const { topic, partition, offset } of progress)
      this.#feeds.get(toName(topic, partition))?.noteCommitted(offset);
  }

  /** Gets other partitions. `keeps`: what was held of those that were held before is still valid. */
  change(partitions: Partitions, keeps: boolean): void {
    const feeds = new Map<string, Feed>();
    for (const [topic, numbers] of partitions)
      for (const partition of numbers) {
        const name = toName(topic, partition);
        feeds.set(name, (keeps ? this.#feeds.get(name) : undefined) ?? new Feed(topic, partition));
      }
    for (const [message, { feed }] of this.#open)
      if (feeds.get(toName(feed.topic, feed.partition)) !== feed) this.#open.delete(message);
    this.#feeds = feeds;
  }

  /** Takes messages to hand over, as many as there is room for, from each feed an equal part. */
  take(): readonly ReceivedMessage[] {
    const room = () => this.#unackedMax - this.#open.size;
    const messages: ReceivedMessage[] = [];
    for (
      let full = this.#inTurn();
      full.length > 0 && room() > 0;
      full = full.filter((feed) => feed.hasReady)
    ) {
      const part = Math.ceil(room() / full.length);
      for (const feed of full)
        for (const handed of feed.take(Math.min(part, room()))) {
          this.#open.set(handed.message, handed);
          messages.push(handed.message);
        }
    }
    return messages;
  }

  /** Feeds that have messages; another one is the first each time. */
  #inTurn(): readonly Feed[] {
    const full = [...this.feeds].filter((feed) => feed.hasReady);
    const first = this.#turn++ % Math.max(1, full.length);
    return [...full.slice(first), ...full.slice(0, first)];
  }

  /** Acknowledges what is known here. True when something was. */
  ack(messages: readonly ReceivedMessage[]): boolean {
    const feeds = new Set<Feed>();
    for (const message of messages) {
      const handed = this.#open.get(message);
      if (!handed) continue;
      this.#open.delete(message);
      handed.isAcked = true;
      feeds.add(handed.feed);
    }
    for (const feed of feeds) feed.settle();
    return feeds.size > 0;
  }
}

function toName(topic: string, partition: number): string {
  return `${topic}:${partition}`;
}
