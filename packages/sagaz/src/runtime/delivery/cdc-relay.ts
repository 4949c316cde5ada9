import { isUrl } from "../../core/delivery/url-topic.ts";
import { isSagaError } from "../../core/errors.ts";
import type { SagaError } from "../../core/errors.ts";
import type { MessageOutlet } from "../../ports/broker.ts";
import type { Clock } from "../../ports/clock.ts";
import type {
  EventStream,
  EventStreams,
  Reader,
  StreamBatch,
  StreamedEvent,
} from "../../ports/event-stream.ts";
import type { Log } from "../../ports/log.ts";
import { keepTrying } from "../patience.ts";
import { BackOff } from "./back-off.ts";
import { BrokerOutage } from "./broker-outage.ts";
import { LeftKeys } from "./left-keys.ts";
import { publishEvents } from "./publish-events.ts";
import { ReadAhead } from "./read-ahead.ts";
import type { RelayCounts } from "./relay.ts";
import { Rest } from "./rest.ts";
import { StreamNotes } from "./stream-notes.ts";
import type { StreamNote } from "./stream-notes.ts";
import { judgeBatch } from "./verdict.ts";
import type { BatchVerdict, RefusalPolicy } from "./verdict.ts";

/** So many events at most are published and not noted: what a crash sends twice. */
const IN_FLIGHT_MAX = 4_000;
/** How long it waits while the lease is in danger. */
const PAUSE_MS = 100;

/** What a relay of a stream is made of. */
export interface CdcRelayParts {
  readonly streams: EventStreams;
  readonly stream: EventStream;
  readonly reader: Reader;
  readonly broker: MessageOutlet;
  readonly clock: Clock;
  readonly log: Log;
  readonly batchMax: number;
  readonly policy: RefusalPolicy;
  readonly counts: RelayCounts;
  /** False while the lease is in danger: then nothing is published. */
  readonly mayPublish: () => boolean;
  /** Something was left to the tables. */
  readonly onLeft: () => void;
}

/**
 * Moves events from the stream to the broker, in the order of their commits.
 *
 * What comes is read, and what went before is noted, while a batch is with the broker; neither is waited for, unless too
 * much is not noted. An outage is waited for, with the stream standing still. An event that is refused is left to the
 * tables, with all that follows in its key, so that the stream goes on: the tables are where it is tried again. So is what
 * goes to a URL.
 */
export class CdcRelay {
  readonly #parts: CdcRelayParts;
  readonly #left: LeftKeys;
  readonly #backOff: BackOff;
  readonly #outage: BrokerOutage;
  readonly #rest: Rest;
  readonly #batchMax: number;
  readonly #ahead: ReadAhead;
  readonly #notes = new StreamNotes((note) => this.#settle(note));
  #isClosed = false;
  #isFenced = false;
  /** Nobody waits for the last note any more. */
  #isAbandoned = false;

