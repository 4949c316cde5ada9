import { LIMITS } from "../../core/definition/policies.ts";
import { toChains } from "../../core/delivery/chains.ts";
import { isUrl, toShown } from "../../core/delivery/url-topic.ts";
import { SagaError } from "../../core/errors.ts";
import { givenOptions, PARTS, type Wanted } from "../../core/given-options.ts";
import type { BrokerHealth, BrokerMessage, MessageOutlet } from "../../ports/broker.ts";
import { post } from "./post.ts";
import type { MakeHeaders } from "./post.ts";
import { toUnavailable } from "./to-answer.ts";
import { Turns } from "./turns.ts";

/** A server that may be posted to. */
export interface HttpDestination {
  /**
   * Headers that it wants with each request, `authorization` say; or a function that makes them, for a token that expires.
   * They win over those of an event, and are never printed.
   */
  readonly headers?: Readonly<Record<string, string>> | MakeHeaders;
}

/** Options of {@link HttpOutlet}. */
export interface HttpOutletOptions {
  /**
   * What may be posted to, by its origin: `https://inventory.example.com`. An event for a URL of any other one is refused
   * (`SAGAZ_UNKNOWN_DESTINATION`): a command says where its reply goes, and whoever sends it must not choose freely.
   */
  readonly destinations: Readonly<Record<string, HttpDestination>>;
  /** Takes what goes to topics that are no URLs. Started and stopped with this one. */
  readonly broker?: MessageOutlet;
  /** A request without a whole answer after this time has failed; it may have been taken. Milliseconds, default 30,000. */
  readonly timeoutMs?: number;
  /** Requests under way at most; others wait for their turn. Default 256. */
  readonly requestsMax?: number;
  /** Bytes of an answer that are read; what it says besides is dropped. Default 16,384. */
  readonly answerBytesMax?: number;
}

type Send = (messages: readonly BrokerMessage[]) => Promise<readonly (SagaError | undefined)[]>;

const WANTED: Wanted<HttpOutletOptions> = {
  destinations: "needed",
  broker: { ...PARTS.outlet, isOptional: true },
  timeoutMs: { from: 1, to: LIMITS.attemptTimeoutMsMax },
  requestsMax: { from: 1 },
  answerBytesMax: { from: 1 },
};
const DEFAULTS = { timeoutMs: 30_000, requestsMax: 256, answerBytesMax: 16_384 };

