import type { ReceivedMessage, SubscribeOptions, Subscription } from "../../ports/broker.ts";
import type { Cluster } from "./cluster.ts";
import { Committer } from "./committer.ts";
import { describe } from "./error-codes.ts";
import { Fetcher } from "./fetcher.ts";
import { Holding } from "./holding.ts";
import { Membership } from "./membership.ts";
import { Nap } from "./nap.ts";
import type { Topics } from "./topics.ts";

/** What a subscription works with. */
export interface SubscriptionParts {
  readonly cluster: Cluster;
  readonly topics: Topics;
  readonly sessionTimeoutMs: number;
}

const beatsPerSession = 6;
const beatMsMax = 1_000;
const retryMs = 250;
/** So long a start tries: a group that nobody has kept yet needs a moment, on a new cluster some seconds. */
const startMsMax = 10_000;
/** So long a stop tries to record what is acknowledged: a broker that has just got the group is not ready for a moment. */
const recordMsMax = 5_000;

/**
 * A receiver of a group.
 *
 * The group's progress in a partition is one number, so only what is acknowledged without a gap is recorded. What was
 * handed over stays valid over an outage of the broker, and over a new assignment that leaves the partition here: it does not
 * come again, and can still be acknowledged. If the partition may have been another member's meanwhile, it is begun anew
 * from the recorded progress, and what was handed over before is not known any more.
 */
export class KafkaSubscription implements Subscription {
  readonly #parts: SubscriptionParts;
  readonly #options: SubscribeOptions;
  readonly #membership: Membership;
  readonly #fetcher: Fetcher;
  readonly #holding: Holding;
  readonly #committer: Committer;
  /** Our standing when we got what we hold. */
  #heldSince: Membership["standing"] = { memberId: "", generation: -1 };
  /** How many partitions each topic had then. */
  #counts = "";
  #mustJoin = true;
  /** True from when we ask for a new assignment until it is there. */
  #isPaused = true;
  #beatAt = 0;
  #isWoken = false;
  readonly #nap = new Nap();
  #life: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #trouble: string | undefined;

  constructor(parts: SubscriptionParts, options: SubscribeOptions) {
    const { group, topics } = options;
    const { sessionTimeoutMs } = parts;
    this.#parts = parts;
    this.#options = options;
    this.#holding = new Holding(options.unackedMax);
    this.#membership = new Membership(parts.cluster, parts.topics, { group, topics, sessionTimeoutMs });
    this.#committer = new Committer(this.#holding, this.#membership, () => {
      this.#mustJoin = true;
      this.#nap.end();
    });
    this.#fetcher = new Fetcher({
      ...parts,
      membership: this.#membership,
      feeds: () => this.#holding.feeds,
      onNews: (trouble) => {
        this.#trouble = trouble;
        this.#wake();
      },
    });
  }

  /** What keeps it from receiving now. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** @throws SagaError `SAGAZ_BROKER_UNAVAILABLE`, `SAGAZ_UNKNOWN_TOPIC` */
  async start(): Promise<void> {
    for (const place of (await this.#parts.topics.find(this.#options.topics)).values())
      if (typeof place !== "number") throw place;
    const until = performance.now() + startMsMax;
    for (;;) {
      try {
        await this.#join();
        break;
      } catch (error) {
        if (!this.#stopping && performance.now() < until) await this.#nap.take(retryMs);
        else {
          await this.stop();
          throw error;
        }
      }
    }
    this.#life = this.#live();
  }

  ack(messages: readonly ReceivedMessage[]): void {
    if (!this.#holding.ack(messages)) return;
    this.#committer.soon();
    this.#wake();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#committer.stop();
    this.#fetcher.stop();
    this.#membership.interrupt();
    this.#nap.end();
    await this.#life;
    await this.#record();
    await this.#membership.leave().catch(() => {}); // then the others find out by themselves
    this.#membership.interrupt();
  }

  /** What cannot be recorded comes again to the others. */
  async #record(): Promise<void> {
    const until = performance.now() + recordMsMax;
    for (;;) {
      try {
        return await this.#committer.now();
      } catch {
        if (performance.now() >= until) return;
        await this.#nap.take(retryMs);
      }
    }
  }

  async #live(): Promise<void> {
    const beatMs = Math.min(beatMsMax, this.#parts.sessionTimeoutMs / beatsPerSession);
    let waitMs = beatMs;
    while (!this.#stopping) {
      await this.#nap.take(waitMs);
      waitMs = beatMs;
      try {
        if (!this.#stopping) await this.#stay();
      } catch (error) {
        this.#trouble = describe(error);
        waitMs = retryMs;
      }
    }
  }

  /** Keeps our place in the group. */
  async #stay(): Promise<void> {
    if (!this.#mustJoin) {
      this.#mustJoin = !(await this.#membership.heartbeat()) || (await this.#count()) !== this.#counts;
      this.#beatAt = performance.now();
      this.#wake();
    }
    if (this.#mustJoin) await this.#join();
  }

  /** Topics may get more partitions. */
  async #count(): Promise<string> {
    const places = await this.#parts.topics.find(this.#options.topics);
    const isKnown = [...places.values()].every((place) => typeof place === "number");
    return isKnown ? JSON.stringify([...places]) : this.#counts;
  }

  async #join(): Promise<void> {
    this.#mustJoin = true;
    this.#isPaused = true;
    await this.#committer.now().catch(() => {});
    const counts = await this.#count();
    const assigned = await this.#membership.join(this.#holding.partitions);
    const before = this.#heldSince;
    const now = this.#membership.standing;
    // Assignments are numbered one after the other: then no other member has had our partitions in between.
    const keeps = before.memberId === now.memberId && now.generation <= before.generation + 1;
    this.#holding.change(assigned, keeps);
    this.#heldSince = now;
    this.#counts = counts;
    this.#beatAt = performance.now();
    this.#mustJoin = false;
    this.#isPaused = false;
    this.#fetcher.wake();
    this.#wake();
  }

  /** Hands over, once for everything that happened in one go. */
  #wake(): void {
    if (this.#isWoken) return;
    this.#isWoken = true;
    queueMicrotask(() => {
      this.#isWoken = false;
      this.#handOver();
    });
  }

  #handOver(): void {
    // If nobody has heard of us for so long, our partitions may be another's.
    const isForgotten = performance.now() - this.#beatAt > this.#parts.sessionTimeoutMs;
    if (this.#stopping || this.#isPaused || isForgotten) return;
    const messages = this.#holding.take();
    if (messages.length === 0) return;
    this.#fetcher.wake();
    try {
      this.#options.handle(messages);
    } catch {
      // As the port says: the messages stay unacknowledged.
    }
  }
}
