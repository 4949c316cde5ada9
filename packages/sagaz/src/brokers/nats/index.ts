import { SagaError } from "../../core/errors.ts";
import { givenOptions, type Wanted } from "../../core/given-options.ts";
import type {
  BrokerHealth,
  BrokerMessage,
  MessageBroker,
  SubscribeOptions,
  Subscription,
} from "../../ports/broker.ts";
import { dial } from "./dial.ts";
import type { NatsConnection, NatsDriver } from "./driver.ts";
import { messageOf, toUnavailable } from "./errors.ts";
import { InFlight } from "./in-flight.ts";
import { JetStream } from "./jetstream.ts";
import { Line } from "./line.ts";
import { publish } from "./publish.ts";
import { Subjects } from "./subjects.ts";
import { NatsSubscription } from "./subscription.ts";

export type { NatsConnection, NatsDriver, NatsHeaders, NatsMessage, WrittenHeaders } from "./driver.ts";

/** Options of {@link NatsBroker}. Times are in milliseconds. */
export interface NatsBrokerOptions<Settings extends object = object> {
  /** The package `@nats-io/transport-node`. */
  readonly nats: NatsDriver<Settings>;
  /** What its `connect` takes: servers, login, TLS. Name all servers of a cluster, so that each of them may be away. */
  readonly connection?: NoInfer<Settings>;
  /** The name of the stream, and what the subjects of all topics begin with. Default `sagaz`. */
  readonly stream?: string;
  /** On how many servers of a cluster the streams are kept, if they are made here. Default 1. */
  readonly replicas?: number;
  /** For how long messages are kept, if the stream is made here: a group that lags by more loses some. Default 7 days. */
  readonly keepMs?: number;
  /** For so long a receiver that died keeps the others of its group from its topics. Default 10,000. */
  readonly leaseMs?: number;
  /** After this time without an answer a message counts as not accepted, or a connection as lost. Default 10,000. */
  readonly answerTimeoutMs?: number;
}

const WANTED: Wanted<NatsBrokerOptions> = {
  nats: { has: ["connect"], rule: "it must be the package @nats-io/transport-node" },
  connection: "optional",
  stream: "optional",
  replicas: { from: 1 },
  keepMs: { from: 1 },
  leaseMs: { from: 1 },
  answerTimeoutMs: { from: 1 },
};
/** For how long a stop waits for what is being published. */
const drainMsMax = 5_000;
const day = 24 * 60 * 60_000;

/**
 * Messages in NATS 2.9 or later with JetStream: one stream, and a subject in it for each topic.
 *
 * A stream that exists is used as it is; else it is made, and so is a bucket beside it (`sagaz-groups`) with the place of each
 * group in each topic. What is accepted is as safe as JetStream keeps it: by default it is put on disk only every two
 * minutes, and a crash of the machine loses what came since. With `sync_interval: always` in the server's configuration
 * (NATS 2.10 or later) it is on disk before it is accepted; with `replicas` 3 two of three servers have it.
 *
 * Of a group one subscription reads a topic, by a lease (see `leaseMs`), and others stand by. An event with a `ce_id` that
 * is published again within the stream's `duplicate_window` is kept once.
 *
 * @example
 * import * as nats from "@nats-io/transport-node";
 *
 * const broker = new NatsBroker({ nats, connection: { servers: "nats://localhost" } });
 */
export class NatsBroker<Settings extends object = object> implements MessageBroker {
  readonly name = "NATS";
  readonly #options: NatsBrokerOptions<Settings>;
  readonly #answerTimeoutMs: number;
  readonly #subjects: Subjects;
  readonly #inFlight = new InFlight();
  readonly #subscriptions = new Set<NatsSubscription>();
  readonly #publishing = new Set<Promise<unknown>>();
  #open: { readonly line: Line; readonly jetStream: JetStream } | undefined;
  #state: "new" | "started" | "stopped" = "new";
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: NatsBrokerOptions<Settings>) {
    this.#options = givenOptions("NatsBroker", options, WANTED);
    this.#answerTimeoutMs = options.answerTimeoutMs ?? 10_000;
    this.#subjects = new Subjects(options.stream ?? "sagaz");
  }

  start(): Promise<void> {
    this.#starting ??= this.#start().finally(() => (this.#starting = undefined));
    return this.#starting;
  }

  async #start(): Promise<void> {
    await this.#stopping;
    if (this.#state === "started") return;
    const { connection = {}, replicas = 1, keepMs = 7 * day } = this.#options;
    const { inboxPrefix = "_INBOX" } = connection as { inboxPrefix?: string };
    const line = new Line({
      connect: () => this.#connect(),
      inboxPrefix,
      answerTimeoutMs: this.#answerTimeoutMs,
      onLost: () => {
        for (const subscription of this.#subscriptions) subscription.restart();
      },
    });
    const jetStream = new JetStream(line, this.#subjects, { replicas, keepMs });
    try {
      await line.open();
      await jetStream.ensureStreams();
    } catch (error) {
      await line.close();
      throw toUnavailable(error);
    }
    this.#open = { line, jetStream };
    this.#state = "started";
  }

  /** It does not open itself again: what it would send then, nobody waits for any more. */
  #connect(): Promise<NatsConnection> {
    const { nats, connection } = this.#options;
    const own = {
      reconnect: false,
      timeout: this.#answerTimeoutMs,
      pingInterval: Math.ceil(this.#answerTimeoutMs / 3),
      maxPingOut: 2,
      // What is written to the socket at a time, in bytes: its types hide it, and without it a batch is cut into forty.
      pendingLimit: 256 * 1024,
    };
    return dial(() => nats.connect({ ...connection, ...own } as unknown as Settings));
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop().finally(() => (this.#stopping = undefined));
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.#starting?.catch(() => {});
    this.#state = "stopped";
    await Promise.all(Array.from(this.#subscriptions, (subscription) => subscription.stop()));
    this.#subscriptions.clear();
    await settled(this.#publishing, drainMsMax);
    await this.#open?.line.close();
    this.#open = undefined;
  }

  async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    const publishing = publish(messages, this.#parts());
    this.#publishing.add(publishing);
    return publishing.finally(() => this.#publishing.delete(publishing));
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    const { leaseMs = 10_000 } = this.#options;
    const subscription = new NatsSubscription({
      ...this.#parts(),
      answerTimeoutMs: this.#answerTimeoutMs,
      leaseMs,
      options,
    });
    this.#subscriptions.add(subscription);
    await subscription.start();
    return subscription;
  }

  async health(): Promise<BrokerHealth> {
    if (this.#state !== "started") return { isUp: false, detail: "it is not started" };
    try {
      await this.#parts().jetStream.look();
      return { isUp: true };
    } catch (error) {
      return { isUp: false, detail: messageOf(error) };
    }
  }

  #parts() {
    if (this.#state === "stopped") throw new SagaError("SAGAZ_STOPPED", { what: "broker" });
    if (!this.#open) throw new SagaError("SAGAZ_NOT_STARTED", { what: "broker" });
    const makeHeaders = () => this.#options.nats.headers();
    return { ...this.#open, subjects: this.#subjects, inFlight: this.#inFlight, makeHeaders };
  }
}

/** Waits for promises that never reject, but not longer than that. */
async function settled(promises: Iterable<Promise<unknown>>, msMax: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise((resolve) => (timer = setTimeout(resolve, msMax)));
  await Promise.race([Promise.all(promises), tooLong]);
  clearTimeout(timer);
}
