import { InMemoryBroker } from "../../../packages/sagaz/src/brokers/memory/index.ts";
import { SagaError } from "../../../packages/sagaz/src/core/errors.ts";
import type {
  BrokerHealth,
  BrokerMessage,
  MessageBroker,
  ReceivedMessage,
  SubscribeOptions,
  Subscription,
} from "../../../packages/sagaz/src/ports/broker.ts";
import type { FakeClock } from "../../../packages/sagaz/src/testing/fake-clock.ts";
import type { SeededChance } from "../../../packages/sagaz/src/testing/seeded-chance.ts";
import type { Faults } from "../../../packages/sagaz/src/testing/simulator/faults.ts";
import type { Receiver } from "../../../packages/sagaz/src/testing/simulator/faulty-line.ts";
import type { History } from "../../../packages/sagaz/src/testing/simulator/history.ts";

/** Messages of this type no broker will have. */
export const refusedType = "refused";
/** Messages of this type are refused at first, and taken when they are tried again. */
export const awkwardType = "awkward";

/** What a process's line to the broker is made of. */
export interface FaultyBrokerParts {
  /** The server, which all processes share. */
  readonly server: InMemoryBroker;
  readonly clock: FakeClock;
  readonly chance: SeededChance;
  readonly receiver: Receiver;
  readonly history: History;
  readonly faults: () => Faults;
  readonly isAway: () => boolean;
  /** Hears of each message that the server takes. */
  readonly onAccepted: (message: BrokerMessage) => void;
  /** Whether the server refuses this message now. */
  readonly refuses: (message: BrokerMessage) => boolean;
  /** Whether the server, against its promise, loses this message that it has taken. */
  readonly loses?: (message: BrokerMessage) => boolean;
}

type Answers = readonly (SagaError | undefined)[];

/** The line from one process to the broker: messages and answers are slow, late, or lost, and of a call a part may arrive. */
export class FaultyBroker implements MessageBroker {
  readonly name = "memory";
  readonly #parts: FaultyBrokerParts;
  readonly #subscriptions = new Set<CutSubscription>();
  #state: "new" | "started" | "stopped" = "new";

