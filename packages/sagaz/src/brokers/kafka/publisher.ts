import { setTimeout as pause } from "node:timers/promises";
import { SagaError } from "../../core/errors.ts";
import type { BrokerMessage } from "../../ports/broker.ts";
import type { Cluster } from "./cluster.ts";
import { unavailable } from "./error-codes.ts";
import { batchBytes, toOutgoing, type Outgoing } from "./outgoing.ts";
import { partitionOf } from "./partition-of.ts";
import { heldBack, PublishCall } from "./publish-call.ts";
import { Sender } from "./sender.ts";
import type { Topics } from "./topics.ts";

/** What may be set about publishing. */
export interface PublishLimits {
  readonly messageBytesMax: number;
  readonly publishTimeoutMs: number;
}

const lookAgainMs = 200;
/** How long a stop waits for what is under way. */
const stopMsMax = 5_000;

/** Brings messages into the lanes of their partitions. */
export class Publisher {
  readonly #topics: Topics;
  readonly #limits: PublishLimits;
  readonly #sender: Sender;
  readonly #calls = new Set<PublishCall>();
  #isStopped = false;

  constructor(cluster: Cluster, topics: Topics, limits: PublishLimits) {
    this.#topics = topics;
    this.#limits = limits;
    this.#sender = new Sender(cluster, topics, limits.messageBytesMax);
  }

  async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    const call = new PublishCall(messages.length, performance.now() + this.#limits.publishTimeoutMs);
    const outgoing = messages
      .map((message, at) => toOutgoing(message, { at, call }))
      .filter((message) => this.#fits(message));
    this.#calls.add(call);
    await this.#load(outgoing, call);
    const answers = await call.answered;
    this.#calls.delete(call);
    return answers;
  }

  /** Lets what is under way finish for a moment, and gives up the rest. */
  async stop(): Promise<void> {
    const calls = Promise.all(Array.from(this.#calls, ({ answered }) => answered));
    const timer = new AbortController();
    await Promise.race([calls, pause(stopMsMax, undefined, timer).catch(() => {})]);
    timer.abort();
    this.#isStopped = true;
    this.#sender.close();
    await calls;
  }

  #fits(message: Outgoing): boolean {
    const { topic, call } = message;
    const { messageBytesMax } = this.#limits;
    const bytes = message.bytes + batchBytes;
    if (call.holdsBack(message)) call.refuse(message, heldBack());
    else if (bytes > messageBytesMax) {
      const why = `it has ${bytes} bytes; messageBytesMax is ${messageBytesMax}`;
      call.refuse(message, new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: "Kafka", topic, message: why }));
    } else return true;
    return false;
  }

  /** While nobody knows where a topic is, its messages wait here. */
  async #load(messages: readonly Outgoing[], call: PublishCall): Promise<void> {
    let left = messages;
    while (left.length > 0) {
      const places = await this.#topics.find(left.map(({ topic }) => topic));
      const isLast = this.#isStopped || performance.now() > call.until;
      left = left.filter((message) => {
        const place = places.get(message.topic) ?? unavailable("nothing is known of its topic");
        if (typeof place === "number") {
          message.partition = partitionOf(message.keyText, place);
          this.#sender.push(message);
        } else if (isLast || !place.retryable) call.refuse(message, place);
        else return true;
        return false;
      });
      this.#sender.pump();
      if (left.length > 0) await pause(lookAgainMs);
    }
  }
}
