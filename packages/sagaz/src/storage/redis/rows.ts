import { createdAtOf } from "../../core/saga/saga-id.ts";
import type { SagaStatus } from "../../core/saga/status.ts";
import type {
  EventRow,
  ProjectedRow,
  RowChange,
  SagaRow,
  StartRow,
  StoredEvent,
} from "../../ports/storage.ts";
import { toAttributes } from "./checks.ts";

type Fixed = Pick<
  SagaRow,
  "sagaName" | "version" | "graphHash" | "tenantId" | "correlationId" | "parentId" | "attributes"
>;
type Changing = Pick<SagaRow, "waitingFor" | "parkedReason" | "paused" | "error" | "output">;

/** The name of a definition among our keys: no two share one, and there is no space in it. */
export function toDef({
  sagaName,
  version,
}: {
  readonly sagaName: string;
  readonly version: number;
}): string {
  return `${version}:${encodeURIComponent(sagaName.toWellFormed())}`;
}

/** The definition of a name. */
export function fromDef(def: string): { readonly sagaName: string; readonly version: number } {
  const [version = "", name = ""] = def.split(":");
  return { sagaName: decodeURIComponent(name), version: Number(version) };
}

/** What a script needs to know of a start. */
export function toStart(start: StartRow) {
  const { tenantId, correlationId, owned, wakeAt } = start;
  return {
    def: toDef(start),
    tenant: tenantId?.toWellFormed() ?? undefined,
    corr: correlationId?.toWellFormed() ?? undefined,
    owned,
    wake: wakeAt ?? undefined,
  };
}

/** What of a saga's row never changes. */
export function toFixed(start: StartRow): string {
  return JSON.stringify(pickFixed({ ...start, attributes: toAttributes(start.attributes) }));
}

/** Scripts read it: they know no half of a surrogate pair. */
function pickFixed(row: Fixed): Fixed {
  const { sagaName, version, graphHash, tenantId, correlationId, parentId, attributes } = row;
  return {
    sagaName: sagaName.toWellFormed(),
    version,
    graphHash: graphHash.toWellFormed(),
    tenantId: tenantId?.toWellFormed() ?? null,
    correlationId: correlationId?.toWellFormed() ?? null,
    parentId,
    attributes: attributes && toWellFormed(attributes),
  };
}

function toWellFormed(texts: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(texts).map((pair) => pair.map((text) => text.toWellFormed())));
}

/** What of a saga's row changes, and is not searched for; empty when there is nothing to say. */
export function toChanging({
  waitingFor,
  parkedReason,
  paused,
  error,
  output,
}: RowChange | ProjectedRow): string {
  const said = Object.entries({ waitingFor, parkedReason, paused: paused || null, error, output }).filter(
    ([, value]) => value !== null,
  );
  return said.length === 0 ? "" : JSON.stringify(Object.fromEntries(said));
}

/** What a script needs to know of a projected row. */
export function toProjected(row: ProjectedRow) {
  return {
    id: row.sagaId,
    def: toDef(row),
    tenant: row.tenantId?.toWellFormed() ?? undefined,
    corr: row.correlationId?.toWellFormed() ?? undefined,
    wake: row.wakeAt ?? undefined,
    status: row.status,
    reason: row.parkedReason ?? "",
    finished: row.finishedAt ?? undefined,
    updated: row.updatedAt,
  };
}

/** What of a projected row never changes. */
export function toProjectedFixed(row: ProjectedRow): string {
  return JSON.stringify(pickFixed(row));
}

/** A row as the script answers it: the id, the row as it is kept, and what never changes. */
export type RowAnswer = readonly [sagaId: string, kept: string, fixed: string];

/** A row for users. What it is made of is told where scripts read it. */
export function fromRow([sagaId, kept, fixed]: RowAnswer): SagaRow {
  const [owner, wake, adoptions, , , , status, , updated, finished, , changing] = kept.split("\0");
  return {
    sagaId,
    ...(JSON.parse(fixed) as Fixed),
    status: status as SagaStatus,
    waitingFor: status === "pending" ? "start" : null,
    parkedReason: null,
    paused: false,
    error: null,
    output: null,
    ...(JSON.parse(changing || "{}") as Partial<Changing>),
    owner: toNumber(owner),
    wakeAt: toNumber(wake),
    adoptions: Number(adoptions),
    createdAt: createdAtOf(sagaId),
    updatedAt: Number(updated),
    finishedAt: toNumber(finished),
  };
}

function toNumber(text: string | undefined): number | null {
  return text === "" || text === undefined ? null : Number(text);
}

/** An event as it is kept: no text in it has a NUL. */
export function toKept({ type, step, data }: EventRow): string {
  return `${type}\0${step === null ? "" : `:${step}`}\0${data}`;
}

/** An entry of a journal: the time and the event. */
export function fromKept(kept: string, seq: number): StoredEvent {
  const space = kept.indexOf(" ");
  const first = kept.indexOf("\0", space);
  const second = kept.indexOf("\0", first + 1);
  const step = kept.slice(first + 1, second);
  return {
    seq,
    at: Number(kept.slice(0, space)),
    type: kept.slice(space + 1, first),
    step: step === "" ? null : step.slice(1),
    data: kept.slice(second + 1),
  };
}
