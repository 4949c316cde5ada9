import type { BrokerMessage, MessageBroker, ReceivedMessage, Subscription } from "sagaz";
import { waitUntil } from "../../../tools/servers/wait-until.ts";
import { openBroker } from "./open-broker.ts";
import type { EventBody } from "./producers.ts";
import { RedisStream } from "./redis-stream.ts";

/** A message as it came for the first time. */
export interface FirstDelivery extends EventBody {
  readonly eventId: string;
}

/** All that the broker hands to a group of its own, without any inbox. */
export class RawLog {
  /** By event, in the order in which they came. */
  readonly firsts = new Map<string, FirstDelivery>();
  readonly #brokerUrl: string;
  readonly #topic: string;
  readonly #stream: RedisStream | undefined;
  readonly #kept: ReceivedMessage[] = [];
  #broker: MessageBroker | undefined;
  #subscription: Subscription | undefined;
  #handed = 0;

  constructor({ brokerUrl, topic }: { readonly brokerUrl: string; readonly topic: string }) {
    this.#brokerUrl = brokerUrl;
    this.#topic = topic;
    if (brokerUrl.startsWith("redis:")) this.#stream = new RedisStream(brokerUrl, topic);
  }

  async start(): Promise<void> {
    this.#broker = await openBroker(this.#brokerUrl);
    await this.#broker.start();
    this.#subscription = await this.#broker.subscribe({
      group: "raw",
      topics: [this.#topic],
      unackedMax: 10_000,
      handle: (messages) => this.#take(messages),
    });
  }

  #take(messages: readonly ReceivedMessage[]): void {
    this.#handed += messages.length;
    for (const message of messages) {
      const eventId = message.headers["ce_id"] ?? "";
      if (this.firsts.has(eventId)) continue;
      const { key, version } = JSON.parse(new TextDecoder().decode(message.payload)) as EventBody;
      this.firsts.set(eventId, { eventId, key, version });
      this.#kept.push(message);
    }
    this.#subscription?.ack(messages);
  }

  /** Waits until nothing has come for many looks in a row. */
  async isQuiet(): Promise<void> {
    let [before, looks] = [-1, 0];
    const look = () => {
      looks = this.firsts.size === before ? looks + 1 : 0;
      before = this.firsts.size;
      return looks >= 25;
    };
    await waitUntil("nothing comes any more", look, { withinMs: 30_000, everyMs: 20 });
  }

  /** True when every group has all that the stream has had. Redis only. */
  async isDrained(): Promise<boolean> {
    if (!this.#stream) throw new Error("Only Redis tells that.");
    return this.#stream.isDrained();
  }

  /** How many messages there have been, copies included. Where the broker does not count, how many it has handed to us. */
  async published(): Promise<number> {
    return this.#stream ? this.#stream.added() : this.#handed;
  }

  /** Publishes copies of messages that came: what somebody is to send who knows no better. */
  async publishCopies(
    choose: (kept: readonly ReceivedMessage[]) => readonly BrokerMessage[],
  ): Promise<number> {
    const copies = choose(this.#kept);
    const isPublished = async () =>
      (await this.#broker?.publish(copies))?.every((error) => error === undefined) ?? false;
    await waitUntil("the copies are published", isPublished);
    return copies.length;
  }

  async stop(): Promise<void> {
    this.#stream?.stop();
    await this.#broker?.stop();
  }
}
