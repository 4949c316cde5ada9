import { definitionOf } from "../core/definition/definition-of.ts";
import type { Sagaish } from "../core/definition/sagaish.ts";
import { givenOptions, PARTS, type Wanted } from "../core/given-options.ts";
import type { Chance } from "../ports/chance.ts";
import type { Clock } from "../ports/clock.ts";
import { consoleLog } from "../ports/log.ts";
import type { Log } from "../ports/log.ts";
import type { SagaStorage } from "../ports/storage.ts";
import type { InboxWorker } from "./delivery/inbox-worker.ts";
import { makeReplyReceiver } from "./delivery/reply-receiver.ts";
import type { RepliesOptions } from "./delivery/reply-receiver.ts";
import type { OptimisticPublisher } from "./delivery/optimistic-publisher.ts";
import { checkReplies } from "./check-replies.ts";
import { Endings } from "./endings.ts";
import { OneLife } from "./one-life.ts";
import { PAYLOAD_BYTES_MAX } from "./payload.ts";
import type { ReplyMessage } from "../core/participant/messages.ts";
import { Registry } from "./registry.ts";
import { Requests } from "./requests.ts";
import { Sagas } from "./sagas.ts";
import { join, leave } from "./users.ts";
import { systemChance, systemClock } from "./system.ts";
import { Worker } from "./worker.ts";

/** What an orchestrator is made of. Only `storage` and `sagas` are needed; times are milliseconds. */
export interface OrchestratorOptions {
  readonly storage: SagaStorage;
  /** Definitions, saga classes or `ClassicSaga`s that this process can run. Old versions stay here until drained. */
  readonly sagas: readonly Sagaish[];
  /** For people; default `sagaz`. */
  readonly workerName?: string;
  /** Default 5,000. A worker that does not renew for this long is taken for dead. From 500 on. */
  readonly leaseMs?: number;
  /** Default 1,000. More sagas wait in the storage. 0: this process starts sagas and runs none. */
  readonly sagasInFlightMax?: number;
  /**
   * How many sagas of any one tenant (`tenantId` of the start) this process runs at a time; more wait in the storage, and
   * others pass them. Not limited if not set; sagas without a tenant never are.
   */
  readonly sagasPerTenantMax?: number;
  /** Default 10,000: how long `stop()` lets attempts finish. */
  readonly stopMs?: number;
  /** Default 1 MiB, for one input, result or signal. */
  readonly payloadBytesMax?: number;
  readonly log?: Log;
  /**
   * Where participants send their replies to; needed for sagas with command steps. With a `broker` this process receives
   * them; without one another process does, or you hand them in by `sagas.reply`.
   */
  readonly replies?: RepliesOptions;
  /**
   * Sends what steps publish as soon as it has committed, without waiting for an `OutboxWorker`, which is still needed
   * for what this one cannot send. Started and stopped by you.
   */
  readonly publisher?: OptimisticPublisher;
  /** Tests pass a fake one. */
  readonly clock?: Clock;
  /** Tests pass a seeded one. */
  readonly chance?: Chance;
}

const DEFAULT_OPTIONS = { workerName: "sagaz", leaseMs: 5_000, sagasInFlightMax: 1_000, stopMs: 10_000 };
const LEASE_MS_MIN = 500;

/**
 * The engine: runs the sagas it is given on a storage, together with every other orchestrator on that storage.
 *
 * @example
 * await using orchestrator = new SagaOrchestrator({ storage: new PostgreSQLStorage({ pool }), sagas: [OrderSaga] });
 * await orchestrator.start();
 * const saga = await orchestrator.sagas.start(OrderSaga, order, { idempotencyKey: order.orderId });
 * const { status } = await saga.result();
 */
