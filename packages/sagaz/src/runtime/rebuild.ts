import { fold } from "../core/saga/evolve.ts";
import type { SagaState } from "../core/saga/state.ts";
import { createdAtOf } from "../core/saga/saga-id.ts";
import { isEnded } from "../core/saga/status.ts";
import type { WaitReason } from "../core/saga/status.ts";
import type { ProjectedRow, SagaRow, SagaStorage } from "../ports/storage.ts";
import { fromStored, toRowChange } from "./entry.ts";

/** How to rebuild. */
export interface RebuildOptions {
  /** Sagas read and written at a time. Default 200. */
  readonly pageSize?: number;
  /** Called after each page with the numbers so far. */
  readonly onProgress?: (report: RebuildReport) => void;
}

/** What a rebuild did. */
export interface RebuildReport {
  /** Rows written. */
  readonly rebuilt: number;
  /** Sagas whose journal breaks a rule: their rows were left as they are. */
  readonly broken: readonly { readonly sagaId: string; readonly why: string }[];
}

/** A saga that is written to all the time is read again this often; then its own next write puts its row right. */
const TRIES_MAX = 5;

/**
 * Writes the rows that lists read anew from the journals, which are what counts. Rows that exist keep their owner, their
 * mail and their wake-up; missing ones come back, and what is unfinished can be claimed at once.
 *
 * Safe while sagas run, and safe twice: a saga that was written to meanwhile is read again.
 *
 * @throws SagaError `SAGAZ_STORAGE_UNAVAILABLE` and the like; what was rebuilt until then stays.
 */
export async function rebuildProjections(
  storage: SagaStorage,
  { pageSize = 200, onProgress }: RebuildOptions = {},
): Promise<RebuildReport> {
  let rebuilt = 0;
  const broken: { sagaId: string; why: string }[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await storage.queries.journalled({ after, limit: pageSize });
    if (page.length === 0) return { rebuilt, broken };
    const failed = await rebuildPage(storage, page);
    broken.push(...failed);
    rebuilt += page.length - failed.length;
    onProgress?.({ rebuilt, broken: [...broken] });
    after = page.at(-1);
  }
}

/** Between reading a journal and writing its row the saga may have gone on: then the row is already out of date. */
async function rebuildPage(
  storage: SagaStorage,
  page: readonly string[],
): Promise<{ sagaId: string; why: string }[]> {
  const broken: { sagaId: string; why: string }[] = [];
  let open = page;
  for (let tries = 0; open.length > 0 && tries < TRIES_MAX; tries++) {
    const seqs = new Map<string, number>();
    const rows: ProjectedRow[] = [];
    for (const sagaId of open) {
      const read = await project(storage, sagaId);
      if ("why" in read) broken.push({ sagaId, why: read.why });
      else {
        rows.push(read.row);
        seqs.set(sagaId, read.seq);
      }
    }
    await storage.upkeep.writeProjections(rows);
    const tails = await storage.journal.tails([...seqs.keys()]);
    open = tails.filter(({ sagaId, seq }) => seq !== seqs.get(sagaId)).map(({ sagaId }) => sagaId);
  }
  return broken;
}

async function project(
  storage: SagaStorage,
  sagaId: string,
): Promise<{ readonly row: ProjectedRow; readonly seq: number } | { readonly why: string }> {
  const journal = await storage.queries.journal(sagaId);
  const known = await storage.queries.find(sagaId);
  try {
    const state = fold(sagaId, journal.map(fromStored));
    return { row: toProjectedRow(state, known), seq: state.seq };
  } catch (error) {
    return { why: String(error) };
  }
}

function toProjectedRow(state: SagaState, known: SagaRow | undefined): ProjectedRow {
  const { sagaId, started } = state;
  const { status, parkedReason, paused, error, output } = toRowChange(state, {
    waitingFor: null,
    release: undefined,
  });
  return {
    sagaId,
    sagaName: started.name,
    version: started.version,
    graphHash: started.graphHash,
    status,
    waitingFor: waitingFor(state, known),
    parkedReason,
    paused,
    tenantId: started.tenantId ?? null,
    correlationId: started.correlationId ?? null,
    parentId: started.parent?.sagaId ?? null,
    attributes: started.attributes ?? null,
    error,
    output,
    createdAt: createdAtOf(sagaId),
    updatedAt: state.at,
    finishedAt: isEnded(status) ? (state.finishedAt ?? state.at) : null,
    wakeAt: wakeAt(state),
  };
}

/** What a running saga waits for is not in its journal; a row that still fits it knows. */
function waitingFor(state: SagaState, known: SagaRow | undefined): WaitReason | null {
  if (state.parked || state.pausedAt !== undefined) return "operator";
  if (state.status === "pending") return "start";
  return known?.status === state.status ? known.waitingFor : null;
}

/** A missing row's saga is looked at as soon as it may run; what waits for a person waits for mail. */
function wakeAt(state: SagaState): number | null {
  if (isEnded(state.status) || state.status === "parked" || state.pausedAt !== undefined) return null;
  return Math.max(state.createdAt, state.started.startAt ?? 0);
}
