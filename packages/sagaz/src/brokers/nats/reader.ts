import type { NatsMessage } from "./driver.ts";
import type { JetStream } from "./jetstream.ts";
import type { Line } from "./line.ts";

/** For so long a consumer is remembered that nobody asks, beside the time that an answer may take. */
const forgottenMs = 60_000;

/** What a {@link Reader} works with. */
export interface ReaderParts {
  readonly line: Line;
  readonly jetStream: JetStream;
  readonly subject: string;
  /** The number of the first message that is wanted, or of the next one that there is. */
  readonly from: number;
  /** When the stream was made in which that is. */
  readonly made: string;
  /** For so long a request stays with the server when there are no messages. */
  readonly expiresMs: number;
  readonly answerTimeoutMs: number;
  readonly onMessage: (sequence: number, message: NatsMessage) => void;
  /** It can be asked for more. */
  readonly onReady: () => void;
  /** The stream was made anew, and its numbers mean other messages: this reader is of no use any more. */
  readonly onOtherStream: () => void;
}

/** A consumer at the server, as long as it is of use. */
interface Consumer {
  readonly name: string;
  readonly inbox: string;
  readonly end: () => void;
  /** So many messages has it sent. */
  sent: number;
}

/**
 * Reads messages of one topic in order, from a place on, as many as it is asked for.
 *
 * The consumer at the server acknowledges nothing and may vanish at any time: with a restart, or when it was not asked for
 * long. Another one then goes on where this one has come to. One that leaves out a message has lost it on the way.
 */
export class Reader {
  readonly #parts: ReaderParts;
  #next: number;
  #consumer: Consumer | undefined;
  /** How many messages of the last request are still to come. */
  #wanted = 0;
  #isEnded = false;
  #overdue: NodeJS.Timeout | undefined;

  constructor(parts: ReaderParts) {
    this.#parts = parts;
    this.#next = parts.from;
  }

  /** How many messages may still come. */
  get wanted(): number {
    return this.#wanted;
  }

  /** Asks for so many messages, unless some are still to come. */
  ask(count: number): void {
    if (this.#wanted > 0 || this.#isEnded) return;
    this.#wanted = count;
    void this.#ask(count).catch(() => this.#restart());
  }

  async #ask(count: number): Promise<void> {
    const { jetStream, expiresMs, answerTimeoutMs } = this.#parts;
    const consumer = (this.#consumer ??= await this.#begin());
    if (this.#isEnded) return this.end();
    this.#overdue = setTimeout(() => this.#restart(), expiresMs + answerTimeoutMs);
    jetStream.pull(consumer.name, consumer.inbox, { count, expiresMs });
  }

  async #begin(): Promise<Consumer> {
    const { line, jetStream, subject, answerTimeoutMs, made, onOtherStream } = this.#parts;
    if ((await jetStream.look()).made !== made) {
      onOtherStream();
      throw new Error("the stream is another one");
    }
    const name = await jetStream.createConsumer(subject, this.#next, forgottenMs + answerTimeoutMs);
    const consumer: Consumer = { name, ...line.listen((message) => this.#come(consumer, message)), sent: 0 };
    return consumer;
  }

  #come(consumer: Consumer, message: NatsMessage): void {
    if (consumer !== this.#consumer) return;
    const numbers = toNumbers(message);
    if (!numbers) return this.#answered(message.headers?.code ?? 0);
    consumer.sent += 1;
    if (numbers.sent !== consumer.sent) return this.#restart();
    this.#next = numbers.sequence + 1;
    this.#wanted -= 1;
    this.#parts.onMessage(numbers.sequence, message);
    if (this.#wanted === 0) this.#ready();
  }

  /** There were no messages in time, or fewer; all else says that the consumer is of no use any more. */
  #answered(code: number): void {
    if (code === 100) return;
    if (code !== 404 && code !== 408) return this.#restart();
    this.#wanted = 0;
    this.#ready();
  }

  #ready(): void {
    clearTimeout(this.#overdue);
    this.#parts.onReady();
  }

  /** The next request makes a new consumer; it is made when the subscription is tended to, not at once. */
  #restart(): void {
    clearTimeout(this.#overdue);
    this.#consumer?.end();
    this.#consumer = undefined;
    this.#wanted = 0;
  }

  /** Nothing more comes. */
  end(): void {
    const name = this.#consumer?.name;
    this.#isEnded = true;
    this.#restart();
    // It would be forgotten, but a little later.
    if (name !== undefined) void this.#parts.jetStream.deleteConsumer(name).catch(() => {});
  }
}

/**
 * Which message of the stream it is, and which of the consumer. JetStream says so where an acknowledgement would go:
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<sent>.<time>.<pending>`, with domain and account before the stream
 * in newer servers.
 */
function toNumbers({
  reply = "",
}: NatsMessage): { readonly sequence: number; readonly sent: number } | undefined {
  const tokens = reply.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK") return undefined;
  const first = tokens.length === 9 ? 5 : 7;
  return { sequence: Number(tokens[first]), sent: Number(tokens[first + 1]) };
}
