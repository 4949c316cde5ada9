import { must } from "../../core/must.ts";
import type { AppendBatch, AppendEntry, NewMail, RowChange, StartRow } from "../../ports/storage.ts";

/** A saga's row as it will be inserted: its start, and what the batch itself changes in it. */
export interface NewRow {
  readonly start: StartRow;
  change: RowChange | undefined;
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
  readonly news: Map<string, NewRow>;
  readonly changes: Map<string, RowChange>;
  /** Sagas with events in this batch. */
  readonly wrote: Set<string>;
  /** Sagas whose row stays as it is: only their owner is checked. */
  readonly checks: Set<string>;
  readonly mails: NewMail[];
  readonly readMails: { readonly saga: string[]; readonly mail: string[] };
}

/** Sorts a batch; pure. */
export function foldBatch(batch: AppendBatch): FoldedBatch {
  const folded: FoldedBatch = {
    events: { saga: [], seq: [], type: [], step: [], data: [] },
    news: new Map(),
    changes: new Map(),
    wrote: new Set(),
    checks: new Set(),
    mails: [],
    readMails: { saga: [], mail: [] },
  };
  for (const entry of batch.entries) foldEntry(folded, entry);
  for (const changed of folded.changes.keys()) folded.checks.delete(changed);
  return folded;
}

function foldEntry(folded: FoldedBatch, entry: AppendEntry): void {
  const { sagaId, events } = entry;
  if (entry.start !== undefined) addNew(folded, entry.start);
  if (events.length > 0) folded.wrote.add(sagaId);
  for (let index = 0; index < events.length; index += 1) {
    const event = events[index];
    if (event !== undefined) addEvent(folded, { sagaId, seq: entry.firstSeq + index }, event);
  }
  foldRow(folded, entry);
  for (const spawn of entry.spawns) {
    addNew(folded, spawn);
    addEvent(folded, { sagaId: spawn.sagaId, seq: 1 }, spawn.started);
  }
  for (const mail of entry.mails) folded.mails.push(mail);
  for (const mail of entry.readMails) {
    folded.readMails.saga.push(sagaId);
    folded.readMails.mail.push(mail);
  }
}

function foldRow(folded: FoldedBatch, { sagaId, row }: AppendEntry): void {
  const born = folded.news.get(sagaId);
  if (born !== undefined) {
    if (row !== undefined) born.change = row;
  } else if (row !== undefined) {
    folded.changes.set(sagaId, row);
  } else {
    folded.checks.add(sagaId);
  }
}

function addNew(folded: FoldedBatch, start: StartRow): void {
  must(start.idempotencyKey === null, "a start with an idempotency key goes through startKeyed");
  folded.news.set(start.sagaId, { start, change: undefined });
}

function addEvent(
  { events }: FoldedBatch,
  place: { sagaId: string; seq: number },
  event: AppendEntry["events"][number],
): void {
  events.saga.push(place.sagaId);
  events.seq.push(place.seq);
  events.type.push(event.type);
  events.step.push(event.step);
  events.data.push(event.data);
}
