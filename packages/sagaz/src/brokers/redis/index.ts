import { SagaError } from "../../core/errors.ts";
import { givenOptions, type Wanted } from "../../core/given-options.ts";
import type {
  BrokerHealth,
  BrokerMessage,
  MessageBroker,
  SubscribeOptions,
  Subscription,
} from "../../ports/broker.ts";
import type { RedisClient } from "./client.ts";
import { messageOf } from "./errors.ts";
import { Keys } from "./keys.ts";
import { Line } from "./line.ts";
import { publish } from "./publish.ts";
import { RedisSubscription } from "./subscription.ts";

export type { RedisClient, RedisSettings } from "./client.ts";

/** Options of {@link RedisBroker}. Times are in milliseconds. */
export interface RedisBrokerOptions {
  /**
   * A client of ioredis, for one server or for sentinels. The broker opens connections of its own with the same settings,
   * one and another for each subscription; this one it neither uses nor closes, so it may be a lazy one.
   */
  readonly client: RedisClient;
  /** What the names of all keys begin with. Default `sagaz:`. */
  readonly prefix?: string;
  /** For so long a receiver that died keeps the others of its group from its topics. Default 10,000. */
  readonly leaseMs?: number;
  /** After this time without an answer a connection counts as lost. Default 10,000. */
  readonly answerTimeoutMs?: number;
  /** How many bytes a message has at most, key, headers and 12 more counted. Default 512 MiB, as `proto-max-bulk-len` of Redis. */
  readonly messageBytesMax?: number;
}

const WANTED: Wanted<RedisBrokerOptions> = {
  client: {
    has: ["duplicate"],
    rule: "it must be a client of ioredis: new Redis(url, { lazyConnect: true })",
  },
  prefix: "optional",
  leaseMs: { from: 1 },
  answerTimeoutMs: { from: 1 },
  messageBytesMax: { from: 1 },
};
/** For how long a stop waits for what is being published. */
const drainMsMax = 5_000;

/**
 * Messages in Redis 7 or later, one stream for each topic. It takes a single primary (with replicas, sentinels, or a name
 * that leads to it), not a cluster.
 *
 * What is accepted is as safe as Redis is set up to keep it: with `appendonly yes` and `appendfsync always` it is on disk;
 * with `everysec`, the default, a crash of the machine may lose the last second, and without `appendonly` a restart loses
 * everything. A failover loses what had not reached the replica; `min-replicas-to-write` bounds that.
 *
 * Of a group one subscription reads a topic, by a lease (see `leaseMs`), and others stand by. A group's place is the
 * `last-delivered-id` of a consumer group of the stream, and means that everything up to it is acknowledged. What every group has
 * behind it is removed, now and then; while there is no group, everything stays. A group that nobody needs any more
 * keeps messages for ever: remove it with `XGROUP DESTROY`.
 *
 * @example
 * const broker = new RedisBroker({ client: new Redis("redis://localhost", { lazyConnect: true }) });
 */
export class RedisBroker implements MessageBroker {
  readonly name = "Redis";
  readonly #client: RedisClient;
  readonly #keys: Keys;
  readonly #leaseMs: number;
  readonly #answerTimeoutMs: number;
  readonly #messageBytesMax: number;
  readonly #subscriptions = new Set<RedisSubscription>();
  readonly #publishing = new Set<Promise<unknown>>();
  #line: Line | undefined;
  #state: "new" | "started" | "stopped" = "new";
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(written: RedisBrokerOptions) {
    const options = givenOptions("RedisBroker", written, WANTED);
    this.#client = options.client;
    this.#keys = new Keys(options.prefix ?? "sagaz:");
    this.#leaseMs = options.leaseMs ?? 10_000;
    this.#answerTimeoutMs = options.answerTimeoutMs ?? 10_000;
    this.#messageBytesMax = options.messageBytesMax ?? 512 * 1024 * 1024;
  }

  start(): Promise<void> {
    this.#starting ??= this.#start().finally(() => (this.#starting = undefined));
    return this.#starting;
  }

  async #start(): Promise<void> {
    await this.#stopping;
    if (this.#state === "started") return;
    const line = new Line(this.#client, this.#answerTimeoutMs);
    await line.open();
    this.#line = line;
    this.#state = "started";
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop().finally(() => (this.#stopping = undefined));
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.#starting?.catch(() => {});
    this.#state = "stopped";
    await Promise.all(Array.from(this.#subscriptions, (subscription) => subscription.stop()));
    this.#subscriptions.clear();
    await settled(this.#publishing, drainMsMax);
    this.#line?.close();
    this.#line = undefined;
  }

  async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    const parts = { line: this.#opened(), keys: this.#keys, messageBytesMax: this.#messageBytesMax };
    const publishing = publish(messages, parts);
    this.#publishing.add(publishing);
    return publishing.finally(() => this.#publishing.delete(publishing));
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    const subscription = new RedisSubscription({
      line: this.#opened(),
      makeReader: (onLost) => new Line(this.#client, this.#answerTimeoutMs, onLost),
      keys: this.#keys,
      leaseMs: this.#leaseMs,
      answerTimeoutMs: this.#answerTimeoutMs,
      options,
    });
    this.#subscriptions.add(subscription);
    await subscription.start();
    return subscription;
  }

  async health(): Promise<BrokerHealth> {
    if (this.#state !== "started") return { isUp: false, detail: "it is not started" };
    try {
      await this.#opened().call("PING");
      return { isUp: true };
    } catch (error) {
      return { isUp: false, detail: messageOf(error) };
    }
  }

  #opened(): Line {
    if (this.#state === "stopped") throw new SagaError("SAGAZ_STOPPED", { what: "broker" });
    if (!this.#line) throw new SagaError("SAGAZ_NOT_STARTED", { what: "broker" });
    return this.#line;
  }
}

/** Waits for promises that never reject, but not longer than that. */
async function settled(promises: Iterable<Promise<unknown>>, msMax: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise((resolve) => (timer = setTimeout(resolve, msMax)));
  await Promise.race([Promise.all(promises), tooLong]);
  clearTimeout(timer);
}
