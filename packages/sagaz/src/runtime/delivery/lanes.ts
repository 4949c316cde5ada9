import { toChains } from "../../core/delivery/chains.ts";
import { isUrl, toShown } from "../../core/delivery/url-topic.ts";
import { SagaError } from "../../core/errors.ts";
import { need } from "../../core/must.ts";
import type { MessageOutlet } from "../../ports/broker.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import type { PendingEvent } from "../../ports/outbox.ts";
import { DELAY_MS } from "./back-off.ts";
import { publishEvents } from "./publish-events.ts";
import { judgeBatch } from "./verdict.ts";
import type { BatchVerdict, RefusalPolicy } from "./verdict.ts";

/** Events that a lane sends before it is noted that they were: what a crash sends twice, of each lane. */
const LANE_BATCH_MAX = 10;
/** The longest wait that a URL may ask for, in milliseconds: afterwards somebody may have repaired it. */
const RETRY_AFTER_MS_MAX = 3_600_000;
/** A message that gets 500 for so long while its URL takes others is not met by an outage, in milliseconds. */
const STUMBLES_MS_MAX = 3_600_000;
/** "Internal Server Error": whoever answers that has tried. Others of 5xx come from what stands before it. */
const STUMBLED = 500;

/** What lanes are made of. */
export interface LanesParts {
  readonly broker: MessageOutlet;
  readonly policy: RefusalPolicy;
  readonly counts: { outages: number };
  readonly clock: Pick<Clock, "monotonic">;
  readonly log: Log;
}

/** A message at which its URL stumbles. Times are of the monotonic clock. */
interface Stumble {
  readonly id: number;
  readonly metAt: number;
  /** Since then it is known that others are taken meanwhile. */
  aloneFrom: number | undefined;
  isPoison: boolean;
}

/** A URL that takes nothing of some lanes. */
interface Away {
  readonly lanes: Set<string>;
  /** What it has said last. */
  outage: SagaError;
  /** When it took something all the same. */
  takenAt: number;
}

/** Events of one lane, in order: what is sent to a URL beside everything else. */
export interface LaneBatch {
  readonly key: string;
  readonly events: readonly PendingEvent[];
  /** What the lane sends after that, if all goes well. */
  readonly rest: readonly PendingEvent[];
}

/** What a lane's batch came to. */
export interface LaneVerdict extends BatchVerdict {
  /** The lane stands still for so long, in milliseconds. */
  readonly waitMs: number;
}

/** What a lane sends of these events, which are all of it. */
export function toLaneBatch(all: readonly PendingEvent[]): LaneBatch {
  return { key: firstOf(all).key, events: all.slice(0, LANE_BATCH_MAX), rest: all.slice(LANE_BATCH_MAX) };
}

/** The first of a lane's events: there is no lane without one. */
export function firstOf(events: readonly PendingEvent[]): PendingEvent {
  return need(events[0], "a lane has an event");
}

/** Sorts events into lanes, which are the keys of those whose topic is a URL, and all others. */
export function toLanes(events: readonly PendingEvent[]): {
  readonly lanes: readonly LaneBatch[];
  readonly others: readonly PendingEvent[];
} {
  const posted = events.filter(({ topic }) => isUrl(topic));
  if (posted.length === 0) return { lanes: [], others: events };
  const lanes = toChains(posted).map((places) =>
    toLaneBatch(places.map((place) => need(posted[place], "a chain names places of its messages"))),
  );
  return { lanes, others: events.filter(({ topic }) => !isUrl(topic)) };
}

/**
 * Sends to URLs, each lane by itself: one that is slow, or away, holds up nothing else.
 *
 * An outage stops a lane, not its URL: what makes one lane fail may be a single message that the other side stumbles over. Such
 * a one is refused in the end, when the URL has taken others both before and after an hour of that: during an outage it takes none.
 */
export class Lanes {
  readonly #parts: LanesParts;
  /** Lanes that stand still, with the delay that comes next. */
  readonly #delays = new Map<string, number>();
  /** By lane. */
  readonly #stumbles = new Map<string, Stumble>();
  readonly #away = new Map<string, Away>();

  constructor(parts: LanesParts) {
    this.#parts = parts;
  }

