import type { IncomingMessage, ServerResponse } from "node:http";
import { LIMITS } from "../../core/definition/policies.ts";
import { SagaError } from "../../core/errors.ts";
import { givenOptions, type Wanted } from "../../core/given-options.ts";
import type { BrokerHealth, MessageInlet, SubscribeOptions, Subscription } from "../../ports/broker.ts";
import { fromHttpHeaders } from "./envelope-headers.ts";
import type { HttpHeaders } from "./envelope-headers.ts";
import { InletSubscription } from "./inlet-subscription.ts";

/** Options of {@link HttpInlet}. */
export interface HttpInletOptions {
  /**
   * A request is answered after this time at the latest: with 503 when its message is not done by then, which goes on.
   * Shorter than the sender waits. Milliseconds, default 25,000.
   */
  readonly answerMs?: number;
  /** Bytes of a body at most; a larger one is answered with 413. Default 2,097,152. */
  readonly bodyBytesMax?: number;
}

/** A request as a framework hands it over. */
export interface HttpRequest {
  readonly headers: HttpHeaders;
  /** As it came, whole: bytes or a text; or the JSON value that the framework has made of it. */
  readonly body: unknown;
}

/** What is to be answered. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const WANTED: Wanted<HttpInletOptions> = {
  answerMs: { from: 1, to: LIMITS.attemptTimeoutMsMax },
  bodyBytesMax: { from: 1 },
};
const DEFAULTS = { answerMs: 25_000, bodyBytesMax: 2_097_152 };
/** When a sender may ask again, in seconds. */
const RETRY_AFTER = { "retry-after": "1" };

/**
 * Receives by HTTP what a broker would else bring: the way in for a participant, or any inbox, that has no broker.
 *
 * A request is answered with 202 once its message is done for good: processed, found to be a repetition, or among the dead
 * letters. Until then its sender keeps it, so a crash loses nothing; what does not work yet is answered with 503, and comes
 * again. Who may send is for you to check, before you hand a request in.
 *
 * @example
 * const inlet = new HttpInlet();
 * const inventory = new Participant({ storage, broker: inlet, name: "inventory", commands });
 * await inventory.start();
 * createServer(inlet.listener("inventory-commands")).listen(8080);
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export class HttpInlet implements MessageInlet {
  readonly name = "HTTP";
  readonly #answerMs: number;
  readonly #bodyBytesMax: number;
  readonly #subscriptions = new Set<InletSubscription>();
  #state: "new" | "started" | "stopped" = "new";

  constructor(options: HttpInletOptions = {}) {
    const { answerMs, bodyBytesMax } = { ...DEFAULTS, ...givenOptions("HttpInlet", options, WANTED) };
    this.#answerMs = answerMs;
    this.#bodyBytesMax = bodyBytesMax;
  }

  async start(): Promise<void> {
    this.#state = "started";
  }

  async stop(): Promise<void> {
    this.#state = "stopped";
    for (const subscription of this.#subscriptions) await subscription.stop();
  }

  async health(): Promise<BrokerHealth> {
    return this.#state === "started" ? { isUp: true } : { isUp: false, detail: "it is not started" };
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    if (this.#state === "new") throw new SagaError("SAGAZ_NOT_STARTED", { what: "inlet" });
    if (this.#state === "stopped") throw new SagaError("SAGAZ_STOPPED", { what: "inlet" });
    const subscription = new InletSubscription(options, () => void this.#subscriptions.delete(subscription));
    this.#subscriptions.add(subscription);
    return subscription;
  }

  /** Takes a request for a topic, from any framework, and answers what to answer. Never rejects. */
  async receive(topic: string, { headers, body }: HttpRequest): Promise<HttpAnswer> {
    const envelope = fromHttpHeaders(headers);
    if (!envelope["ce_id"] || !envelope["ce_type"])
      return toHttpAnswer(400, "the headers ce-id and ce-type are needed");
    if (!isWhole(body))
      return toHttpAnswer(503, "the body was not handed in whole: bytes, a text or a JSON value");
    const payload = toBytes(body);
    if (!payload) return toHttpAnswer(400, "the body is no JSON");
    if (payload.length > this.#bodyBytesMax) return this.#tooLarge();
    const receivers = this.#receiversOf(topic);
    if (receivers.length === 0) return toHttpAnswer(503, "nobody takes it just now");
    const id = envelope["ce_id"];
    const message = { topic, key: envelope["ce_subject"] ?? id, headers: envelope, payload };
    const offers = receivers.map((one) => one.offer(`${id} ${topic}`, { ...message }));
    const isDone = await this.#inTime(Promise.all(offers).then((acks) => acks.every(Boolean)));
    return isDone ? toHttpAnswer(202) : toHttpAnswer(503, "it is not done yet");
  }

  /** Of each group one. */
  #receiversOf(topic: string): readonly InletSubscription[] {
    const all = [...this.#subscriptions].filter((one) => one.takes(topic));
    return [...new Map(all.map((one) => [one.group, one])).values()];
  }

  #tooLarge(): HttpAnswer {
    return toHttpAnswer(413, `bodyBytesMax is ${this.#bodyBytesMax}`);
  }

  /** A listener for `node:http`, and for what takes such listeners: `createServer(inlet.listener("inventory-commands"))`. */
  listener(topic: string): (request: IncomingMessage, response: ServerResponse) => void {
    return (request, response) => {
      this.#answer(topic, request).then(
        ({ status, headers, body }) => response.writeHead(status, headers).end(body),
        () => response.destroy(), // it was cut off: the sender sends it again
      );
    };
  }

  async #answer(topic: string, request: IncomingMessage): Promise<HttpAnswer> {
    if (request.method !== "POST") return { ...toHttpAnswer(405, "POST it"), headers: { allow: "POST" } };
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    // Who sends too much is still to hear of it: the connection stays.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes <= this.#bodyBytesMax) chunks.push(chunk);
      else {
        request.resume();
        return this.#tooLarge();
      }
    }
    return this.receive(topic, { headers: request.headers, body: Buffer.concat(chunks) });
  }

  async #inTime(done: Promise<boolean>): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), this.#answerMs);
    });
    return Promise.race([done, late]).finally(() => clearTimeout(timer));
  }
}

/**
 * What was not read at all (no parser of the framework's took it), or is a stream, would pass for an empty event, and be
 * lost. That is no fault of who sends it: he keeps it until this is mended.
 */
function isWhole(body: unknown): boolean {
  if (body instanceof Uint8Array || body instanceof ArrayBuffer) return true;
  if (body === undefined || body instanceof Blob) return false;
  return !(isObject(body) && (Symbol.asyncIterator in body || "getReader" in body));
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** Undefined for what a framework has made that is no JSON: a BigInt, a cycle. */
function toBytes(body: unknown): Uint8Array | undefined {
  if (body instanceof Uint8Array) return body;
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  try {
    return new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body));
  } catch {
    return undefined;
  }
}

function toHttpAnswer(status: number, detail?: string): HttpAnswer {
  if (detail === undefined) return { status, headers: {}, body: "" };
  const type = { "content-type": "application/json" };
  const headers = status === 503 ? { ...type, ...RETRY_AFTER } : type;
  return { status, headers, body: JSON.stringify({ status, detail }) };
}
