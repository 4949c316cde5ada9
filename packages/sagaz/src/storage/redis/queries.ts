import { createdAtOf } from "../../core/saga/saga-id.ts";
import { isEnded, type SagaStatus } from "../../core/saga/status.ts";
import type { QueryStore, SagaCount, SagaFilter, SagaPage, SagaRow } from "../../ports/storage.ts";
import type { Database } from "./database.ts";
import { fromDef, fromKept, fromRow, type RowAnswer } from "./rows.ts";
import { queryScripts } from "./scripts/queries.ts";

const pageSizeMax = 1_000;
/** Rows that are read in one go: others have their turn at the server in between. */
const rowsPerRead = 250;

/** Reads for users in Redis. */
export function queriesIn(database: Database): QueryStore {
  return {
    async find(sagaId) {
      createdAtOf(sagaId);
      return (await readRows(database, [sagaId]))[0];
    },
    async journal(sagaId, { from = 1, limit = Number.POSITIVE_INFINITY } = {}) {
      if (limit < 1) return [];
      // Before the first event stands what never changes of the row.
      const to = Number.isFinite(limit) ? from + limit - 1 : -1;
      const kept = await database.read<string[]>("LRANGE", `journal:${sagaId}`, from, to);
      return kept.map((one, n) => fromKept(one, from + n));
    },
    list: (filter) => list(database, filter),
    async ended(sagaIds) {
      const statuses = await database.look<SagaStatus[]>({
        script: queryScripts.statuses,
        request: { ids: sagaIds },
      });
      return sagaIds.flatMap((sagaId, n) => {
        const status = statuses[n];
        return status && (isEnded(status) || status === "parked") ? [{ sagaId, status }] : [];
      });
    },
    counts: (sinceMs) => counts(database, sinceMs),
    async journalled({ after, limit }) {
      const from = after === undefined ? "-" : `(${after}`;
      return database.read<string[]>("ZRANGEBYLEX", "all", from, "+", "LIMIT", 0, limit);
    },
  };
}

async function readRows(database: Database, ids: readonly string[]): Promise<readonly SagaRow[]> {
  const rows = await database.look<RowAnswer[]>({ script: queryScripts.rows, request: { ids } });
  return rows.map(fromRow);
}

/** Walks down the ids, which are in the order of creation, of the narrowest index that there is for this filter. */
async function list(database: Database, filter: SagaFilter): Promise<SagaPage> {
  const limit = Math.min(filter.limit, pageSizeMax);
  const found: SagaRow[] = [];
  let { after } = filter;
  for (;;) {
    const request = {
      indexes: indexesFor(filter),
      from: leastId(filter.createdFrom ?? 0),
      after,
      limit: rowsPerRead,
    };
    const ids = await database.look<string[]>({ script: queryScripts.page, request });
    for (const row of await readRows(database, ids)) {
      if (!matches(row, filter)) continue;
      if (found.length === limit) return { sagas: found, next: found.at(-1)?.sagaId };
      found.push(row);
    }
    if (ids.length < rowsPerRead) return { sagas: found, next: undefined };
    after = ids.at(-1);
  }
}

function indexesFor({ correlationId, tenantId, status }: SagaFilter): readonly string[] {
  if (correlationId !== undefined) return [`correlation:${correlationId.toWellFormed()}`];
  // Nearly all are completed: there is no index of them.
  if (status && !status.includes("completed")) return status.map((one) => `status:${one}`);
  return tenantId === undefined ? ["all"] : [`tenant:${tenantId.toWellFormed()}`];
}

/** No id of this time, or later, is before this one. */
function leastId(timeMs: number): string {
  const time = Math.ceil(Math.max(0, timeMs)).toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}`;
}

function matches(row: SagaRow, filter: SagaFilter): boolean {
  const { createdFrom = 0, createdBefore = Number.POSITIVE_INFINITY, attributes = {} } = filter;
  const same = (["sagaName", "tenantId", "correlationId", "parkedReason", "paused"] as const).every(
    (column) => filter[column] === undefined || filter[column] === row[column],
  );
  return (
    same &&
    row.createdAt >= createdFrom &&
    row.createdAt < createdBefore &&
    (filter.status?.includes(row.status) ?? true) &&
    Object.entries(attributes).every(([name, value]) => row.attributes?.[name] === value)
  );
}

async function counts(database: Database, sinceMs: number): Promise<readonly SagaCount[]> {
  const answers = await database.look<[string, number][]>({
    script: queryScripts.counts,
    request: { sinceMs },
  });
  return answers.flatMap(([kind, count]) => {
    const [def = "", status = ""] = kind.split(" ");
    return count > 0 ? [{ ...fromDef(def), status: status as SagaStatus, count }] : [];
  });
}
