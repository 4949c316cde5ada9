import { toChains } from "../../core/delivery/chains.ts";
import { SagaError } from "../../core/errors.ts";
import type { BrokerMessage } from "../../ports/broker.ts";
import type { AmqpConnection } from "./amqp.ts";
import type { Link } from "./link.ts";
import { toOutgoing, type Outgoing } from "./messages.ts";
import { Outlet } from "./outlet.ts";
import { ignore, toRefused, toUnavailable } from "./trouble.ts";
import { within } from "./within.ts";

/** How many messages of a call are under way at a time. */
const unconfirmedMax = 1_000;

/** How messages get to the server. */
export interface PublisherOptions {
  readonly link: Link;
  readonly exchange: string;
  readonly answerTimeoutMs: number;
}

type Answer = SagaError | undefined;

/** The outlet that is used, with its connection. */
interface Use {
  readonly connection: AmqpConnection;
  readonly opening: Promise<Outlet>;
  /** Set when it is open, or was. */
  outlet: Outlet | undefined;
}

/**
 * Publishes, with many messages under way but only one of a topic and key: each is sent when the one before is safe. A
 * server can take a message after it has refused the one before, of which a full queue and a topic that only just got its
 * first queue are examples; so to send a key's messages in one go would not keep their order.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  #use: Use | undefined;
  #isStopped = false;
  /** How large a message may be, of servers that have told. */
  readonly #bytesMax = new WeakMap<AmqpConnection, number>();
  readonly #calls = new Set<Promise<unknown>>();

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  async publish(messages: readonly BrokerMessage[]): Promise<readonly Answer[]> {
    const answers: Answer[] = messages.map(() => undefined);
    const chains = toChains(messages).values();
    const goOn = async () => {
      for (const chain of chains) await this.#sendChain(chain, messages, answers);
    };
    const call = Promise.all(Array.from({ length: Math.min(unconfirmedMax, messages.length) }, goOn));
    this.#calls.add(call);
    try {
      await call;
    } finally {
      this.#calls.delete(call);
    }
    return answers;
  }

  /** Lets calls under way finish, for `finishMs` at most; what has no answer then is in doubt. */
  async stop(finishMs: number): Promise<void> {
    await within({ ms: finishMs, else: "not finished" }, Promise.all(this.#calls)).catch(ignore);
    this.#isStopped = true;
    this.#use?.outlet?.close();
  }

  async #sendChain(
    chain: readonly number[],
    messages: readonly BrokerMessage[],
    answers: Answer[],
  ): Promise<void> {
    let isHeldBack = false;
    for (const place of chain) {
      const message = messages[place] as BrokerMessage;
      const answer: Answer = isHeldBack ? new SagaError("SAGAZ_BROKER_HELD_BACK") : await this.#send(message);
      isHeldBack ||= answer !== undefined;
      answers[place] = answer;
    }
  }

  async #send(message: BrokerMessage): Promise<Answer> {
    const outgoing = toOutgoing(message);
    while (!this.#isStopped) {
      try {
        const { connection } = this.#options.link;
        const refusal = this.#whyTooLarge(connection, outgoing);
        if (refusal) return refusal;
        const outlet = await this.#open(connection);
        const fate = await outlet.send(outgoing);
        if (outlet.verdict?.bytesMax !== undefined) this.#bytesMax.set(connection, outlet.verdict.bytesMax);
        // Each round has the server refuse another message for good, so it comes to an end.
        if (fate !== "again") return fate;
      } catch (error) {
        return toUnavailable(error);
      }
    }
    return toUnavailable("it was stopped");
  }

  #whyTooLarge(connection: AmqpConnection, { topic, content }: Outgoing): Answer {
    const bytesMax = this.#bytesMax.get(connection) ?? Infinity;
    if (content.byteLength <= bytesMax) return undefined;
    return toRefused(topic, `it has ${content.byteLength} bytes, and the server takes ${bytesMax} at most`);
  }

  /** The outlet of this connection: the one in use, else a new one. */
  #open(connection: AmqpConnection): Promise<Outlet> {
    const use = this.#use;
    if (use?.connection === connection && use.outlet?.isOpen !== false) return use.opening;
    const { link, exchange, answerTimeoutMs } = this.#options;
    const onSilence = () => link.drop(connection, `no answer within ${answerTimeoutMs} ms`);
    const opening = Outlet.open({ connection, exchange, answerTimeoutMs, onSilence });
    const next: Use = { connection, opening, outlet: undefined };
    opening.then(
      (outlet) => (next.outlet = outlet),
      () => (this.#use = this.#use === next ? undefined : this.#use),
    );
    this.#use = next;
    return opening;
  }
}