  /** What is away, for people; undefined while all is well. */
  get trouble(): string | undefined {
    if (this.#away.size === 0) return undefined;
    return [...this.#away.values()].map(({ outage }) => outage.message).join(" ");
  }

  /** The lanes may be somebody else's from now on. */
  forget(): void {
    this.#delays.clear();
    this.#stumbles.clear();
    this.#away.clear();
  }

  /** Sends a lane's events; never rejects. */
  async send({ key, events }: LaneBatch): Promise<LaneVerdict> {
    const { broker, policy } = this.#parts;
    const answers = broker.posts
      ? await publishEvents(broker, events)
      : events.map((one) => noPost(broker, one));
    const url = toShown(firstOf(events).topic);
    const verdict = judgeBatch(events, this.#refusePoison(key, { url, events, answers }), policy);
    if (verdict.sent.length > 0) this.#took(key, url);
    if (verdict.outage) return { ...verdict, waitMs: this.#met(key, { url, outage: verdict.outage }) };
    if (verdict.failed.length === 0) this.#stumbles.delete(key);
    this.#over(key, url);
    return { ...verdict, waitMs: verdict.failed[0]?.delayMs ?? 0 };
  }

  /** The answers, with a refusal in the place of an outage that is none. */
  #refusePoison(key: string, { url, events, answers }: Answered): readonly (SagaError | undefined)[] {
    const place = answers.findIndex((answer) => answer !== undefined);
    const [event, answer] = [events[place], answers[place]];
    if (!event || answer?.details["status"] !== STUMBLED) return answers;
    if (!this.#isPoison(this.#stumbleAt(key, event.id), url)) return answers;
    const message = `${answer.message} It takes others meanwhile.`;
    const refusal = new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: "HTTP", topic: url, message });
    return answers.map((one, n) => (n === place ? refusal : one));
  }

  #isPoison(stumble: Stumble, url: string): boolean {
    const takenAt = this.#away.get(url)?.takenAt ?? Number.NEGATIVE_INFINITY;
    const { metAt, aloneFrom = Number.POSITIVE_INFINITY } = stumble;
    if (takenAt > aloneFrom + STUMBLES_MS_MAX) stumble.isPoison = true;
    if (takenAt > metAt) stumble.aloneFrom ??= this.#parts.clock.monotonic();
    return stumble.isPoison;
  }

  #stumbleAt(key: string, id: number): Stumble {
    const known = this.#stumbles.get(key);
    if (known?.id === id) return known;
    const metAt = this.#parts.clock.monotonic();
    const stumble: Stumble = { id, metAt, aloneFrom: undefined, isPoison: false };
    this.#stumbles.set(key, stumble);
    return stumble;
  }

  #took(key: string, url: string): void {
    this.#delays.delete(key);
    const away = this.#away.get(url);
    if (away) away.takenAt = this.#parts.clock.monotonic();
  }

  #met(key: string, { url, outage }: { readonly url: string; readonly outage: SagaError }): number {
    const { counts, log, policy } = this.#parts;
    counts.outages += 1;
    const away: Away = this.#away.get(url) ?? { lanes: new Set(), outage, takenAt: Number.NEGATIVE_INFINITY };
    if (away.lanes.size === 0) log.warn("sagaz: a URL takes no events; they wait", { error: outage.message });
    away.lanes.add(key);
    away.outage = outage;
    this.#away.set(url, away);
    const delayMs = this.#delays.get(key) ?? DELAY_MS.first;
    this.#delays.set(key, Math.min(delayMs * 2, DELAY_MS.most));
    const { retryAfterMs } = outage.details;
    const asked = typeof retryAfterMs === "number" ? Math.min(retryAfterMs, RETRY_AFTER_MS_MAX) : 0;
    return Math.max(asked, Math.round(delayMs * (0.5 + policy.luck() / 2)));
  }

  #over(key: string, url: string): void {
    this.#delays.delete(key);
    const away = this.#away.get(url);
    if (!away?.lanes.delete(key) || away.lanes.size > 0) return;
    this.#away.delete(url);
    this.#parts.log.info("sagaz: a URL takes events again", { url });
  }
}

/** What was said to a lane's batch. */
interface Answered {
  readonly url: string;
  readonly events: readonly PendingEvent[];
  readonly answers: readonly (SagaError | undefined)[];
}

function noPost({ name: broker }: MessageOutlet, { topic }: PendingEvent): SagaError {
  return new SagaError("SAGAZ_UNKNOWN_DESTINATION", { broker, destination: toShown(topic) });
}
