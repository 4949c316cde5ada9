import { must } from "../../core/must.ts";
import type { ParkReason } from "../../core/saga/events.ts";
import { isEnded, type SagaStatus, type WaitReason } from "../../core/saga/status.ts";
import type {
  QueryStore,
  SagaCount,
  SagaFilter,
  SagaPage,
  SagaRow,
  StoredEvent,
} from "../../ports/storage.ts";
import { timeArray, uuidArray } from "./binary-arrays.ts";
import { toStoredEvent } from "./claims.ts";
import type { TextRow } from "./connection.ts";
import { toTime, type Database } from "./database.ts";
import type { Hints } from "./hints.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";

const pageMax = 1_000;

/** Reads for users. */
export class PostgresQueries implements QueryStore {
  readonly #database: Database;
  readonly #hints: Hints;

  constructor(parts: { database: Database; hints: Hints }) {
    this.#database = parts.database;
    this.#hints = parts.hints;
  }

  async find(sagaId: string): Promise<SagaRow | undefined> {
    const values = [sagaId, toTime(createdAtOf(sagaId))];
    const [row] = await this.#database.read({ text: this.#database.sql.findSaga, values });
    return row === undefined ? undefined : toSagaRow(row);
  }

  async journal(
    sagaId: string,
    range: { readonly from?: number; readonly limit?: number } = {},
  ): Promise<readonly StoredEvent[]> {
    const values = [sagaId, toTime(createdAtOf(sagaId)), range.from ?? 1, range.limit ?? null];
    const rows = await this.#database.read({ text: this.#database.sql.readJournal, values });
    return rows.map(toStoredEvent);
  }

  async list(filter: SagaFilter): Promise<SagaPage> {
    const limit = Math.min(filter.limit, pageMax);
    // One more than asked for tells whether there is another page.
    const values = [...conditionsOf(filter), limit + 1, ...branchesOf(filter)];
    const rows = await this.#database.read({ text: this.#database.sql.listSagas, values });
    const sagas = rows.slice(0, limit).map(toSagaRow);
    return { sagas, next: rows.length > limit ? sagas.at(-1)?.sagaId : undefined };
  }

  async ended(
    sagaIds: readonly string[],
  ): Promise<readonly { readonly sagaId: string; readonly status: SagaStatus }[]> {
    if (sagaIds.length === 0) return [];
    const values = [uuidArray(sagaIds), timeArray(sagaIds.map(createdAtOf))];
    const rows = await this.#database.read({ text: this.#database.sql.endedSagas, values });
    const found = rows.map((row) => ({
      sagaId: String(row["saga_id"]),
      status: row["status"] as SagaStatus,
    }));
    // Somebody here waits for sagas that others may be running: they will say when one has ended.
    if (found.filter(({ status }) => isEnded(status)).length < sagaIds.length) this.#hints.askForEnds();
    return found;
  }

  async counts(sinceMs: number): Promise<readonly SagaCount[]> {
    const values = [Math.round(sinceMs), this.#database.now()];
    const rows = await this.#database.read({ text: this.#database.sql.countSagas, values });
    return rows.map((row) => ({
      sagaName: String(row["saga_name"]),
      version: Number(row["version"]),
      status: row["status"] as SagaStatus,
      count: Number(row["count"]),
    }));
  }

  async journalled(range: {
    readonly after: string | undefined;
    readonly limit: number;
  }): Promise<readonly string[]> {
    const rows = await this.#database.read({
      text: this.#database.sql.journalledSagas,
      values: [...cursorOf(range.after), range.limit],
    });
    return rows.map((row) => String(row["saga_id"]));
  }
}

function timeOrNull(ms: number | undefined): string | null {
  return ms === undefined ? null : toTime(ms);
}

/** Parameters $1 to $11 of the list; null leaves a condition out. */
function conditionsOf(filter: SagaFilter): unknown[] {
  return [
    filter.sagaName ?? null,
    filter.status === undefined ? null : [...filter.status],
    filter.tenantId ?? null,
    filter.correlationId ?? null,
    filter.parkedReason ?? null,
    filter.paused ?? null,
    filter.attributes === undefined ? null : JSON.stringify(filter.attributes),
    timeOrNull(filter.createdFrom),
    timeOrNull(filter.createdBefore),
    ...cursorOf(filter.after),
  ];
}

/**
 * Parameters $13 to $15: where to look. Everything in the order of ids is quick for conditions that most sagas meet or
 * that have an index of their own; for the others what is unfinished and what has ended have different indexes.
 */
function branchesOf(filter: SagaFilter): [all: boolean, unfinished: boolean, finished: boolean] {
  const { status, tenantId, correlationId, attributes } = filter;
  if (tenantId !== undefined || correlationId !== undefined || attributes !== undefined)
    return [true, false, false];
  if (status !== undefined) return [false, !status.every(isEnded), status.some(isEnded)];
  // Only unfinished sagas are parked or paused.
  if (filter.parkedReason !== undefined || filter.paused === true) return [false, true, false];
  return filter.sagaName === undefined ? [true, false, false] : [false, true, true];
}

function cursorOf(after: string | undefined): [string | null, string | null] {
  return after === undefined ? [null, null] : [after, toTime(createdAtOf(after))];
}

function toSagaRow(row: TextRow): SagaRow {
  const text = (field: string) => row[field] ?? null;
  const number = (field: string) => (text(field) === null ? null : Number(text(field)));
  const sagaId = String(row["saga_id"]);
  const updatedAt = number("updated_at");
  must(updatedAt !== null, "a saga's row has a time");
  return {
    sagaId,
    sagaName: String(row["saga_name"]),
    version: Number(row["version"]),
    graphHash: String(row["graph_hash"]),
    status: row["status"] as SagaStatus,
    waitingFor: text("waiting_for") as WaitReason | null,
    parkedReason: text("parked_reason") as ParkReason | null,
    paused: row["paused"] === "true",
    tenantId: text("tenant_id"),
    correlationId: text("correlation_id"),
    parentId: text("parent_id"),
    attributes: JSON.parse(text("attributes") ?? "null") as Record<string, string> | null,
    error: text("error"),
    output: text("output"),
    owner: number("owner"),
    wakeAt: number("wake_at"),
    adoptions: Number(row["adoptions"]),
    createdAt: createdAtOf(sagaId),
    updatedAt,
    finishedAt: number("finished_at"),
  };
}
