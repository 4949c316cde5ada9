import type { NewMail } from "../../ports/storage.ts";
import type { ChangedRow, FoldedBatch, KnownSaga, NewEvent, NewRow } from "./fold-batch.ts";
import { ColumnsWriter, textArray, uuidArray } from "./binary-arrays.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";

/** The parameters of `append_batch` from its sixth to its last but one; a part that is empty is null. */
export function toColumns(folded: FoldedBatch): unknown[] {
  const { events, news, changed, checked, readMails, mails } = folded;
  return [
    ifAny(events, eventColumns),
    ifAny(news, newSagaColumns),
    ifAny(changed, changeColumns),
    ifAny(checked, knownColumns),
    ifAny(readMails.saga, uuidArray),
    ifAny(readMails.mail, textArray),
    ifAny(mails, mailColumn),
    closedColumn(changed),
    missingColumn(folded),
  ];
}

function ifAny<R, C>(rows: readonly R[], toColumn: (rows: readonly R[]) => C): C | null {
  return rows.length === 0 ? null : toColumn(rows);
}

/** An `event_columns`. */
function eventColumns(events: readonly NewEvent[]): Buffer {
  return new ColumnsWriter(events, 6)
    .uuids(({ saga }) => saga.sagaId)
    .times(({ saga }) => saga.createdAt)
    .int4s(({ seq }) => seq)
    .texts(({ event }) => event.type)
    .texts(({ event }) => event.step)
    .texts(({ event }) => event.data)
    .end();
}

/** A `new_saga_columns`; `start_keyed` takes them too. */
export function newSagaColumns(rows: readonly NewRow[]): Buffer {
  return new ColumnsWriter(rows, 18)
    .uuids(({ start }) => start.sagaId)
    .times(({ createdAt }) => createdAt)
    .texts(({ start }) => start.sagaName)
    .int4s(({ start }) => start.version)
    .texts(({ start }) => start.graphHash)
    .texts(({ start }) => start.tenantId)
    .texts(({ start }) => start.correlationId)
    .uuids(({ start }) => start.parentId)
    .texts(({ start }) => start.attributes)
    .texts(({ start, change }) => change?.status ?? (start.owned ? "running" : "pending"))
    .texts(({ start, change }) => (change ? change.waitingFor : start.owned ? null : "start"))
    .texts(({ change }) => change?.parkedReason ?? null)
    .bools(({ change }) => change?.paused ?? false)
    .texts(({ change }) => change?.error ?? null)
    .texts(({ change }) => change?.output ?? null)
    .bools(({ start, change }) => start.owned && change?.release === undefined)
    .times(firstWake)
    .bools(({ change }) => change?.finished ?? false)
    .end();
}

/** 0 stands for at once. */
function firstWake({ start, change }: NewRow): number | null {
  if (change?.release !== undefined) return change.release.wakeAt;
  return start.owned ? null : (start.wakeAt ?? 0);
}

/** A `known_columns`. */
function knownColumns(sagas: readonly KnownSaga[]): Buffer {
  return new ColumnsWriter(sagas, 3)
    .uuids(({ sagaId }) => sagaId)
    .times(({ createdAt }) => createdAt)
    .int4s(({ after }) => after)
    .end();
}

/** A `change_columns`. */
function changeColumns(changed: readonly ChangedRow[]): Buffer {
  return new ColumnsWriter(changed, 14)
    .uuids(({ sagaId }) => sagaId)
    .times(({ createdAt }) => createdAt)
    .int4s(({ after }) => after)
    .texts(({ change }) => change.status)
    .texts(({ change }) => change.waitingFor)
    .texts(({ change }) => change.parkedReason)
    .bools(({ change }) => change.paused)
    .texts(({ change }) => change.error)
    .texts(({ change }) => change.output)
    .bools(({ change }) => change.finished)
    .bools(({ change }) => change.release !== undefined)
    .times(({ change }) => change.release?.wakeAt ?? null)
    .int4s(({ change }) => change.release?.mailSeq ?? 0)
    .bools(({ wrote }) => wrote)
    .end();
}

function mailColumn(mails: readonly NewMail[]): string {
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
