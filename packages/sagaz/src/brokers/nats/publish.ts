import { toChains } from "../../core/delivery/chains.ts";
import { SagaError } from "../../core/errors.ts";
import { need } from "../../core/must.ts";
import type { BrokerMessage } from "../../ports/broker.ts";
import { isRefusal, nobodyAnswers, toPublishError, toUnavailable, toUnknownTopic } from "./errors.ts";
import type { InFlight } from "./in-flight.ts";
import type { JetStream } from "./jetstream.ts";
import type { Line } from "./line.ts";
import { writeHeaders } from "./message.ts";
import { covers, type Subjects } from "./subjects.ts";

/** What publishing works with. */
export interface PublishParts {
  readonly line: Line;
  readonly jetStream: JetStream;
  readonly subjects: Subjects;
  readonly inFlight: InFlight;
}

/**
 * Publishes. JetStream may accept a message after one that it did not accept (a stream that was full and is not any more,
 * a leader that changed in between), so of each topic and key one is under way at a time, and those of all keys side by side.
 */
export function publish(messages: readonly BrokerMessage[], parts: PublishParts): Promise<Answers> {
  return new Call(messages, parts).done;
}

type Answers = (SagaError | undefined)[];

/** One call; without promises for single messages, which would cost as much again as sending them. */
class Call {
  /** Resolves when every message has its answer. */
  readonly done: Promise<Answers>;
  readonly #messages: readonly BrokerMessage[];
  readonly #parts: PublishParts;
  readonly #answers: Answers;
  readonly #subjects = new Map<string, string>();
  readonly #looked = new Map<string, Promise<SagaError>>();
  #resolve: (answers: Answers) => void = () => {};
  #unanswered: number;

  constructor(messages: readonly BrokerMessage[], parts: PublishParts) {
    this.#messages = messages;
    this.#parts = parts;
    this.#answers = messages.map(() => undefined);
    this.#unanswered = messages.length;
    this.done = new Promise((resolve) => (this.#resolve = resolve));
    if (messages.length === 0) this.#resolve(this.#answers);
    for (const chain of toChains(messages)) this.#enter(chain, 0);
  }

  /** Sends a message of a chain as soon as there is room for it. */
  #enter(chain: readonly number[], at: number): void {
    const message = this.#messageAt(chain, at);
    const waiting = this.#parts.inFlight.enter(message.payload.length);
    if (waiting) void waiting.then(() => this.#send(chain, at));
    else this.#send(chain, at);
  }

  #send(chain: readonly number[], at: number): void {
    const message = this.#messageAt(chain, at);
    const { line, inFlight } = this.#parts;
    const onAnswer = (error: unknown) => {
      inFlight.leave(message.payload.length);
      if (error === undefined) this.#accepted(chain, at);
      else void this.#failed(chain, at, error);
    };
    let written: Uint8Array;
    try {
      written = writeHeaders(message);
    } catch (error) {
      onAnswer(error);
      return;
    }
    const headers = { encode: () => written };
    line.tell({ subject: this.#toSubject(message.topic), payload: message.payload, headers }, onAnswer);
  }

  #accepted(chain: readonly number[], at: number): void {
    this.#unanswered -= 1;
    if (at + 1 < chain.length) this.#enter(chain, at + 1);
    else if (this.#unanswered === 0) this.#resolve(this.#answers);
  }

  async #failed(chain: readonly number[], at: number, error: unknown): Promise<void> {
    const { topic } = this.#messageAt(chain, at);
    const failure = isRefusal(error, nobodyAnswers)
      ? await this.#whyNobody(topic)
      : toPublishError(error, topic);
    for (const [n, place] of chain.slice(at).entries())
      this.#answers[place] = n === 0 ? failure : new SagaError("SAGAZ_BROKER_HELD_BACK");
    this.#unanswered -= chain.length - at;
    if (this.#unanswered === 0) this.#resolve(this.#answers);
  }

  /** No stream takes the topic, or the one that does is not there for the moment: it is looked up once a topic. */
  #whyNobody(topic: string): Promise<SagaError> {
    const known = this.#looked.get(topic) ?? this.#look(topic);
    this.#looked.set(topic, known);
    return known;
  }

  async #look(topic: string): Promise<SagaError> {
    try {
      const taken = await this.#parts.jetStream.takenSubjects();
      const isTaken = taken.some((one) => covers(one, this.#toSubject(topic)));
      return isTaken ? toUnavailable("the stream does not answer yet") : toUnknownTopic(topic);
    } catch (error) {
      return toUnavailable(error);
    }
  }

  #toSubject(topic: string): string {
    const known = this.#subjects.get(topic) ?? this.#parts.subjects.message(topic);
    this.#subjects.set(topic, known);
    return known;
  }

  #messageAt(chain: readonly number[], at: number): BrokerMessage {
    return need(this.#messages[chain[at] ?? -1], "a place in a chain has its message");
  }
}
