import { toFlowEvent } from "../../core/delivery/flow.ts";
import { givenOptions, PARTS, type Wanted } from "../../core/given-options.ts";
import type { MessageInlet, ReceivedMessage, Subscription } from "../../ports/broker.ts";
import type { Clock } from "../../ports/clock.ts";
import type { FlowEvent } from "../../ports/flows.ts";
import { consoleLog, type Log } from "../../ports/log.ts";
import type { SagaStorage } from "../../ports/storage.ts";
import { Maintenance } from "../maintenance.ts";
import { OneLife } from "../one-life.ts";
import { keepTrying } from "../patience.ts";
import { systemClock } from "../system.ts";
import { join, leave } from "../users.ts";

/** How flows are tracked. */
export interface FlowTrackerOptions {
  readonly storage: SagaStorage;
  /** Started by this tracker, and stopped when nothing in this process uses it any more. */
  readonly broker: MessageInlet;
  /** All topics over which flows go. */
  readonly topics: readonly string[];
  /** Trackers of one name share the work. Default `sagaz-flows`. */
  readonly trackerName?: string;
  readonly clock?: Clock;
  readonly log?: Log;
}

const WANTED: Wanted<FlowTrackerOptions> = {
  storage: PARTS.storage,
  broker: PARTS.inlet,
  topics: "some",
  trackerName: "optional",
  clock: "optional",
  log: PARTS.log,
};
/** Received and not yet kept at most. */
const UNACKED_MAX = 1_000;
/** Events of one flow that are shown at most. */
const EVENTS_MAX = 1_000;

/**
 * Shows what has happened in a flow: it sees the events of all services pass by at the broker, and keeps of each what it is,
 * what it follows from and what it means for the flow; no payloads.
 *
 * @example
 * const tracker = new FlowTracker({ storage, broker, topics: ["orders", "inventory", "payments"] });
 * await tracker.start();
 * console.log(drawFlow(await tracker.get(correlationId)));
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export class FlowTracker {
  readonly #life = new OneLife({
    what: "flow tracker",
    start: () => this.#start(),
    stop: () => this.#stop(),
  });
  readonly #options: FlowTrackerOptions & Required<Pick<FlowTrackerOptions, "clock" | "log" | "trackerName">>;
  readonly #maintenance: Maintenance;
  #subscription: Subscription | undefined;
  #keeping: Promise<void> | undefined;
  #waiting: ReceivedMessage[] = [];

  constructor(options: FlowTrackerOptions) {
    this.#options = {
      clock: systemClock,
      log: consoleLog,
      trackerName: "sagaz-flows",
      ...givenOptions("FlowTracker", options, WANTED),
    };
    this.#maintenance = new Maintenance(this.#options);
  }

  /**
   * Opens the storage and begins to watch; the broker may come later. After a failure it can be called again.
   *
   * @throws SagaError as the storage's `start()`; `SAGAZ_STOPPED`.
   */
  start(): Promise<void> {
    return this.#life.start();
  }

  async #start(): Promise<void> {
    const { storage, broker, clock, log } = this.#options;
    await join(storage, this);
    const isWanted = () => !this.#life.isOver;
    void keepTrying(() => this.#subscribe(broker), {
      clock,
      log,
      what: "subscribing at the broker",
      isWanted,
    });
  }

  async #subscribe(broker: MessageInlet): Promise<void> {
    await join(broker, this);
    const { trackerName: group, topics } = this.#options;
    const subscription = await broker.subscribe({
      group,
      topics,
      unackedMax: UNACKED_MAX,
      handle: (messages) => {
        this.#waiting.push(...messages);
        this.#keepOn();
      },
    });
    if (this.#life.isOver) return subscription.stop();
    this.#subscription = subscription;
    this.#keepOn(); // some may have come before
  }

  /** One batch at a time: whatever has come while the one before was kept. */
  #keepOn(): void {
    const subscription = this.#subscription;
    if (!subscription || this.#keeping || this.#waiting.length === 0 || this.#life.isOver) return;
    this.#keeping = this.#keep(subscription).finally(() => {
      this.#keeping = undefined;
      this.#keepOn();
    });
  }

  /** Keeps all that has come by now. It is acknowledged only then; what comes twice is known already. */
  async #keep(subscription: Subscription): Promise<void> {
    const messages = this.#waiting;
    this.#waiting = [];
    void this.#maintenance.ifDue();
    if ((await this.#record(messages)) || (await this.#recordEach(messages))) subscription.ack(messages);
  }

  /** One that is refused does not take the others with it, and does not come again. False when a stop came first. */
  async #recordEach(messages: readonly ReceivedMessage[]): Promise<boolean> {
    for (const message of messages) await this.#record([message]);
    return !this.#life.isOver;
  }

  /** False when it was refused, or given up for a stop. */
  #record(messages: readonly ReceivedMessage[]): Promise<boolean> {
    const { storage, clock, log } = this.#options;
    const events = messages.flatMap((message) => toFlowEvent(message, clock.now()) ?? []);
    return keepTrying(() => storage.flows.record(events), {
      clock,
      log,
      what: "keeping the events of flows",
      isWanted: () => !this.#life.isOver,
    });
  }

  /** The first thousand events of a flow, in the order of their times: none when nobody has seen any. */
  get(flowId: string): Promise<readonly FlowEvent[]> {
    return this.#options.storage.flows.list({ flowId, limit: EVENTS_MAX });
  }

  /** Keeps what has come, and leaves the rest to others of its name. Safe twice and before start. */
  stop(): Promise<void> {
    return this.#life.stop();
  }

  async #stop(): Promise<void> {
    const { storage, broker } = this.#options;
    await this.#keeping;
    await this.#subscription?.stop();
    await leave(broker, this);
    await leave(storage, this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
