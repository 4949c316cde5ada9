import { randomUUID } from "node:crypto";
import type { ReceivedMessage } from "../../ports/broker.ts";
import { toSubscribeError } from "./errors.ts";
import type { Keys } from "./keys.ts";
import type { Line } from "./line.ts";
import { scripts } from "./scripts.ts";
import { Tenure } from "./tenure.ts";

/** What {@link Tenures} work with. */
export interface TenuresParts {
  readonly line: Line;
  readonly keys: Keys;
  readonly group: string;
  readonly topics: readonly string[];
  readonly leaseMs: number;
}

/**
 * The topics that a subscription reads alone for its group, each by a lease in Redis: who has put its token there first
 * holds it, until it releases it or has not renewed it in time. Only the holder moves the group's place.
 */
export class Tenures {
  readonly #parts: TenuresParts;
  readonly #token = randomUUID();
  readonly #held = new Map<string, Tenure>();

  constructor(parts: TenuresParts) {
    this.#parts = parts;
  }

  /** Those whose lease holds now. */
  list(): readonly Tenure[] {
    const now = performance.now();
    return [...this.#held.values()].filter(({ validUntil }) => now < validUntil);
  }

  /** True while it goes on: what was read in it may be handed over. */
  isHeld(tenure: Tenure): boolean {
    return this.#held.get(tenure.topic) === tenure && performance.now() < tenure.validUntil;
  }

  /** Ends all here, and keeps the leases: the next `hold` begins anew with what is not acknowledged. */
  dropAll(): void {
    this.#held.clear();
  }

  ack(message: ReceivedMessage): void {
    this.#held.get(message.topic)?.ack(message);
  }

  /** Takes leases that are free, and renews those that are held. @throws SagaError as `subscribe`. */
  async hold(): Promise<void> {
    await Promise.all(this.#parts.topics.map((topic) => this.#hold(topic)));
  }

  async #hold(topic: string): Promise<void> {
    const { line, keys, group, leaseMs } = this.#parts;
    const validUntil = performance.now() + leaseMs; // counted from before it was asked for
    const [lease, stream] = [keys.lease(group, topic), keys.stream(topic)];
    let answer: unknown;
    try {
      answer = await line.call("EVAL", scripts.hold, 2, lease, stream, this.#token, leaseMs, group);
    } catch (error) {
      throw toSubscribeError(error, topic);
    }
    if (answer === null) {
      this.#held.delete(topic);
      return;
    }
    const [wasHeld, place] = answer as [number, string];
    const tenure = this.#held.get(topic);
    if (tenure && wasHeld === 1) tenure.validUntil = validUntil;
    else this.#held.set(topic, new Tenure(topic, place, validUntil));
  }

  /** Tells Redis what was acknowledged; what cannot be told now is told by a later call. */
  async save(): Promise<void> {
    await Promise.all(Array.from(this.#held.values(), (tenure) => this.#save(tenure)));
  }

  async #save(tenure: Tenure): Promise<void> {
    const { line, keys, group } = this.#parts;
    const { topic } = tenure;
    const saving = tenure.toSave();
    if (!saving) return;
    const where = [keys.lease(group, topic), keys.stream(topic)];
    const { place, trims } = saving;
    try {
      const isHeld = await line.call(
        "EVAL",
        scripts.advance,
        2,
        ...where,
        this.#token,
        group,
        place,
        trims ? 1 : 0,
      );
      if (isHeld !== 1) this.#end(tenure);
    } catch {
      // In an outage; or somebody has removed the group, and `hold` makes it again.
      tenure.unsave();
    }
  }

  #end(tenure: Tenure): void {
    if (this.#held.get(tenure.topic) === tenure) this.#held.delete(tenure.topic);
  }

  /** Saves, and lets others have the topics. Where that fails, the leases run out. */
  async release(): Promise<void> {
    await this.save();
    const { line, keys, group, topics } = this.#parts;
    this.#held.clear();
    const releases = topics.map((topic) =>
      line.call("EVAL", scripts.release, 1, keys.lease(group, topic), this.#token),
    );
    await Promise.allSettled(releases);
  }
}
