import { isSagaError, SagaError } from "../core/errors.ts";
import { need } from "../core/must.ts";
import type { AppendEntry, SagaStorage, Tail } from "../ports/storage.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { OptimisticPublisher } from "./delivery/optimistic-publisher.ts";
import { judge } from "./doubt.ts";

/** Entries of one batch, and roughly the bytes of their payloads. */
const BATCH_ENTRIES_MAX = 1_000;
const BATCH_BYTES_MAX = 4_194_304;
/** From this many entries on a queue goes out in two halves; below, a second write costs more than it gains. */
const CONVOY_ENTRIES = 32;
/** Writes under way at a time: while the database works on one, the process handles the answer to the other. */
const WRITES_AT_ONCE = 2;
/** Entries that may wait; starts beyond that are refused with `SAGAZ_TOO_BUSY`. */
export const WRITES_WAITING_MAX = 50_000;
/** Delay between tries while the storage is away: doubles from the first to the second figure. */
const OUTAGE_DELAY_MS = { first: 20, most: 1_000 };

/** Hears how an entry ended: recorded, or refused for good. Called once. */
export type Written = (error: SagaError | undefined) => void;

/** What the writer needs to know of the sagas that its process holds. */
export interface Held {
  /** Sagas in memory, with the seq up to which their journal is known to be recorded. */
  held(): Iterable<{ readonly sagaId: string; readonly ackedSeq: number }>;
  /** Another owner has it, or its tail is gone: forget it and load it anew. */
  lost(sagaId: string): void;
  /** This worker's lease is gone: nothing more can be written. */
  fenced(): void;
}

interface Waiting {
  readonly entry: AppendEntry;
  readonly written: Written;
}

/**
 * The one writer of a process. Whatever its sagas have to record while a write is in flight is gathered and goes out
 * as the next batch, in one commit: an idle saga's write leaves at once, a busy process batches by itself.
 *
 * An outage is waited for, never guessed about: after a broken connection the writer reads what is really stored
 * before it repeats or appends anything.
 */
export class JournalWriter {
  readonly #storage: SagaStorage;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #held: Held;
  readonly #epoch: number;
  readonly #publisher: OptimisticPublisher | undefined;
  #queue: Waiting[] = [];
  /** Writes under way, and the sagas in them. */
  #writes = 0;
  readonly #inFlight = new Set<string>();
  #isScheduled = false;
  #closed: SagaError | undefined;
  #idle: (() => void)[] = [];

  constructor(options: {
    storage: SagaStorage;
    clock: Clock;
    log: Log;
    held: Held;
    epoch: number;
    publisher: OptimisticPublisher | undefined;
  }) {
    this.#storage = options.storage;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#held = options.held;
    this.#epoch = options.epoch;
    this.#publisher = options.publisher;
  }

