import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { NatsConnection, NatsHeaders, NatsMessage, WrittenHeaders } from "./driver.ts";
import { nobodyAnswers, RefusedByJetStream, toUnavailable } from "./errors.ts";

const reopenMsMin = 20;
const reopenMsMax = 1_000;
const nobody = new RefusedByJetStream(
  nobodyAnswers,
  "no stream answers; JetStream must be on (nats-server -js)",
);

/** What a {@link Line} works with. */
export interface LineParts {
  /** Opens a connection that does not open itself again. */
  readonly connect: () => Promise<NatsConnection>;
  readonly inboxPrefix: string;
  readonly answerTimeoutMs: number;
  /** Where the connection was lost. */
  readonly onLost: () => void;
}

/** What JetStream answers, as JSON. */
export type Answer = Readonly<Record<string, unknown>>;

/** What is sent. */
export interface Outgoing {
  readonly subject: string;
  readonly payload: Uint8Array | string;
  readonly headers: NatsHeaders | WrittenHeaders | undefined;
}

/** Called with what went wrong, or with the bytes of the answer. */
type OnAnswer = (error: unknown, answer?: Buffer) => void;

/** Who waits for an answer. */
interface Waiting {
  readonly onAnswer: OnAnswer;
  readonly askedAt: number;
}

/**
 * One connection, which is opened again whenever it is lost. A question either gets its answer or fails: nothing is sent
 * again on another connection, since what was sent may have been done.
 *
 * All answers come through one subscription, and are told apart by a number in the subject that they are sent to: any
 * number of questions can be under way, at hardly any cost.
 */
export class Line {
  readonly #parts: LineParts;
  readonly #inbox: string;
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;
  #connection: NatsConnection | undefined;
  #trouble: unknown = new Error("the connection was lost");
  #isClosed = false;
  #watching: NodeJS.Timeout | undefined;

  constructor(parts: LineParts) {
    this.#parts = parts;
    this.#inbox = toInbox(parts.inboxPrefix);
  }

  /** @throws SagaError `SAGAZ_BROKER_UNAVAILABLE`. */
  async open(): Promise<void> {
    await this.#connect();
    const { answerTimeoutMs } = this.#parts;
    this.#watching = setInterval(
      () => this.#giveUpOn(performance.now() - answerTimeoutMs),
      answerTimeoutMs / 4,
    );
  }

  async #connect(): Promise<void> {
    const connection = await this.#parts.connect().catch((error: unknown) => {
      throw toUnavailable(error);
    });
    if (this.#isClosed) return connection.close();
    connection.subscribe(`${this.#inbox}.*`, { callback: (_, message) => this.#answered(message) });
    this.#connection = connection;
    void connection.closed().then(() => this.#lost());
  }

  #lost(): void {
    this.#connection = undefined;
    this.#giveUpOn(Infinity);
    if (this.#isClosed) return;
    this.#parts.onLost();
    void this.#reopen();
  }

  async #reopen(): Promise<void> {
    for (let delayMs = reopenMsMin; !this.#isClosed; delayMs = Math.min(2 * delayMs, reopenMsMax)) {
      await pause(delayMs);
      try {
        if (!this.#isClosed) await this.#connect();
        return;
      } catch (error) {
        this.#trouble = error;
      }
    }
  }

  /** Sends something to which JetStream answers. @throws RefusedByJetStream, or Error in an outage. */
  ask(subject: string, payload: string, headers?: NatsHeaders): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.tell({ subject, payload, headers }, (error, answer) => {
        if (error === undefined) resolve(JSON.parse(String(answer)) as Answer);
        else reject(error);
      });
    });
  }

  /** The same where nothing is wanted but to know that it went well: without a promise, for there may be many. */
  tell({ subject, payload, headers }: Outgoing, onAnswer: OnAnswer): void {
    const number = (this.#asked += 1);
    try {
      this.send(subject, payload, { reply: `${this.#inbox}.${number}`, headers });
      this.#waiting.set(number, { onAnswer, askedAt: performance.now() });
    } catch (error) {
      onAnswer(error);
    }
  }

  /** Sends something to which nobody answers here. @throws Error in an outage. */
  send(
    subject: string,
    payload: Uint8Array | string,
    options: { reply: string; headers?: Outgoing["headers"] },
  ): void {
    if (!this.#connection) throw this.#trouble;
    this.#connection.publish(subject, payload, options);
  }

  /** Listens to a subject of its own, until the end that it answers or the loss of the connection. */
  listen(onMessage: (message: NatsMessage) => void): { readonly inbox: string; readonly end: () => void } {
    if (!this.#connection) throw this.#trouble;
    const inbox = toInbox(this.#parts.inboxPrefix);
    const subscription = this.#connection.subscribe(inbox, { callback: (_, message) => onMessage(message) });
    return { inbox, end: () => subscription.unsubscribe() };
  }

  #answered(message: NatsMessage): void {
    const number = Number(message.subject.slice(this.#inbox.length + 1));
    const waiting = this.#waiting.get(number);
    if (!waiting) return;
    this.#waiting.delete(number);
    const { buffer, byteOffset, byteLength } = message.data;
    const answer = Buffer.from(buffer, byteOffset, byteLength);
    const error = message.headers?.code === nobodyAnswers ? nobody : toRefusal(answer);
    waiting.onAnswer(error, answer);
  }

  /** Those who have waited since then wait no longer. */
  #giveUpOn(askedBefore: number): void {
    for (const [number, { onAnswer, askedAt }] of this.#waiting) {
      if (askedAt > askedBefore) return;
      this.#waiting.delete(number);
      onAnswer(new Error(this.#connection ? "no answer came in time" : "the connection was lost"));
    }
  }

  /** Closes for good. Safe twice. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#watching);
    await this.#connection?.close();
  }
}

/** Most answers say that all went well: those are not read. */
function toRefusal(answer: Buffer): RefusedByJetStream | undefined {
  if (!answer.includes('"error"')) return undefined;
  const { error } = JSON.parse(String(answer)) as { error?: Refusal };
  return error && new RefusedByJetStream(error.err_code ?? error.code, error.description ?? "");
}

interface Refusal {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

function toInbox(prefix: string): string {
  return `${prefix}.${randomUUID()}`;
}
