import { SagaError } from "../../core/errors.ts";
import type { AmqpConfirmChannel, AmqpConnection } from "./amqp.ts";
import { whyUnfit, type Outgoing } from "./messages.ts";
import { ignore, messageOf, toRefused, toUnavailable } from "./trouble.ts";
import { toVerdict, type Verdict } from "./verdict.ts";
import { within } from "./within.ts";

/** What became of a message: undefined when it is safe; "again" when the channel was closed over another one. */
export type Fate = SagaError | "again" | undefined;

/** How an outlet is opened. */
export interface OutletOptions {
  readonly connection: AmqpConnection;
  readonly exchange: string;
  readonly answerTimeoutMs: number;
  /** The server has not said anything for that long, although it should have. */
  readonly onSilence: () => void;
}

/** A message that the server has not answered. */
interface Flight {
  readonly message: Outgoing;
  readonly fate: Promise<Fate>;
  readonly settle: (fate: Fate) => void;
  readonly sentAt: number;
  /** The server's notice that a message went nowhere comes before its confirmation. */
  isReturned: boolean;
}

/** An open channel that confirms each message that it takes. */
export class Outlet {
  /** Set once the server has closed it over one message. */
  verdict: Verdict | undefined;
  isOpen = true;
  readonly #channel: AmqpConfirmChannel;
  readonly #options: OutletOptions;
  /** By message id, the oldest first. */
  readonly #inFlight = new Map<unknown, Flight>();
  #heardAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #trouble: string | undefined;

  /** @throws Error when the exchange cannot be declared, or in time. */
  static async open(options: OutletOptions): Promise<Outlet> {
    const { connection, exchange, answerTimeoutMs } = options;
    const opening = connection.createConfirmChannel().then(async (channel) => {
      const outlet = new Outlet(channel, options);
      await channel.assertExchange(exchange, "topic", { durable: true });
      return outlet;
    });
    return within({ ms: answerTimeoutMs, else: "no answer", onLate: options.onSilence }, opening);
  }

  private constructor(channel: AmqpConfirmChannel, options: OutletOptions) {
    this.#channel = channel;
    this.#options = options;
    channel.on("error", (error) => {
      this.#trouble = messageOf(error);
      const verdict = toVerdict(error);
      // One that is about none of ours would have all of them sent again for nothing.
      for (const { message } of this.#inFlight.values())
        if (verdict?.isAbout(message)) this.verdict = verdict;
    });
    channel.on("close", () => (this.isOpen = false));
    channel.on("return", ({ properties }) => {
      const flight = this.#inFlight.get(properties.messageId);
      if (flight) flight.isReturned = true;
    });
  }

  /** Sends a message, and answers what became of it once that is known, or too long was not. */
  send(message: Outgoing): Promise<Fate> {
    const { messageId } = message.options;
    // The server tells what it returns by its id alone, so no two of one id are under way.
    const twin = this.#inFlight.get(messageId);
    if (twin) return twin.fate.then(() => this.send(message));
    const flight = toFlight(message);
    try {
      this.#channel.publish(
        this.#options.exchange,
        message.topic,
        message.content,
        message.options,
        (error) => {
          if (this.#inFlight.get(messageId) === flight) this.#inFlight.delete(messageId);
          this.#heardAt = performance.now();
          flight.settle(error ? this.#whyNot(message, error) : fateOf(flight));
        },
      );
    } catch (error) {
      return Promise.resolve(this.#whyNotSent(message, error));
    }
    this.#inFlight.set(messageId, flight);
    this.#timer ??= setTimeout(() => this.#look(), this.#options.answerTimeoutMs);
    return flight.fate;
  }

  /** Closes it, and waits for no more answers. Safe twice. */
  close(): void {
    clearTimeout(this.#timer);
    for (const { settle } of this.#inFlight.values()) settle(toUnavailable("it was stopped"));
    this.#inFlight.clear();
    this.#channel.close().catch(ignore);
  }

  #whyNotSent(message: Outgoing, error: unknown): Fate {
    const why = whyUnfit(message);
    return why === undefined ? this.#whyNot(message, error) : toRefused(message.topic, why);
  }

  #whyNot(message: Outgoing, error: unknown): Fate {
    // A channel that the server has closed says why before its messages are told; one that was nacked is still open.
    if (!this.verdict) return toUnavailable(this.#trouble ?? error);
    return this.verdict.isAbout(message) ? toRefused(message.topic, this.verdict.why) : "again";
  }

  /** Answers for those that have waited for too long; they may be accepted all the same. */
  #look(): void {
    this.#timer = undefined;
    const { answerTimeoutMs, onSilence } = this.#options;
    const now = performance.now();
    for (const [id, { sentAt, settle }] of this.#inFlight) {
      const leftMs = sentAt + answerTimeoutMs - now;
      if (leftMs > 0) {
        this.#timer = setTimeout(() => this.#look(), leftMs);
        break;
      }
      this.#inFlight.delete(id);
      settle(toUnavailable(`no answer within ${answerTimeoutMs} ms`));
      // While others are answered, it is a queue that hangs, and not the connection.
      if (now - this.#heardAt >= answerTimeoutMs) onSilence();
    }
  }
}

function fateOf({ isReturned, message: { topic } }: Flight): Fate {
  return isReturned ? new SagaError("SAGAZ_UNKNOWN_TOPIC", { broker: "RabbitMQ", topic }) : undefined;
}

function toFlight(message: Outgoing): Flight {
  let settle: (fate: Fate) => void = ignore;
  const fate = new Promise<Fate>((resolve) => (settle = resolve));
  return { message, fate, settle, sentAt: performance.now(), isReturned: false };
}
