import type { RowChange, SagaRow, StartRow } from "../../ports/storage.ts";
import { toAttributes } from "./checks.ts";
import { refuseAll } from "./mailbox.ts";
import type { SagaRecord } from "./records.ts";
import { readsMail } from "./tables.ts";
import type { Tables } from "./tables.ts";

/** Writes a new saga: its row, and the first event of its journal if the writer does not bring it. */
export function insertStart(
  tables: Tables,
  start: StartRow,
  by: { epoch: number | null; at: number; withEvent: boolean },
): void {
  const journal = tables.openJournal(start.sagaId);
  if (by.withEvent) journal.push({ seq: 1, at: by.at, ...start.started });
  tables.insert(toRow(start, by));
}

function toRow(start: StartRow, by: { readonly epoch: number | null; readonly at: number }): SagaRow {
  const owner = start.owned ? by.epoch : null;
  return {
    sagaId: start.sagaId,
    sagaName: start.sagaName,
    version: start.version,
    graphHash: start.graphHash,
    status: owner === null ? "pending" : "running",
    waitingFor: owner === null ? "start" : null,
    parkedReason: null,
    paused: false,
    tenantId: start.tenantId,
    correlationId: start.correlationId,
    parentId: start.parentId,
    attributes: toAttributes(start.attributes),
    error: null,
    output: null,
    owner,
    wakeAt: start.wakeAt ?? by.at,
    adoptions: 0,
    createdAt: by.at,
    updatedAt: by.at,
    finishedAt: null,
  };
}

/** Changes a saga's row as an entry says, and lets the saga go if it says so. */
export function changeRow(
  tables: Tables,
  saga: SagaRecord,
  change: RowChange & { readonly at: number },
): void {
  const { status, waitingFor, parkedReason, paused, error, output, at } = change;
  const ends = change.finished && (saga.finishedAt === null || saga.status !== status);
  if (ends) saga.finishedAt = at;
  if (!change.finished) saga.finishedAt = null;
  Object.assign(saga, { status, waitingFor, parkedReason, paused, error, output, updatedAt: at });
  tables.index(saga);
  if (ends) tables.noteEnd(saga);
  if (!readsMail(status)) refuseAll(tables, saga);
  if (change.release) tables.setOwner(saga, { owner: null, wakeAt: wakeAfter(tables, saga, change.release) });
}

/** When a released saga can be claimed: at once when mail came that it did not take, or when its definition is back. */
function wakeAfter(
  tables: Tables,
  saga: SagaRecord,
  release: NonNullable<RowChange["release"]>,
): number | null {
  if (!readsMail(saga.status)) return null;
  const mailed = (tables.mailboxes.get(saga.sagaId)?.lastSeq ?? 0) > release.mailSeq;
  const found = saga.parkedReason === "definition_missing" && saga.definition.holders.size > 0;
  return mailed || found ? tables.now() : release.wakeAt;
}
