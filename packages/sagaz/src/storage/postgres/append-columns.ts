import type { NewMail } from "../../ports/storage.ts";
import type { ChangedRow, FoldedBatch, KnownSaga, NewRow } from "./fold-batch.ts";
import { boolArray, int4Array, textArray, timeArray, uuidArray } from "./binary-arrays.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";

/** The parameters of `append_batch` from its fourth on; a part that is empty is null. */
export function toColumns(folded: FoldedBatch): unknown[] {
  return [
    ...eventColumns(folded.events),
    ...newRowColumns(folded.news),
    ...changeColumns(folded.changed),
    ...knownColumns(folded.checked),
    ...readMailColumns(folded.readMails),
    mailColumn(folded.mails),
    closedColumn(folded.changed),
    missingColumn(folded),
  ];
}

const nothing = (columns: number): null[] => Array.from({ length: columns }, () => null);

function idColumns(sagaIds: readonly string[]): unknown[] {
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

function knownColumns(sagas: readonly KnownSaga[]): unknown[] {
  if (sagas.length === 0) return nothing(3);
  return [...idColumns(sagas.map(({ sagaId }) => sagaId)), int4Array(sagas.map(({ after }) => after))];
}

function changeColumns(changed: readonly ChangedRow[]): unknown[] {
  if (changed.length === 0) return nothing(14);
  const rows = changed.map(({ change }) => change);
  return [
    ...knownColumns(changed),
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
    boolArray(changed.map(({ wrote }) => wrote)),
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
function missingColumn({ changed, news }: FoldedBatch): string | null {
  const missing = [
    ...changed.filter(lacksDefinition).map(({ sagaId }) => sagaId),
    ...news.filter(lacksDefinition).map(({ start }) => start.sagaId),
  ];
  if (missing.length === 0) return null;
  return JSON.stringify(missing.map((saga) => ({ saga, created: new Date(createdAtOf(saga)) })));
}

function lacksDefinition({ change }: NewRow | ChangedRow): boolean {
  return change?.parkedReason === "definition_missing" && change.release?.wakeAt === null;
}

function closedColumn(changed: readonly ChangedRow[]): Buffer | null {
  const closed = changed.filter(({ change }) => change.status === "forced_closed");
  return closed.length === 0 ? null : uuidArray(closed.map(({ sagaId }) => sagaId));
}
