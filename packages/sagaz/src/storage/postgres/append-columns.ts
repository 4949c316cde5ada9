import type { NewMail, RowChange } from "../../ports/storage.ts";
import type { FoldedBatch, NewRow } from "./fold-batch.ts";
import { boolArray, int4Array, textArray, timeArray, uuidArray } from "./binary-arrays.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";

/** The parameters of `append_batch` from its fourth on; a part that is empty is null. */
export function toColumns(folded: FoldedBatch): unknown[] {
  return [
    ...eventColumns(folded.events),
    ...newRowColumns([...folded.news.values()]),
    ...changeColumns(folded),
    ...idColumns([...folded.checks]),
    ...readMailColumns(folded.readMails),
    mailColumn(folded.mails),
    closedColumn(folded.changes),
    missingColumn(folded),
  ];
}

const nothing = (columns: number): null[] => Array.from({ length: columns }, () => null);

function idColumns(sagaIds: readonly string[]): unknown[] {
  if (sagaIds.length === 0) return nothing(2);
  // The times first: reading them checks the ids.
  const times = timeArray(sagaIds.map(createdAtOf));
  return [uuidArray(sagaIds), times];
}

function eventColumns(events: FoldedBatch["events"]): unknown[] {
  if (events.saga.length === 0) return nothing(6);
  return [
    ...idColumns(events.saga),
    int4Array(events.seq),
    textArray(events.type),
    textArray(events.step),
    textArray(events.data),
  ];
}

/** Columns of new rows; also those of `start_keyed`. */
export function newRowColumns(rows: readonly NewRow[]): unknown[] {
  if (rows.length === 0) return nothing(18);
  const text = (pick: (row: NewRow) => string | null) => textArray(rows.map(pick));
  const bool = (pick: (row: NewRow) => boolean) => boolArray(rows.map(pick));
  return [
    ...idColumns(rows.map((row) => row.start.sagaId)),
    text((row) => row.start.sagaName),
    int4Array(rows.map((row) => row.start.version)),
    text((row) => row.start.graphHash),
    text((row) => row.start.tenantId),
    text((row) => row.start.correlationId),
    uuidArray(rows.map((row) => row.start.parentId)),
    text((row) => row.start.attributes),
    text((row) => row.change?.status ?? (row.start.owned ? "running" : "pending")),
    text((row) => (row.change === undefined ? (row.start.owned ? null : "start") : row.change.waitingFor)),
    text((row) => row.change?.parkedReason ?? null),
    bool((row) => row.change?.paused ?? false),
    text((row) => row.change?.error ?? null),
    text((row) => row.change?.output ?? null),
    bool((row) => row.start.owned && row.change?.release === undefined),
    timeArray(rows.map(firstWake)),
    bool((row) => row.change?.finished ?? false),
  ];
}

/** 0 stands for at once. */
function firstWake({ start, change }: NewRow): number | null {
  if (change?.release !== undefined) return change.release.wakeAt;
  return start.owned ? null : (start.wakeAt ?? 0);
}

/** In the order of ids, in which everyone locks rows: two batches never wait for each other. */
function changeColumns({ changes, wrote }: FoldedBatch): unknown[] {
  if (changes.size === 0) return nothing(13);
  const sagaIds = [...changes.keys()].sort();
  const rows = sagaIds.flatMap((sagaId) => changes.get(sagaId) ?? []);
  return [
    ...idColumns(sagaIds),
    textArray(rows.map((row) => row.status)),
    textArray(rows.map((row) => row.waitingFor)),
    textArray(rows.map((row) => row.parkedReason)),
    boolArray(rows.map((row) => row.paused)),
    textArray(rows.map((row) => row.error)),
    textArray(rows.map((row) => row.output)),
    boolArray(rows.map((row) => row.finished)),
    boolArray(rows.map((row) => row.release !== undefined)),
    timeArray(rows.map((row) => row.release?.wakeAt ?? null)),
    int4Array(rows.map((row) => row.release?.mailSeq ?? 0)),
    boolArray(sagaIds.map((sagaId) => wrote.has(sagaId))),
  ];
}

function readMailColumns({ saga, mail }: FoldedBatch["readMails"]): unknown[] {
  return saga.length === 0 ? nothing(2) : [uuidArray(saga), textArray(mail)];
}

function mailColumn(mails: readonly NewMail[]): string | null {
  if (mails.length === 0) return null;
  return JSON.stringify(
    mails.map(({ mailId, sagaId, kind, body }, n) => ({
      n,
      id: mailId,
      saga: sagaId,
      created: new Date(createdAtOf(sagaId)),
      kind,
      body,
    })),
  );
}

/** Sagas that are given up for want of their definition: it may have come just now. */
function missingColumn({ changes, news }: FoldedBatch): string | null {
  const given = [...changes, ...[...news].map(([sagaId, { change }]) => [sagaId, change] as const)];
  const missing = given.filter(
    ([, row]) => row?.parkedReason === "definition_missing" && row.release?.wakeAt === null,
  );
  if (missing.length === 0) return null;
  return JSON.stringify(missing.map(([saga]) => ({ saga, created: new Date(createdAtOf(saga)) })));
}

function closedColumn(changes: ReadonlyMap<string, RowChange>): Buffer | null {
  const closed = [...changes].filter(([, row]) => row.status === "forced_closed").map(([sagaId]) => sagaId);
  return closed.length === 0 ? null : uuidArray(closed);
}