  /** Entries that wait to be written. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Takes an entry. Entries of one saga are written in the order they were given. */
  submit(entry: AppendEntry, written: Written): void {
    if (this.#closed) {
      written(this.#closed);
      return;
    }
    this.#queue.push({ entry, written });
    this.#writeSoon();
  }

  /** Resolves when everything taken so far has been written or refused. */
  drained(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Refuses everything that waits, and everything that comes. */
  close(error: SagaError): void {
    this.#closed ??= error;
    const waiting = this.#queue;
    this.#queue = [];
    for (const { written } of waiting) written(this.#closed);
    this.#releaseIfIdle();
  }

  #isIdle(): boolean {
    return this.#writes === 0 && this.#queue.length === 0;
  }

  #releaseIfIdle(): void {
    if (!this.#isIdle()) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  /** One turn of the event loop later, so that everything which one commit set off goes into the next. */
  #writeSoon(): void {
    if (this.#isScheduled || this.#writes >= WRITES_AT_ONCE) return;
    this.#isScheduled = true;
    this.#clock.setTimer(0, () => {
      this.#isScheduled = false;
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    const batch = this.#take();
    if (batch.length === 0) return;
    this.#writes++;
    if (this.#queue.length > 0) this.#writeSoon();
    await this.#write(batch);
    this.#writes--;
    for (const { entry } of batch) this.#inFlight.delete(entry.sagaId);
    if (this.#queue.length > 0) this.#writeSoon();
    this.#releaseIfIdle();
  }

  /**
   * The next batch: oldest first, without the sagas that another write holds. A saga's entries are never in two writes
   * at once, since the later one could be recorded and the earlier one not.
   */
  #take(): Waiting[] {
    const batch: Waiting[] = [];
    const left: Waiting[] = [];
    let bytes = 0;
    let isFull = false;
    const most = this.#entriesMax();
    for (const waiting of this.#queue) {
      const { entry } = waiting;
      const size = sizeOf(entry);
      // Full for one is full for all that come after it: a smaller one may be the next of the same saga.
      isFull ||= batch.length >= most || (batch.length > 0 && bytes + size > BATCH_BYTES_MAX);
      if (isFull || this.#inFlight.has(entry.sagaId)) left.push(waiting);
      else {
        bytes += size;
        batch.push(waiting);
      }
    }
    this.#queue = left;
    for (const { entry } of batch) this.#inFlight.add(entry.sagaId);
    return batch;
  }

  /**
   * A long queue goes out in two halves when nothing is under way. In one batch all sagas would march in step: the
   * process waits while the database works, and the database while the process does.
   */
  #entriesMax(): number {
    const { length } = this.#queue;
    const isConvoy = this.#writes === 0 && length >= CONVOY_ENTRIES;
    return Math.min(BATCH_ENTRIES_MAX, isConvoy ? length >> 1 : length);
  }

  /** Writes a batch, whatever it takes; afterwards each of its entries has heard how it ended. */
  async #write(batch: readonly Waiting[], wasInDoubt = false): Promise<void> {
    let open = batch;
    let isInDoubt = wasInDoubt;
    for (
      let delayMs = OUTAGE_DELAY_MS.first;
      !this.#closed;
      delayMs = Math.min(delayMs * 2, OUTAGE_DELAY_MS.most)
    ) {
      if (open.length === 0) return;
      const error = await this.#try(open);
      if (!mayRepeat(error, isInDoubt)) return this.#ended(open, { error, isInDoubt });
      this.#log.warn("sagaz: a write waits for the storage", { code: error.code, message: error.message });
      await this.#pause(delayMs);
      const left = await this.#reconcile(open, delayMs);
      const isAnothers = error.code === "SAGAZ_CONFLICT" && left.length === open.length;
      isInDoubt = !isAnothers && (isInDoubt || error.code === "SAGAZ_COMMIT_IN_DOUBT");
      open = left;
    }
    settle(open, isInDoubt ? stillInDoubt(this.#closed) : this.#closed);
  }

  async #ended(
    batch: readonly Waiting[],
    { error, isInDoubt }: { error: SagaError | undefined; isInDoubt: boolean },
  ): Promise<void> {
    if (!error) settle(batch, undefined);
    else if (error.code === "SAGAZ_FENCED") this.#fenced(batch, error);
    else await this.#refused(batch, { error, isInDoubt });
  }

  async #try(batch: readonly Waiting[]): Promise<SagaError | undefined> {
    try {
      await this.#append(batch.map(({ entry }) => entry));
      return undefined;
    } catch (error) {
      return isSagaError(error)
        ? error
        : new SagaError("SAGAZ_STORAGE_REFUSED", { message: String(error) }, { cause: error });
    }
  }

  #fenced(batch: readonly Waiting[], error: SagaError): void {
    this.close(error);
    settle(batch, error);
    this.#held.fenced();
  }

  /** One poisoned entry must not sink its neighbours: a definite refusal is narrowed down by halves. */
  async #refused(
    batch: readonly Waiting[],
    { error, isInDoubt }: { error: SagaError; isInDoubt: boolean },
  ): Promise<void> {
    if (batch.length === 1) return settle(batch, error);
    const middle = batch.length >> 1;
    await this.#write(batch.slice(0, middle), isInDoubt);
    await this.#write(batch.slice(middle), isInDoubt);
  }

  /**
   * After a broken connection: what is stored decides, however long it takes until it can be read. A batch whose commit
   * was in doubt is found written or not written. Sagas whose tail is gone (a failover that lost the last commits) or
   * whose owner changed are given up, so that they are loaded anew. Answers what is left to write.
   */
  async #reconcile(batch: readonly Waiting[], firstDelayMs: number): Promise<readonly Waiting[]> {
    const acked = new Map<string, number>();
    for (const { sagaId, ackedSeq } of this.#held.held()) acked.set(sagaId, ackedSeq);
    for (const { entry } of batch) if (!acked.has(entry.sagaId)) acked.set(entry.sagaId, 0);
    let stored = await this.#tails([...acked.keys()]);
    for (let delayMs = firstDelayMs; !stored; delayMs = Math.min(delayMs * 2, OUTAGE_DELAY_MS.most)) {
      if (this.#closed) return batch;
      await this.#pause(delayMs);
      stored = await this.#tails([...acked.keys()]);
    }
    for (const [sagaId, seq] of acked) if ((stored.get(sagaId)?.seq ?? 0) < seq) this.#held.lost(sagaId);
    return batch.filter((waiting) => this.#isOpen(waiting, { acked, stored }));
  }

  #isOpen(
    { entry, written }: Waiting,
    { acked, stored }: { acked: ReadonlyMap<string, number>; stored: ReadonlyMap<string, Tail> },
  ): boolean {
    const { sagaId, firstSeq: seq } = entry;
    const verdict = judge(entry, {
      tail: stored.get(sagaId),
      ackedSeq: need(acked.get(sagaId), "all sagas of a batch are looked up"),
      epoch: this.#epoch,
    });
    if (verdict === "not written") return true;
    written(verdict === "written" ? undefined : new SagaError("SAGAZ_CONFLICT", { sagaId, seq }));
    return false;
  }

  async #tails(sagaIds: readonly string[]): Promise<Map<string, Tail> | undefined> {
    const tails = new Map<string, Tail>();
    try {
      for (let i = 0; i < sagaIds.length; i += BATCH_ENTRIES_MAX) {
        for (const tail of await this.#storage.journal.tails(sagaIds.slice(i, i + BATCH_ENTRIES_MAX))) {
          tails.set(tail.sagaId, tail);
        }
      }
      return tails;
    } catch (error) {
      this.#log.warn("sagaz: the storage is still away", { message: String(error) });
      return undefined;
    }
  }

  /** What is published with it is sent at once where somebody does so. */
  async #append(entries: readonly AppendEntry[]): Promise<void> {
    const events = this.#publisher ? entries.flatMap(({ outbox }) => outbox) : [];
    const holdMs = events.length > 0 ? this.#publisher?.holdMs : 0;
    const batch = { epoch: this.#epoch, entries };
    const { added } = await this.#storage.journal.append(holdMs ? { ...batch, holdMs } : batch);
    if (holdMs && added) this.#publisher?.offer(events, added);
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#clock.setTimer(delayMs, resolve));
  }
}

/** Nobody looked it up before the writer was closed: "certainly not written" would be a guess. */
function stillInDoubt(closed: SagaError): SagaError {
  return new SagaError("SAGAZ_COMMIT_IN_DOUBT", { message: closed.message }, { cause: closed });
}

function settle(batch: readonly Waiting[], error: SagaError | undefined): void {
  for (const { written } of batch) written(error);
}

/**
 * True when the same write may succeed, or turn out to have succeeded: an outage passes, and after a doubt a conflict
 * may be with a write of our own that was thought lost and came through after all.
 */
function mayRepeat(error: SagaError | undefined, isInDoubt: boolean): error is SagaError {
  if (!error || error.code === "SAGAZ_FENCED") return false;
  return error.retryable || (isInDoubt && error.code === "SAGAZ_CONFLICT");
}

function sizeOf(entry: AppendEntry): number {
  let bytes = 0;
  for (const event of entry.events) bytes += event.data.length;
  for (const spawn of entry.spawns) bytes += spawn.started.data.length;
  for (const mail of entry.mails) bytes += mail.body.length;
  for (const event of entry.outbox) bytes += event.payload.length;
  return bytes;
}
