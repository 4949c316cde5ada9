import type { ReceivedMessage } from "../../ports/broker.ts";
import { AckWindow } from "./ack-window.ts";
import type { AmqpChannel, AmqpConnection } from "./amqp.ts";
import { fromDelivery } from "./messages.ts";
import { declareQueue, type QueuePlace } from "./topology.ts";
import { ignore } from "./trouble.ts";
import { within } from "./within.ts";

const goodbye = { ms: 2_000, else: "no goodbye" };

/** How an inlet is opened. */
export interface InletOptions {
  readonly connection: AmqpConnection;
  readonly place: QueuePlace;
  readonly prefetch: number;
  readonly answerTimeoutMs: number;
  readonly onMessage: (inlet: Inlet, message: ReceivedMessage, tag: number) => void;
  /** The server has not said anything for that long, although it should have. */
  readonly onSilence: () => void;
}

/** An open channel on which the messages of one queue come in. */
export class Inlet {
  /** Resolves when it is closed, for whatever reason: everything on it that is not acknowledged comes again. */
  readonly closed: Promise<void>;
  readonly #channel: AmqpChannel;
  readonly #acks = new AckWindow();
  #flush: NodeJS.Immediate | undefined;

  /** @throws Error when the queue cannot be declared or read, or in time. */
  static async open(options: InletOptions): Promise<Inlet> {
    const { connection, place, prefetch, answerTimeoutMs, onMessage, onSilence } = options;
    const opening = connection.createChannel().then(async (channel) => {
      const inlet = new Inlet(channel);
      const queue = await declareQueue(channel, place);
      await channel.prefetch(prefetch);
      await channel.consume(queue, (delivery) => {
        if (delivery) onMessage(inlet, fromDelivery(place.topic, delivery), delivery.fields.deliveryTag);
        else channel.close().catch(ignore);
      });
      return inlet;
    });
    return within({ ms: answerTimeoutMs, else: "no answer", onLate: onSilence }, opening);
  }

  private constructor(channel: AmqpChannel) {
    this.#channel = channel;
    channel.on("error", ignore); // the close that follows is all that matters
    this.closed = new Promise((resolve) => channel.on("close", resolve));
  }

  /** Acknowledges a message, together with others of this turn. */
  ack(tag: number): void {
    this.#acks.add(tag);
    this.#flush ??= setImmediate(() => this.#tell());
  }

  /**
   * Sends the acknowledgements that it has, and closes. The consumer is not cancelled before: the server would begin to
   * serve the next member of the group with what comes after the messages that this one still has to give back.
   */
  async close(): Promise<void> {
    this.#tell();
    await within(goodbye, this.#channel.close()).catch(ignore);
  }

  #tell(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    try {
      for (const { tag, allUpTo } of this.#acks.take())
        this.#channel.ack({ fields: { deliveryTag: tag } }, allUpTo);
    } catch {
      // It is closed: all of them come again.
    }
  }
}
