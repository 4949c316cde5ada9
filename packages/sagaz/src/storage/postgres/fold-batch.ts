import { SagaError } from "../../core/errors.ts";
import { must } from "../../core/must.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";
import type {
  AppendBatch,
  AppendEntry,
  EventRow,
  NewMail,
  OutboxRow,
  RowChange,
  StartRow,
} from "../../ports/storage.ts";

/** A saga's row as it will be inserted: its start, and what the batch itself changes in it. */
export interface NewRow {
  /** Milliseconds since 1970, here and below. */
  readonly createdAt: number;
  readonly start: StartRow;
  readonly change: RowChange | undefined;
}

/** A saga that was there before the batch. */
export interface KnownSaga {
  readonly sagaId: string;
  readonly createdAt: number;
  /** Seq of the event that the batch goes on from: it has to be stored, since a journal has no gaps. */
  readonly after: number;
}

/** One whose row changes. */
export interface ChangedRow extends KnownSaga {
  readonly change: RowChange;
  /** True when it has events in this batch. */
  readonly wrote: boolean;
}

/** An event with its place in a journal. */
export interface NewEvent {
  readonly saga: { readonly sagaId: string; readonly createdAt: number };
  readonly seq: number;
  readonly event: EventRow;
}

/** A batch sorted by what it does to which table. Several entries of one saga have become one change of its row. */
export interface FoldedBatch {
  readonly events: NewEvent[];
  readonly news: NewRow[];
  /** In the order of ids, in which everyone locks rows: two batches never wait for each other. */
  readonly changed: ChangedRow[];
  /** Sagas whose row stays as it is: only their owner is checked. */
  readonly checked: KnownSaga[];
  readonly mails: NewMail[];
  readonly readMails: { readonly saga: string[]; readonly mail: string[] };
  /** Events to publish. */
  readonly outbox: OutboxRow[];
}

/** What has come of one saga so far. */
interface Folding {
  readonly sagaId: string;
  readonly createdAt: number;
  readonly start: StartRow | undefined;
  readonly after: number;
  /** Seq of its next event here. */
  next: number;
  change: RowChange | undefined;
  wrote: boolean;
}

/**
 * Sorts a batch; pure.
 *
 * @throws SagaError `SAGAZ_CONFLICT` when a saga's entries leave a gap between them, `SAGAZ_INVALID_ID`.
 */
export function foldBatch(batch: AppendBatch): FoldedBatch {
  const folded: FoldedBatch = {
    events: [],
    news: [],
    changed: [],
    checked: [],
    mails: [],
    readMails: { saga: [], mail: [] },
    outbox: [],
  };
  const sagas = new Map<string, Folding>();
  for (const entry of batch.entries) foldEntry(folded, sagas, entry);
  for (const { sagaId, createdAt, start, change, after, wrote } of sagas.values()) {
    if (start !== undefined) folded.news.push({ createdAt, start, change });
    else if (change !== undefined) folded.changed.push({ sagaId, createdAt, change, after, wrote });
    else folded.checked.push({ sagaId, createdAt, after });
  }
  folded.changed.sort((a, b) => (a.sagaId < b.sagaId ? -1 : 1));
  return folded;
}

function foldEntry(folded: FoldedBatch, sagas: Map<string, Folding>, entry: AppendEntry): void {
  const { sagaId, events, firstSeq } = entry;
  const saga = sagas.get(sagaId) ?? begin(sagas, { sagaId, start: entry.start, firstSeq });
  if (firstSeq !== saga.next) throw new SagaError("SAGAZ_CONFLICT", { sagaId, seq: firstSeq });
  for (const event of events) addEvent(folded, saga, event);
  if (entry.row !== undefined) saga.change = entry.row;
  for (const spawn of entry.spawns) {
    const born = begin(sagas, { sagaId: spawn.sagaId, start: spawn, firstSeq: 1 });
    addEvent(folded, born, spawn.started);
  }
  for (const mail of entry.mails) folded.mails.push(mail);
  for (const one of entry.outbox) folded.outbox.push(one);
  for (const mail of entry.readMails) {
    folded.readMails.saga.push(sagaId);
    folded.readMails.mail.push(mail);
  }
}

function begin(
  sagas: Map<string, Folding>,
  { sagaId, start, firstSeq }: { sagaId: string; start: StartRow | undefined; firstSeq: number },
): Folding {
  must(start === undefined || start.idempotencyKey === null, "a keyed start goes through startKeyed");
  const createdAt = createdAtOf(sagaId); // which checks the id
  const saga = {
    sagaId,
    createdAt,
    start,
    after: firstSeq - 1,
    next: firstSeq,
    change: undefined,
    wrote: false,
  };
  sagas.set(sagaId, saga);
  return saga;
}

function addEvent({ events }: FoldedBatch, saga: Folding, event: EventRow): void {
  events.push({ saga, seq: saga.next, event });
  saga.next += 1;
  saga.wrote = true;
}
