import { must, need } from "../../core/must.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";
import type { AppendBatch, AppendEntry, NewMail, StartRow } from "../../ports/storage.ts";
import { toColumns } from "./append-columns.ts";
import type { Statement } from "./connection.ts";
import { timeValue } from "./binary-arrays.ts";
import type { Database } from "./database.ts";
import { foldBatch } from "./fold-batch.ts";
import type { PendingLook } from "./pending-start.ts";
import { outboxColumns } from "./outbox-columns.ts";
import type { ChangedRow, FoldedBatch, NewRow } from "./fold-batch.ts";

/** A write that can be sent, and what others may want to know once it is committed. */
export interface Write {
  readonly statement: Statement;
  readonly news: readonly NewRow[];
  readonly changed: readonly ChangedRow[];
  readonly mails: readonly NewMail[];
  /** True when there are events for relays to publish. */
  readonly publishes: boolean;
}

/**
 * The one statement that writes a batch.
 *
 * @throws SagaError `SAGAZ_CLOCK_SKEW`, `SAGAZ_INVALID_ID`: before anything is sent.
 */
export function toWrite(database: Database, batch: AppendBatch, look?: PendingLook): Write {
  const [entry] = batch.entries;
  const isOneEvent = entry && batch.entries.length === 1 && isEventOnly(entry);
  return isOneEvent ? toEventWrite(database, batch.epoch, entry) : toBatchWrite(database, batch, look);
}

/** True for one event of a saga that is there, and nothing else. */
function isEventOnly({ events, start, row, spawns, mails, readMails, outbox }: AppendEntry): boolean {
  const isMore = start ?? row ?? spawns[0] ?? mails[0] ?? readMails[0] ?? outbox[0];
  return events.length === 1 && isMore === undefined;
}

function toEventWrite(database: Database, epoch: number, entry: AppendEntry): Write {
  const { sagaId, firstSeq } = entry;
  const { type, step, data } = need(entry.events[0], "it was counted");
  const createdAt = timeValue(createdAtOf(sagaId)); // which checks the id
  must(firstSeq === (firstSeq | 0), "an integer of a row fits into four bytes");
  must(typeof data === "string", "an event's data is JSON text");
  const time = [database.now(), database.floor()];
  const values = [epoch, ...time, sagaId, createdAt, firstSeq, type, step, data];
  const statement = { text: database.sql.appendEvent, values };
  return { statement, news: NONE, changed: NONE, mails: NONE, publishes: false };
}

const NONE: readonly never[] = [];

function toBatchWrite(database: Database, batch: AppendBatch, look: PendingLook | undefined): Write {
  const folded = foldBatch(batch);
  for (const { start, createdAt } of folded.news) database.checkSkew(start.sagaId, createdAt);
  const values = [
    batch.epoch,
    database.now(),
    database.floor(),
    ...rangeOf(folded),
    ...toColumns(folded),
    database.unknownDefinitions(startsOf(folded.news)),
  ];
  const { news, changed, mails, outbox } = folded;
  const publishes = outbox.length > 0;
  if (publishes)
    values.push(outboxColumns(outbox), batch.holdMs ?? null, look?.after ?? null, look?.decided.life ?? null);
  const text = publishes ? database.sql.appendAndPublish : database.sql.appendBatch;
  return { statement: { text, values }, news, changed, mails, publishes: publishes && !batch.holdMs };
}

/** The new sagas of a batch. */
export function* startsOf(news: readonly NewRow[]): Iterable<StartRow> {
  for (const { start } of news) yield start;
}

/** The oldest and the youngest saga whose row is looked at. */
function rangeOf({ changed, checked }: FoldedBatch): [from: Buffer | null, to: Buffer | null] {
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (const sagas of [changed, checked]) {
    for (const { createdAt } of sagas) {
      if (createdAt < from) from = createdAt;
      if (createdAt > to) to = createdAt;
    }
  }
  return from > to ? [null, null] : [timeValue(from), timeValue(to)];
}
