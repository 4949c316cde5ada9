import type { PendingEvent, Settlement, TakenEvents, TakeRequest } from "./outbox.ts";

/**
 * Events as the database's log brings them, in the order of their commits: for one worker at a time, the reader. The rows
 * in which they are pending stay the truth about what is still to be sent; the log only brings the news, without a query.
 *
 * Errors are those of `SagaStorage`.
 */
export interface EventStreams {
  /**
   * Whether the log can be read now, with its slot made if need be. A slot that nobody reads is dropped when it is lost, or
   * holds more than it may.
   */
  prepare(limits: StreamLimits): Promise<StreamOutlook>;
  /** Drops a slot that nobody reads, and that holds more than it may: its reader has gone for good. */
  tidy(limits: StreamLimits): Promise<void>;
  /** What has become of the slot that is being read: undefined while all is well. */
  trouble(limits: StreamLimits): Promise<StreamOutlook | undefined>;
  /** Drops the slot, unless somebody reads it: it has turned out to be of no use. */
  discard(): Promise<void>;
  /** Makes this worker the reader, unless another one lives. From then on relays hold no new shards. */
  become(epoch: number): Promise<ReaderAnswer>;
  /** How many shards live relays still hold. Before that is 0, a reader sends nothing. */
  shardsHeld(): Promise<number>;
  /** The highest id that an event may have by now. */
  lastId(): Promise<number>;
  /** What is pending up to this id is left to the tables, and the stream may be read. `SAGAZ_FENCED`. */
  endDrain(reader: Reader, upTo: number): Promise<void>;
  /**
   * Begins to read. What is read of it later is refused once there is another reader, or another mode: `SAGAZ_FENCED`. Where
   * somebody reads still, who is not the reader any more, that one is cut off, and the next call may do.
   *
   * @throws SagaError `SAGAZ_CDC_UNAVAILABLE`, `SAGAZ_SLOT_LOST`.
   */
  open(reader: Reader): Promise<EventStream>;
  /**
   * Notes what became of events, as the outbox does; `left`: they stay pending, and are sent from the tables. `SAGAZ_FENCED`
   * also when another reader, or another mode, has come.
   */
  settle(reader: Reader, settlement: StreamSettlement): Promise<void>;
  /** Keys with events that were left to the tables and are still pending; at most so many. */
  leftKeys(limit: number): Promise<readonly string[]>;
  /** Those of these keys that still have some. */
  stillLeft(keys: readonly string[]): Promise<readonly string[]>;
  /** Events that were left to the tables, as the outbox's `take` gives them. */
  takeLeft(reader: Reader, request: LeftRequest): Promise<TakenEvents>;
  /** Notes what became of them, as the outbox does. `SAGAZ_FENCED` as for `settle`. */
  settleLeft(reader: Reader, settlement: Omit<Settlement, "epoch">): Promise<void>;
  /** Gives delivery back to the relays, for a reason that is kept. Safe twice. */
  end(reader: Reader, reason: string): Promise<void>;
}

/** Who reads. */
export interface Reader {
  /** Of the worker. */
  readonly epoch: number;
  /** Of the delivery: another number with each reader. */
  readonly term: number;
}

/** See {@link EventStreams.become}. */
export type ReaderAnswer =
  /** `isDrained`: all that is pending comes by the stream, or was left to the tables. */
  | { readonly kind: "reader"; readonly reader: Reader; readonly isDrained: boolean }
  | { readonly kind: "taken" }
  | { readonly kind: "debezium" };

/** Bounds of a stream. */
export interface StreamLimits {
  /** Log that is kept for the reader, in bytes, before it gives up. */
  readonly slotWalBytesMax: number;
}

/** See {@link EventStreams.prepare}. */
export type StreamOutlook =
  | { readonly kind: "ready" }
  /** Its slot is being made, which takes as long as the longest transaction; or it is not for us to deliver. */
  | { readonly kind: "soon" }
  | { readonly kind: "unavailable"; readonly why: string; readonly advice: string }
  /** The log that was kept is gone, or the slot is. */
  | { readonly kind: "lost"; readonly why: string }
  | { readonly kind: "behind"; readonly keptBytes: number };

/** Events from the log. */
export interface EventStream {
  /**
   * The next events, `limit` of them at most; waits for the first one.
   *
   * @throws SagaError when the stream has ended: `SAGAZ_SLOT_LOST`, `SAGAZ_STORAGE_UNAVAILABLE`, `SAGAZ_STOPPED`,
   * `SAGAZ_FENCED`.
   */
  read(limit: number): Promise<StreamBatch>;
  /** All events up to this position are settled: they need not come again. */
  confirm(position: number): void;
  /** Ends; a read that waits is rejected. Safe twice. */
  stop(): Promise<void>;
}

/** A piece of a stream. */
export interface StreamBatch {
  /** In the order of their commits. Each is visible to everybody by now, and was neither sent nor left before; may be none. */
  readonly events: readonly StreamedEvent[];
  /** Of the last one, those included that were left out. */
  readonly position: number;
}

/** An event that the log brought. */
export interface StreamedEvent extends PendingEvent {
  /** Counts the events of this stream from 1. */
  readonly position: number;
}

/** See {@link EventStreams.settle}. */
export interface StreamSettlement extends Omit<Settlement, "epoch"> {
  readonly left: readonly number[];
}

/** See {@link EventStreams.takeLeft}. */
export type LeftRequest = Omit<TakeRequest, "epoch" | "shards">;
