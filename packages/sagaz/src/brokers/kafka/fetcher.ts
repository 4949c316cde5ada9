import { setTimeout as pause } from "node:timers/promises";
import { Connections, type Address } from "./connections.ts";
import type { FetchResponse } from "./driver.ts";
import { codes, describe, toSentence, unavailable } from "./error-codes.ts";
import type { Feed } from "./feed.ts";
import { locate, type LocatingParts } from "./locate.ts";

/** How long a broker waits for a message when it has none. */
const waitMs = 500;
/** The same when the feed of another of its partitions may be empty sooner. */
const shortWaitMs = 50;
const bytesMax = 8_388_608;
const partitionBytesMax = 1_048_576;
const retryMs = 250;
const readCommitted = 1;

/** What a fetcher works with. */
export interface FetcherParts extends LocatingParts {
  /** All that are ours now. */
  readonly feeds: () => Iterable<Feed>;
  /** Called when there may be something to hand over, or, with a reason, when there is trouble. */
  readonly onNews: (trouble?: string) => void;
}

/** Feeds of partitions that one broker leads. */
interface Group {
  readonly address: Address;
  /** The empty ones. */
  readonly wanted: Feed[];
  /** True when they are all. */
  isAll: boolean;
}

/** Keeps feeds filled: of each broker one request is under way, for all feeds that are empty. */
export class Fetcher {
  readonly #parts: FetcherParts;
  readonly #connections: Connections;
  readonly #busy = new Set<string>();
  #isLocating = false;
  #isStopped = false;

  constructor(parts: FetcherParts) {
    this.#parts = parts;
    this.#connections = new Connections(parts.cluster.access, waitMs);
  }

  stop(): void {
    this.#isStopped = true;
    this.#connections.close();
  }

  /** Fetches what is wanted now. Whatever happens to a feed ends here again. */
  wake(): void {
    if (this.#isStopped) return;
    const idle = [...this.#parts.feeds()].filter(({ isBusy }) => !isBusy);
    const lost = idle.filter(({ position }) => position === undefined);
    if (lost.length > 0) void this.#locate(lost);
    for (const [name, group] of this.#toGroups(idle.filter(({ position }) => position !== undefined)))
      if (group.wanted.length > 0 && !this.#busy.has(name)) void this.#fetch(name, group);
  }

  #toGroups(feeds: readonly Feed[]): ReadonlyMap<string, Group> {
    const groups = new Map<string, Group>();
    for (const feed of feeds) {
      const address = this.#parts.topics.leaderOf(feed.topic, feed.partition);
      if (!address) {
        this.#rest([feed], toSentence(codes.leaderNotAvailable));
        continue;
      }
      const name = `${address.host}:${address.port}`;
      const group = groups.get(name) ?? { address, wanted: [], isAll: true };
      if (feed.hasReady) group.isAll = false;
      else group.wanted.push(feed);
      groups.set(name, group);
    }
    return groups;
  }

  async #fetch(name: string, { address, wanted, isAll }: Group): Promise<void> {
    this.#busy.add(name);
    for (const feed of wanted) feed.isBusy = true;
    const answer = await this.#ask(address, wanted, isAll ? waitMs : shortWaitMs).catch(unavailable);
    for (const feed of wanted) feed.isBusy = false;
    this.#busy.delete(name);
    if (answer instanceof Error) this.#rest(wanted, describe(answer));
    else this.#read(answer, wanted);
    // After what was read is handed over: a feed that is still full then is left out of the next request, for as long as that waits.
    queueMicrotask(() => this.wake());
  }

  #ask(address: Address, wanted: readonly Feed[], waitMsMax: number): Promise<FetchResponse> {
    const topics = wanted.map(({ topic, partition, position = 0n }) => ({
      topicId: topic, // in this version of the request its name
      partitions: [
        {
          partition,
          currentLeaderEpoch: -1,
          fetchOffset: position,
          lastFetchedEpoch: -1,
          partitionMaxBytes: partitionBytesMax,
        },
      ],
    }));
    const { kafka } = this.#parts.cluster.access;
    const limits = [waitMsMax, 1, bytesMax, readCommitted] as const;
    const withoutSession = [0, -1] as const;
    return this.#connections.ask(address, kafka.fetchV12, ...limits, ...withoutSession, topics, [], "");
  }

  #read(answer: FetchResponse, wanted: readonly Feed[]): void {
    const feeds = new Map(wanted.map((feed) => [`${feed.topic}:${feed.partition}`, feed]));
    const { errorCode } = answer;
    if (errorCode === codes.none) this.#tell();
    else this.#rest(wanted, toSentence(errorCode));
    for (const { topicId: topic, partitions } of answer.responses)
      for (const partition of partitions) {
        const feed = feeds.get(`${topic}:${partition.partitionIndex}`);
        const failure = feed?.receive(partition) ?? codes.none;
        if (feed && failure !== codes.none) this.#rest([feed], toSentence(failure));
      }
  }

  async #locate(feeds: readonly Feed[]): Promise<void> {
    if (this.#isLocating) return;
    this.#isLocating = true;
    for (const feed of feeds) feed.isBusy = true;
    const failure = await locate(feeds, this.#connections, this.#parts).catch(unavailable);
    for (const feed of feeds) feed.isBusy = false;
    this.#isLocating = false;
    const lost = feeds.filter(({ position }) => position === undefined);
    if (failure) this.#rest(lost, describe(failure));
    this.wake();
  }

  /** Tries again, a little later, with those who lead then. */
  #rest(feeds: readonly Feed[], trouble: string): void {
    this.#tell(trouble);
    for (const feed of feeds) feed.isBusy = true;
    for (const topic of new Set(feeds.map(({ topic }) => topic))) void this.#parts.topics.renew(topic);
    void pause(retryMs).then(() => {
      for (const feed of feeds) feed.isBusy = false;
      this.wake();
    });
  }

  /** Those who are told hear it when all of an answer is read. */
  #tell(trouble?: string): void {
    if (!this.#isStopped) this.#parts.onNews(trouble);
  }
}