  constructor(parts: FaultyBrokerParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    if (this.#parts.isAway() || this.#parts.chance.happens(this.#parts.faults().refuseCall))
      throw unavailable();
    this.#state = "started";
  }

  async stop(): Promise<void> {
    this.#state = "stopped";
    for (const subscription of this.#subscriptions) await subscription.stop();
  }

  /** The connection is lost: what was handed over comes again, here or elsewhere. It is opened anew when the process runs. */
  cut(): void {
    for (const subscription of this.#subscriptions) subscription.cut();
  }

  publish(messages: readonly BrokerMessage[]): Promise<Answers> {
    if (this.#state === "new") return Promise.reject(new SagaError("SAGAZ_NOT_STARTED", { what: "broker" }));
    if (this.#state === "stopped") return Promise.reject(new SagaError("SAGAZ_STOPPED", { what: "broker" }));
    const { clock, receiver, history, chance } = this.#parts;
    const { sendMs, answerMs, end } = this.#drawFate();
    return new Promise((resolve) => {
      const answer = (answers: Answers) => receiver.deliver(() => resolve(answers));
      const lose = () => {
        history.saw("lost replies");
        history.note(`${receiver.name}: an answer of the broker is lost`);
        answer(messages.map(() => unavailable()));
      };
      clock.setTimer(sendMs, () => {
        if (receiver.isDead && chance.happens(0.5)) return;
        if (end === "refused" || this.#parts.isAway()) return answer(messages.map(() => unavailable()));
        if (end === "late") {
          lose();
          clock.setTimer(answerMs, () => void this.#put(messages));
          return;
        }
        const answers = this.#put(messages);
        clock.setTimer(answerMs, () => (end === "lost" ? lose() : answer(answers)));
      });
    });
  }

  #drawFate(): {
    readonly sendMs: number;
    readonly answerMs: number;
    readonly end: "answered" | "refused" | "lost" | "late";
  } {
    const { chance, faults } = this.#parts;
    const { slowStorage, slowMs, refuseCall, loseReply, late, lateMs } = faults();
    const slow = () => (chance.happens(slowStorage) ? 1 + chance.below(slowMs) : 0);
    const [sendMs, answerMs, lateBy] = [slow(), slow(), 1 + chance.below(lateMs)];
    if (chance.happens(refuseCall)) return { sendMs, answerMs, end: "refused" };
    if (chance.happens(loseReply)) return { sendMs, answerMs, end: "lost" };
    return chance.happens(late / 4)
      ? { sendMs, answerMs: lateBy, end: "late" }
      : { sendMs, answerMs, end: "answered" };
  }

  /** Of each key a prefix is taken, as the port promises. */
  #put(messages: readonly BrokerMessage[]): Answers {
    const { chance, faults, server, history, onAccepted, isAway, refuses, loses } = this.#parts;
    const stopped = new Set<string>();
    return messages.map((message) => {
      const { topic, key } = message;
      const place = JSON.stringify([topic, key]);
      if (stopped.has(place)) return new SagaError("SAGAZ_BROKER_HELD_BACK");
      if (isAway() || chance.happens(faults().refuseCall / 4)) {
        stopped.add(place);
        return unavailable();
      }
      if (refuses(message)) {
        stopped.add(place);
        history.saw("broker refusals");
        return new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: this.name, topic, message: "simulated" });
      }
      onAccepted(message);
      if (!loses?.(message)) void server.publish([message]);
      return undefined;
    });
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    const { isAway, faults, chance } = this.#parts;
    if (this.#state !== "started") throw new SagaError("SAGAZ_STOPPED", { what: "broker" });
    if (isAway() || chance.happens(faults().refuseCall)) throw unavailable();
    const subscription = new CutSubscription(options, this.#parts);
    this.#subscriptions.add(subscription);
    await subscription.open();
    return subscription;
  }

  async health(): Promise<BrokerHealth> {
    return { isUp: !this.#parts.isAway() };
  }
}

/** A subscription that outlives its connections. */
class CutSubscription implements Subscription {
  readonly #options: SubscribeOptions;
  readonly #parts: FaultyBrokerParts;
  #connection: InMemoryBroker | undefined;
  #inner: Subscription | undefined;
  #isStopped = false;

  constructor(options: SubscribeOptions, parts: FaultyBrokerParts) {
    this.#options = options;
    this.#parts = parts;
  }

  async open(): Promise<void> {
    const { receiver, server, clock } = this.#parts;
    if (this.#isStopped || receiver.isDead || this.#connection) return;
    const connection = new InMemoryBroker({ beside: server });
    this.#connection = connection;
    const handle = (messages: readonly ReceivedMessage[]) =>
      receiver.deliver(() => this.#options.handle(messages));
    try {
      await connection.start();
      const inner = await connection.subscribe({ ...this.#options, handle });
      if (this.#connection === connection) this.#inner = inner;
      else await connection.stop();
    } catch {
      if (this.#connection === connection) this.#connection = undefined;
      clock.setTimer(200, () => receiver.deliver(() => void this.open()));
    }
  }

  cut(): void {
    const { receiver, history, clock } = this.#parts;
    history.saw("cut subscriptions");
    this.#disconnect();
    clock.setTimer(100, () => receiver.deliver(() => void this.open()));
  }

  #disconnect(): void {
    void this.#connection?.stop();
    this.#connection = undefined;
    this.#inner = undefined;
  }

  ack(messages: readonly ReceivedMessage[]): void {
    if (this.#parts.isAway()) return;
    this.#inner?.ack(messages);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#disconnect();
  }
}

function unavailable(): SagaError {
  return new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker: "memory", message: "simulated" });
}
