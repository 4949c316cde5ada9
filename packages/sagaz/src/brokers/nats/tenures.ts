import { randomUUID } from "node:crypto";
import type { ReceivedMessage } from "../../ports/broker.ts";
import type { NatsHeaders } from "./driver.ts";
import { isRefusal, wrongLastSequence } from "./errors.ts";
import type { JetStream } from "./jetstream.ts";
import type { Line } from "./line.ts";
import type { Subjects } from "./subjects.ts";
import { Tenure } from "./tenure.ts";

/** What {@link Tenures} work with. */
export interface TenuresParts {
  readonly line: Line;
  readonly jetStream: JetStream;
  readonly subjects: Subjects;
  readonly makeHeaders: () => NatsHeaders;
  readonly group: string;
  readonly topics: readonly string[];
  readonly leaseMs: number;
}

/** What is kept of a group and a topic. */
interface Entry {
  /** Who reads; null when nobody does. */
  readonly reader: string | null;
  /** Everything up to this message is acknowledged. */
  readonly place: number;
  /** When the stream was made in which that is. */
  readonly made?: string;
}

/** An entry, and its revision: JetStream writes a new one only over the revision that the writer knows. */
interface Seen extends Entry {
  readonly revision: number;
}

const noEntry: Seen = { reader: null, place: 0, revision: 0 };

/**
 * The topics that a subscription reads alone for its group. Who reads a topic, and how far the group has come in it, is one
 * entry in a bucket. Its reader writes it again and again; who sees that it has not changed for the time of a lease,
 * by its own clock, takes it over. Every write names the revision that it replaces, so a former reader moves nothing.
 */
export class Tenures {
  readonly #parts: TenuresParts;
  readonly #token = randomUUID();
  readonly #held = new Map<string, Tenure>();
  /** Entries of other readers, and since when they have not changed. */
  readonly #watched = new Map<string, { readonly revision: number; readonly since: number }>();

  constructor(parts: TenuresParts) {
    this.#parts = parts;
  }

  /** Those that go on. */
  list(): readonly Tenure[] {
    return [...this.#held.values()];
  }

  /**
   * Whether what was read in it may be handed over: `no` when it has ended; `not now` when it was not renewed in time, and
   * nobody has taken it over yet as far as is known here.
   */
  mayHandOver(tenure: Tenure): "yes" | "no" | "not now" {
    if (this.#held.get(tenure.topic) !== tenure) return "no";
    return performance.now() < tenure.validUntil ? "yes" : "not now";
  }

  /** Ends one here, likewise. */
  drop(tenure: Tenure): void {
    if (this.#held.get(tenure.topic) === tenure) this.#held.delete(tenure.topic);
  }

  /** Ends all here, and keeps the entries: the next `hold` begins anew with what is not acknowledged. */
  dropAll(): void {
    this.#held.clear();
  }

  ack(message: ReceivedMessage): void {
    this.#held.get(message.topic)?.acked.ack(message);
  }

  /** Takes topics that are free, and renews those that are held. @throws Error in an outage. */
  async hold(): Promise<void> {
    await Promise.all(this.#parts.topics.map((topic) => this.#hold(topic)));
  }

  async #hold(topic: string): Promise<void> {
    const tenure = this.#held.get(topic);
    if (tenure) return this.#save(tenure);
    const { jetStream, leaseMs } = this.#parts;
    const entry = await this.#read(topic);
    if (!this.#mayTake(topic, entry)) return;
    // A stream that was made anew, or lost its end, counts again from there: better twice than never.
    const { made, lastSequence } = await jetStream.look();
    const isAnother = (entry.made ?? made) !== made || entry.place > lastSequence;
    const place = isAnother ? 0 : entry.place;
    const validUntil = performance.now() + leaseMs; // counted from before it was asked for
    const revision = await this.#write(topic, { reader: this.#token, place, made }, entry.revision);
    if (revision !== undefined)
      this.#held.set(topic, new Tenure(topic, { place, made, revision, validUntil }));
  }

  #mayTake(topic: string, { reader, revision }: Seen): boolean {
    if (reader === null || reader === this.#token) return true;
    const watched = this.#watched.get(topic);
    const now = performance.now();
    if (watched?.revision === revision) return now > watched.since + this.#parts.leaseMs;
    this.#watched.set(topic, { revision, since: now });
    return false;
  }

  /** Tells JetStream what was acknowledged; what cannot be told now is told by a later call. */
  async save(): Promise<void> {
    const unsaved = [...this.#held.values()].filter(({ acked, savedPlace }) => acked.place !== savedPlace);
    await Promise.allSettled(unsaved.map((tenure) => this.#save(tenure)));
  }

  /** Writes once, and again as long as more was acknowledged meanwhile. */
  #save(tenure: Tenure): Promise<void> {
    tenure.saving ??= this.#writeOn(tenure).finally(() => (tenure.saving = undefined));
    return tenure.saving;
  }

  async #writeOn(tenure: Tenure): Promise<void> {
    const { topic, acked } = tenure;
    do {
      const { place } = acked;
      const validUntil = performance.now() + this.#parts.leaseMs;
      const entry = { reader: this.#token, place, made: tenure.made };
      const revision = await this.#write(topic, entry, tenure.revision);
      if (revision === undefined) {
        this.drop(tenure);
        return;
      }
      Object.assign(tenure, { revision, validUntil, savedPlace: place });
    } while (acked.place !== tenure.savedPlace);
  }

  /** Saves, and lets others have the topics. Where that fails, the leases run out. */
  async release(): Promise<void> {
    const tenures = [...this.#held.values()];
    await Promise.allSettled(
      tenures.map(async (tenure) => {
        await tenure.saving;
        const entry = { reader: null, place: tenure.acked.place, made: tenure.made };
        await this.#write(tenure.topic, entry, tenure.revision);
      }),
    );
    this.#held.clear();
  }

  async #read(topic: string): Promise<Seen> {
    const { jetStream, subjects, group } = this.#parts;
    const last = await jetStream.lastIn(subjects.place(group, topic));
    return last ? { ...(JSON.parse(last.text) as Entry), revision: last.sequence } : noEntry;
  }

  /** The new revision; undefined when somebody else has written meanwhile. */
  async #write(topic: string, entry: Entry, revision: number): Promise<number | undefined> {
    const { line, subjects, group, makeHeaders } = this.#parts;
    const headers = makeHeaders();
    headers.append("Nats-Expected-Last-Subject-Sequence", String(revision));
    try {
      const { seq } = await line.ask(subjects.place(group, topic), JSON.stringify(entry), headers);
      return seq as number;
    } catch (error) {
      if (isRefusal(error, wrongLastSequence)) return undefined;
      throw error;
    }
  }
}