  constructor(parts: CdcRelayParts) {
    const { clock, policy } = parts;
    this.#parts = parts;
    this.#left = new LeftKeys(parts);
    this.#backOff = new BackOff({ clock, luck: () => policy.luck() });
    this.#outage = new BrokerOutage({ counts: parts.counts, log: parts.log, backOff: this.#backOff });
    this.#rest = new Rest(clock);
    this.#batchMax = Math.min(parts.batchMax, IN_FLIGHT_MAX / 2);
    this.#ahead = new ReadAhead(parts.stream, this.#batchMax);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** What the broker said last; undefined while it takes events. */
  get outage(): SagaError | undefined {
    return this.#outage.current;
  }

  /** Begins nothing more. */
  close(): void {
    this.#isClosed = true;
    this.#ahead.close();
    this.#backOff.end();
    this.#rest.end();
  }

  /** Closes, and gives up what cannot be noted: it is sent again by whoever comes next. */
  abandon(): void {
    this.#isAbandoned = true;
    this.close();
  }

  /**
   * Sends until it is closed.
   *
   * @throws SagaError when the stream ends, or somebody else reads: `SAGAZ_FENCED`.
   */
  async run(): Promise<void> {
    try {
      await this.#left.look();
      this.#ahead.start();
      while (!this.#isClosed) await this.#round();
      await this.#notes.end();
    } finally {
      this.close();
    }
  }

  async #round(): Promise<void> {
    if (!(await this.#ahead.hasSome())) return;
    if (!this.#parts.mayPublish()) return void (await this.#rest.for(PAUSE_MS));
    if (this.#left.isDue) {
      await this.#notes.end();
      await this.#left.look();
    }
    await this.#notes.atMost(IN_FLIGHT_MAX - this.#batchMax);
    if (!this.#isClosed) await this.#send(this.#ahead.take());
  }

  async #send(batch: StreamBatch): Promise<void> {
    const { counts, broker, policy } = this.#parts;
    const open = batch.events.filter((event) => !this.#isLeft(event));
    const answers = open.length === 0 ? [] : await publishEvents(broker, open);
    const verdict = judgeBatch(open, answers, policy);
    counts.sent += verdict.sent.length;
    counts.refused += verdict.failed.length + verdict.dead.length;
    counts.dead += verdict.dead.length;
    const { sent, failed, dead } = verdict;
    this.#notes.add({ sent, failed, dead, ...this.#sort(batch, open, verdict) });
    if (verdict.outage) await this.#brokerAway(verdict.outage);
    else if (open.length > 0) this.#outage.over();
  }

  /** What is posted may take its time: it is for the tables, from which it goes in lanes. */
  #isLeft({ topic, key }: StreamedEvent): boolean {
    return isUrl(topic) || this.#left.has(key);
  }

  /** What is left to the tables, and how far all is settled then; the rest waits to be sent again. */
  #sort(
    batch: StreamBatch,
    open: readonly StreamedEvent[],
    { sent, failed, dead }: BatchVerdict,
  ): { readonly left: readonly number[]; readonly position: number } {
    const failedIds = new Set(failed.map(({ id }) => id));
    for (const { id, key } of open) if (failedIds.has(id)) this.#left.add(key);
    if (sent.length === batch.events.length) return { left: [], position: batch.position };
    const settled = new Set([...sent, ...dead.map(({ id }) => id)]);
    const rest = batch.events.filter(({ id }) => !settled.has(id));
    const left = rest.filter((event) => this.#isLeft(event)).map(({ id }) => id);
    const events = rest.filter((event) => !this.#isLeft(event));
    const [first] = events;
    if (!first) return { left, position: batch.position };
    this.#ahead.giveBack(events);
    return { left, position: first.position - 1 };
  }

  /** Repeated until it is written: only then the log may be forgotten. */
  async #settle({ position, ...settlement }: StreamNote): Promise<void> {
    const { sent, failed, dead, left } = settlement;
    const { streams, stream, reader, clock, log, onLeft } = this.#parts;
    if (sent.length + failed.length + dead.length + left.length > 0) {
      for (const { id, code, error } of dead)
        log.error("sagaz: an event went to the dead letters", { id, code, error });
      await this.#note(() => streams.settle(reader, settlement), { clock, log });
    }
    stream.confirm(position);
    if (left.length > 0) onLeft();
  }

  async #note(
    call: () => Promise<void>,
    { clock, log }: Pick<CdcRelayParts, "clock" | "log">,
  ): Promise<void> {
    let trouble: unknown;
    const noting = async () => {
      try {
        await call();
      } catch (error) {
        trouble = error;
        if (isSagaError(error, "SAGAZ_FENCED")) this.#isFenced = true;
        throw error;
      }
    };
    const isWanted = () => !this.#isFenced && !this.#isAbandoned;
    if (await keepTrying(noting, { clock, log, what: "noting what was sent", isWanted })) return;
    this.close();
    throw trouble;
  }

  async #brokerAway(outage: SagaError): Promise<void> {
    this.#outage.met(outage);
    if (!this.#isClosed) await this.#backOff.wait();
  }
}