export class SagaOrchestrator implements AsyncDisposable {
  readonly #life = new OneLife({
    what: "orchestrator",
    start: () => this.#start(),
    stop: () => this.#stop(),
  });
  /** Start, look at and steer sagas. */
  readonly sagas: Sagas;
  readonly #worker: Worker;
  readonly #storage: SagaStorage;
  readonly #endings: Endings;
  readonly #replies: InboxWorker | undefined;
  #unlisten: (() => void) | undefined;

  /**
   * @throws SagaError the codes of definitions that break a rule; `SAGAZ_DUPLICATE_DEFINITION`; `SAGAZ_INVALID_OPTION`.
   */
  constructor(written: OrchestratorOptions) {
    const options = givenOptions("SagaOrchestrator", written, WANTED);
    const { storage, clock = systemClock, chance = systemChance, log = consoleLog } = options;
    const registry = new Registry(options.sagas.map((saga) => definitionOf(saga)));
    const payloadBytesMax = options.payloadBytesMax ?? PAYLOAD_BYTES_MAX;
    const { workerName, leaseMs, sagasInFlightMax, stopMs } = { ...DEFAULT_OPTIONS, ...options };
    const { sagasPerTenantMax, replies } = options;
    checkReplies(registry, replies);
    this.#storage = storage;
    this.#worker = new Worker({
      storage,
      registry,
      clock,
      chance,
      log,
      publisher: options.publisher,
      options: {
        workerName,
        leaseMs,
        sagasInFlightMax,
        sagasPerTenantMax,
        stopMs,
        payloadBytesMax,
        replyTo: replies ?? {},
      },
      onChange: (runner, why) => this.#endings.notice(runner, why),
    });
    const worker = this.#worker;
    this.#endings = new Endings({
      storage,
      clock,
      log,
      isLocal: (sagaId) => worker.find(sagaId) !== undefined,
    });
    const requests = new Requests({ storage, registry, worker, payloadBytesMax });
    this.sagas = new Sagas({ storage, registry, worker, endings: this.#endings, payloadBytesMax }, requests);
    if (replies?.broker) {
      const { broker, topic = "", group = "sagaz-replies" } = replies;
      const post = (mailId: string, reply: ReplyMessage) => requests.post(mailId, reply);
      this.#replies = makeReplyReceiver({ storage, broker, topic, group, clock, chance, log, post });
    }
  }

  /** Sagas in this process's memory. */
  get sagasInFlight(): number {
    return this.#worker.sagasInFlight;
  }

  /**
   * Opens the storage, registers this worker and begins to run sagas. Safe twice; after a failure it can be called again.
   *
   * @throws SagaError `SAGAZ_DEFINITION_CHANGED`, `SAGAZ_SCHEMA_NEWER`, `SAGAZ_STORAGE_UNAVAILABLE`, `SAGAZ_STOPPED` …
   */
  start(): Promise<void> {
    return this.#life.start();
  }

  async #start(): Promise<void> {
    await join(this.#storage, this);
    await this.#worker.start();
    await this.#replies?.start();
    this.#unlisten = this.#storage.listen((hint) => {
      if (hint === "ended") this.#endings.hint();
    });
  }

  /**
   * Begins nothing new, lets attempts finish, hands the rest back at once; the last one on a storage stops that too.
   * Safe twice and before start.
   */
  stop(): Promise<void> {
    return this.#life.stop();
  }

  async #stop(): Promise<void> {
    await this.#replies?.stop();
    await this.#worker.stop();
    this.#unlisten?.();
    this.#endings.stop();
    await leave(this.#storage, this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

const WANTED: Wanted<OrchestratorOptions> = {
  storage: PARTS.storage,
  sagas: "list",
  workerName: "optional",
  leaseMs: { from: LEASE_MS_MIN },
  sagasInFlightMax: { from: 0 },
  sagasPerTenantMax: { from: 1 },
  stopMs: { from: 0 },
  payloadBytesMax: { from: 1 },
  log: PARTS.log,
  replies: "optional",
  publisher: PARTS.publisher,
  clock: "optional",
  chance: "optional",
};
