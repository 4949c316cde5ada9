import { SagaError } from "../../core/errors.ts";
import type { ReceivedMessage, SubscribeOptions, Subscription } from "../../ports/broker.ts";
import type { NatsHeaders, NatsMessage } from "./driver.ts";
import { toUnavailable } from "./errors.ts";
import type { JetStream } from "./jetstream.ts";
import type { Line } from "./line.ts";
import { toReceived } from "./message.ts";
import { Reader } from "./reader.ts";
import type { Subjects } from "./subjects.ts";
import type { Tenure } from "./tenure.ts";
import { Tenures } from "./tenures.ts";

const messagesPerRequestMax = 500;
/** Leases are renewed, and asked for, so many times in the time that one lasts. */
const tendsPerLease = 10;

/** What a {@link NatsSubscription} works with. */
export interface SubscriptionParts {
  readonly line: Line;
  readonly jetStream: JetStream;
  readonly subjects: Subjects;
  readonly makeHeaders: () => NatsHeaders;
  readonly leaseMs: number;
  readonly answerTimeoutMs: number;
  readonly options: SubscribeOptions;
}

/** A message that has come, and is to be handed over. */
interface Arrived {
  readonly tenure: Tenure;
  readonly message: ReceivedMessage;
}

/** A receiver of a group: it reads the topics whose lease it holds, and stands by for the others. */
export class NatsSubscription implements Subscription {
  readonly #parts: SubscriptionParts;
  readonly #tenures: Tenures;
  readonly #readers = new Map<Tenure, Reader>();
  readonly #tendEveryMs: number;
  #arrived: Arrived[] = [];
  #tending: NodeJS.Timeout | undefined;
  #turn: NodeJS.Immediate | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: SubscriptionParts) {
    this.#parts = parts;
    this.#tendEveryMs = parts.leaseMs / tendsPerLease;
    this.#tenures = new Tenures({ ...parts, ...parts.options });
  }

  /** @throws SagaError as `subscribe`. */
  async start(): Promise<void> {
    try {
      await this.#tenures.hold();
    } catch (error) {
      if (!this.#stopping) {
        await this.stop();
        throw toUnavailable(error);
      }
    }
    if (this.#stopping) throw new SagaError("SAGAZ_STOPPED", { what: "broker" });
    this.#tendLater();
    this.#takeTurn();
  }

  ack(messages: readonly ReceivedMessage[]): void {
    for (const message of messages) this.#tenures.ack(message);
    this.#takeTurn();
  }

  /** What was handed over comes again, so that all of it is handed over on a connection that works. */
  restart(): void {
    this.#tenures.dropAll();
    this.#endReaders();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#tending);
    clearImmediate(this.#turn);
    await this.#tenures.release();
    this.#endReaders();
  }

  #tendLater(): void {
    if (this.#stopping) return;
    this.#tending = setTimeout(() => void this.#tend(), this.#tendEveryMs);
  }

  async #tend(): Promise<void> {
    // In an outage it is done again, and again.
    await this.#tenures.hold().catch(() => {});
    this.#takeTurn();
    this.#tendLater();
  }

  /** Once for all that happens in a turn of the event loop: hands over, saves what was acknowledged, asks for more. */
  #takeTurn(): void {
    if (this.#stopping) return;
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined;
      this.#handOver();
      void this.#tenures.save();
      this.#askForMore();
    });
  }

  #handOver(): void {
    const arrived = this.#arrived.map((one) => ({ ...one, may: this.#tenures.mayHandOver(one.tenure) }));
    this.#arrived = arrived.filter(({ may }) => may === "not now");
    const messages = arrived.filter(({ may }) => may === "yes").map(({ message }) => message);
    if (messages.length === 0) return;
    try {
      this.#parts.options.handle(messages);
    } catch {
      // As the port says: the messages stay unacknowledged.
    }
  }

  /** Every topic in its turn, where there is not room for a message of each. */
  #askForMore(): void {
    this.#matchReaders();
    const { unackedMax } = this.#parts.options;
    const share = Math.max(1, Math.floor(unackedMax / this.#readers.size));
    let room = unackedMax;
    for (const [{ acked }, { wanted }] of this.#readers) room -= acked.unacked + wanted;
    const asked = new Map<Tenure, Reader>();
    for (const [tenure, reader] of this.#readers) {
      if (room <= 0) break;
      if (reader.wanted > 0) continue;
      const count = Math.min(room, share, messagesPerRequestMax);
      room -= count;
      reader.ask(count);
      asked.set(tenure, reader);
    }
    // The next time they are the last ones to be asked.
    for (const [tenure, reader] of asked) {
      this.#readers.delete(tenure);
      this.#readers.set(tenure, reader);
    }
  }

  /** A reader for each tenure that goes on, and for no other. */
  #matchReaders(): void {
    for (const [tenure, reader] of this.#readers) {
      if (this.#tenures.list().includes(tenure)) continue;
      reader.end();
      this.#readers.delete(tenure);
    }
    for (const tenure of this.#tenures.list())
      if (!this.#readers.has(tenure)) this.#readers.set(tenure, this.#readFor(tenure));
  }

  #readFor(tenure: Tenure): Reader {
    const { line, jetStream, subjects, answerTimeoutMs } = this.#parts;
    return new Reader({
      line,
      jetStream,
      subject: subjects.message(tenure.topic),
      from: tenure.acked.place + 1,
      made: tenure.made,
      expiresMs: this.#tendEveryMs,
      answerTimeoutMs,
      onMessage: (sequence, message) => this.#arrive(tenure, sequence, message),
      onReady: () => this.#takeTurn(),
      onOtherStream: () => this.#tenures.drop(tenure),
    });
  }

  #arrive(tenure: Tenure, sequence: number, message: NatsMessage): void {
    const received = toReceived(tenure.topic, message);
    tenure.acked.take(received, sequence);
    this.#arrived.push({ tenure, message: received });
    this.#takeTurn();
  }

  #endReaders(): void {
    for (const reader of this.#readers.values()) reader.end();
    this.#readers.clear();
  }
}
