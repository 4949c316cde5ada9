import { createdAtOf } from "../../core/saga/saga-id.ts";
import { isEnded } from "../../core/saga/status.ts";
import type { QueryStore, SagaCount, SagaFilter, SagaPage, SagaRow } from "../../ports/storage.ts";
import type { SagaRecord } from "./records.ts";
import type { Tables } from "./tables.ts";

/** Sagas on a page of a list. */
const pageSizeMax = 1_000;

/** Reads for users, in memory. */
export function queriesIn(tables: Tables): QueryStore {
  return {
    async find(sagaId) {
      createdAtOf(sagaId);
      const saga = tables.sagas.get(sagaId);
      return saga && toRow(saga);
    },
    async journal(sagaId, { from = 1, limit = Number.POSITIVE_INFINITY } = {}) {
      return (tables.journals.get(sagaId) ?? []).slice(from - 1, from - 1 + limit);
    },
    async list(filter) {
      return list(tables, filter);
    },
    async ended(sagaIds) {
      return sagaIds.flatMap((sagaId) => {
        const saga = tables.sagas.get(sagaId);
        const tells = saga && (isEnded(saga.status) || saga.status === "parked");
        return tells ? [{ sagaId, status: saga.status }] : [];
      });
    },
    async counts(sinceMs) {
      return count(new Set([...tables.unfinished, ...endedSince(tables, tables.now() - sinceMs)]));
    },
    async journalled({ after, limit }) {
      const from = after === undefined ? 0 : tables.placeOf(`${after}~`);
      return tables.ids.slice(from, from + limit);
    },
  };
}

/** Walks down the ids, which are in the order of creation. */
function list(tables: Tables, filter: SagaFilter): SagaPage {
  const limit = Math.min(filter.limit, pageSizeMax);
  const found: SagaRecord[] = [];
  const from = filter.after === undefined ? tables.ids.length : tables.placeOf(filter.after);
  for (let place = from - 1; place >= 0; place--) {
    const saga = tables.sagas.get(tables.ids[place] ?? "");
    if (!saga) continue;
    if (saga.createdAt < (filter.createdFrom ?? 0)) break;
    if (!matches(saga, filter)) continue;
    if (found.length === limit) return { sagas: found.map(toRow), next: found.at(-1)?.sagaId };
    found.push(saga);
  }
  return { sagas: found.map(toRow), next: undefined };
}

function matches(saga: SagaRecord, filter: SagaFilter): boolean {
  const { createdBefore = Number.POSITIVE_INFINITY, attributes = {} } = filter;
  const same = (["sagaName", "tenantId", "correlationId", "parkedReason", "paused"] as const).every(
    (column) => filter[column] === undefined || filter[column] === saga[column],
  );
  return (
    same &&
    saga.createdAt < createdBefore &&
    (filter.status?.includes(saga.status) ?? true) &&
    Object.entries(attributes).every(([name, value]) => saga.attributes?.[name] === value)
  );
}

function endedSince(tables: Tables, since: number): readonly SagaRecord[] {
  const found: SagaRecord[] = [];
  for (let place = tables.ends.length - 1; place >= 0; place--) {
    const end = tables.ends[place];
    if (!end || end.at < since) break;
    if (end.saga.finishedAt !== null && end.saga.finishedAt >= since) found.push(end.saga);
  }
  return found;
}

function count(sagas: ReadonlySet<SagaRecord>): readonly SagaCount[] {
  const counts = new Map<string, { -readonly [Field in keyof SagaCount]: SagaCount[Field] }>();
  for (const { sagaName, version, status } of sagas) {
    const key = `${version} ${status} ${sagaName}`;
    const known = counts.get(key);
    if (known) known.count++;
    else counts.set(key, { sagaName, version, status, count: 1 });
  }
  return [...counts.values()];
}

function toRow(saga: SagaRecord): SagaRow {
  const { place: _place, definition: _definition, ...row } = saga;
  return row;
}