/**
 * Sends events by HTTP: the way out for services that have no broker, or not for all of their events.
 *
 * An event whose topic is a URL is posted to it: its payload is the body, its envelope the headers, as CloudEvents are sent in
 * binary mode. 2xx: it is taken. No connection, no answer in time, 408, 425, 429 and 5xx: an outage of that URL, which is waited
 * for, as long as `Retry-After` says if it says so. Anything else is a refusal; redirects are not followed. Of the events of one
 * URL and key each waits for the one before. Everything that is no URL goes to `broker`.
 *
 * It gets its order, its patience and its place to remember from the relay: an `OutboxWorker` whose `broker` it is. A relay posts
 * to a URL 16 events at a time at most, and nothing else waits for that.
 *
 * @example
 * const outlet = new HttpOutlet({
 *   destinations: { "https://inventory.example.com": { headers: { authorization: `Bearer ${token}` } } },
 * });
 * await new OutboxWorker({ storage, broker: outlet }).start();
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export class HttpOutlet implements MessageOutlet {
  readonly name: string;
  readonly posts = true;
  readonly #broker: MessageOutlet | undefined;
  readonly #headers: ReadonlyMap<string, MakeHeaders>;
  readonly #timeoutMs: number;
  readonly #answerBytesMax: number;
  readonly #turns: Turns;
  readonly #underWay = new Set<AbortController>();
  #state: "new" | "started" | "stopped" = "new";

  constructor(options: HttpOutletOptions) {
    const given = givenOptions("HttpOutlet", options, WANTED);
    const { broker, destinations } = given;
    const { timeoutMs, requestsMax, answerBytesMax } = { ...DEFAULTS, ...given };
    this.name = broker ? `HTTP and ${broker.name}` : "HTTP";
    this.#broker = broker;
    this.#headers = new Map(Object.entries(destinations).map(toDestination));
    this.#timeoutMs = timeoutMs;
    this.#answerBytesMax = answerBytesMax;
    this.#turns = new Turns(requestsMax);
  }

  async start(): Promise<void> {
    this.#state = "started";
    await this.#broker?.start();
  }

  /** Requests under way are cut off: whether they were taken is not known, and they are sent again. */
  async stop(): Promise<void> {
    this.#state = "stopped";
    for (const request of this.#underWay) request.abort(new Error("the outlet was stopped"));
    await this.#broker?.stop();
  }

  /** Of the broker. A URL that is away is no trouble of the whole: the relay knows of it. */
  async health(): Promise<BrokerHealth> {
    if (this.#state !== "started") return { isUp: false, detail: "it is not started" };
    return this.#broker ? this.#broker.health() : { isUp: true };
  }

  async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    if (this.#state === "new") throw new SagaError("SAGAZ_NOT_STARTED", { what: "outlet" });
    if (this.#state === "stopped") throw new SagaError("SAGAZ_STOPPED", { what: "outlet" });
    const answers: (SagaError | undefined)[] = messages.map(() => undefined);
    const toUrls = messages.flatMap(({ topic }, place) => (isUrl(topic) ? [place] : []));
    const toTopics = messages.flatMap(({ topic }, place) => (isUrl(topic) ? [] : [place]));
    const at = (places: readonly number[]) => places.flatMap((place) => messages[place] ?? []);
    const send = async (places: readonly number[], by: Send) => {
      const said = places.length === 0 ? [] : await by(at(places));
      for (const [n, place] of places.entries()) answers[place] = said[n];
    };
    const chains = toChains(at(toUrls)).map((chain) => chain.flatMap((n) => toUrls[n] ?? []));
    await Promise.all([
      send(toTopics, (some) => this.#passOn(some)),
      ...chains.map((places) => send(places, (some) => this.#postAll(some))),
    ]);
    return answers;
  }

  async #passOn(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    if (this.#broker) return this.#broker.publish(messages);
    return messages.map(({ topic }) => new SagaError("SAGAZ_UNKNOWN_TOPIC", { broker: this.name, topic }));
  }

  /** One after the other, and no further than to the first that is not taken. */
  async #postAll(chain: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    const answers: (SagaError | undefined)[] = [];
    for (const message of chain) {
      const isHeldBack = answers.at(-1) !== undefined;
      answers.push(isHeldBack ? new SagaError("SAGAZ_BROKER_HELD_BACK") : await this.#post(message));
    }
    return answers;
  }

  async #post(message: BrokerMessage): Promise<SagaError | undefined> {
    const { topic } = message;
    const headers = URL.canParse(topic) ? this.#headers.get(new URL(topic).origin) : undefined;
    if (!headers) {
      const destination = toShown(topic);
      return new SagaError("SAGAZ_UNKNOWN_DESTINATION", { broker: this.name, destination });
    }
    const [timeoutMs, answerBytesMax, underWay] = [this.#timeoutMs, this.#answerBytesMax, this.#underWay];
    return this.#turns.take(async () => {
      // Whoever waited for a turn when the outlet was stopped sends nothing any more: it is another relay's by now.
      if (this.#state === "stopped") return toUnavailable(toShown(topic), "the outlet was stopped");
      return post(message, { headers, timeoutMs, answerBytesMax, underWay });
    });
  }
}

function toDestination([origin, { headers = {} }]: [string, HttpDestination]): readonly [
  string,
  MakeHeaders,
] {
  const isOrigin = isUrl(origin) && URL.canParse(origin) && new URL(origin).origin === origin;
  if (!isOrigin)
    throw invalid(
      "destinations",
      toShown(origin),
      "its names are origins, such as https://inventory.example.com",
    );
  return [origin, typeof headers === "function" ? headers : () => headers];
}

function invalid(option: string, value: string, rule: string): SagaError {
  return new SagaError("SAGAZ_INVALID_OPTION", { where: "HttpOutlet", option, value, rule });
}
