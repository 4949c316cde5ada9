import { SagaError } from "../../core/errors.ts";
import { must } from "../../core/must.ts";
import type { AppendBatch, AppendEntry, NewMail, RowChange, StartRow } from "../../ports/storage.ts";

/** A saga's row as it will be inserted: its start, and what the batch itself changes in it. */
export interface NewRow {
  readonly start: StartRow;
  readonly change: RowChange | undefined;
}

/** A saga that was there before the batch. */
export interface KnownSaga {
  readonly sagaId: string;
  /** Seq of the event that the batch goes on from: it has to be stored, since a journal has no gaps. */
  readonly after: number;
}

/** One whose row changes. */
export interface ChangedRow extends KnownSaga {
  readonly change: RowChange;
  /** True when it has events in this batch. */
  readonly wrote: boolean;
}

/** A batch sorted by what it does to which table. Several entries of one saga have become one change of its row. */
export interface FoldedBatch {
  readonly events: {
    readonly saga: string[];
    readonly seq: number[];
    readonly type: string[];
    readonly step: (string | null)[];
    readonly data: string[];
  };
  readonly news: NewRow[];
  /** In the order of ids, in which everyone locks rows: two batches never wait for each other. */
  readonly changed: ChangedRow[];
  /** Sagas whose row stays as it is: only their owner is checked. */
  readonly checked: KnownSaga[];
  readonly mails: NewMail[];
  readonly readMails: { readonly saga: string[]; readonly mail: string[] };
}

/** What has come of one saga so far. */
interface Folding {
  readonly sagaId: string;
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
 * @throws SagaError `SAGAZ_CONFLICT` when a saga's entries leave a gap between them.
 */
export function foldBatch(batch: AppendBatch): FoldedBatch {
  const folded: FoldedBatch = {
    events: { saga: [], seq: [], type: [], step: [], data: [] },
    news: [],
    changed: [],
    checked: [],
    mails: [],
    readMails: { saga: [], mail: [] },
  };
  const sagas = new Map<string, Folding>();
  for (const entry of batch.entries) foldEntry(folded, sagas, entry);
  for (const { sagaId, start, change, after, wrote } of sagas.values()) {
    if (start !== undefined) folded.news.push({ start, change });
    else if (change !== undefined) folded.changed.push({ sagaId, change, after, wrote });
    else folded.checked.push({ sagaId, after });
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
  const saga = { sagaId, start, after: firstSeq - 1, next: firstSeq, change: undefined, wrote: false };
  sagas.set(sagaId, saga);
  return saga;
}

function addEvent({ events }: FoldedBatch, saga: Folding, event: AppendEntry["events"][number]): void {
  events.saga.push(saga.sagaId);
  events.seq.push(saga.next);
  events.type.push(event.type);
  events.step.push(event.step);
  events.data.push(event.data);
  saga.next += 1;
  saga.wrote = true;
}
