import type { ParkReason } from "../core/saga/events.ts";
import type { SagaStatus, WaitReason } from "../core/saga/status.ts";
import type { StoredEvent } from "./event-row.ts";

/** Reads for users: never used by a decision of the engine. */
export interface QueryStore {
  find(sagaId: string): Promise<SagaRow | undefined>;
  /** The journal from a seq on (default 1), at most `limit` entries (default all). */
  journal(
    sagaId: string,
    range?: { readonly from?: number; readonly limit?: number },
  ): Promise<readonly StoredEvent[]>;
  /** One page, newest first: a full one, unless it is the last, however rare what is asked for is. */
  list(filter: SagaFilter): Promise<SagaPage>;
  /** Statuses of those of these sagas that have ended or are parked: how `result()` waits. */
  ended(
    sagaIds: readonly string[],
  ): Promise<readonly { readonly sagaId: string; readonly status: SagaStatus }[]>;
  /** Sagas by name, version and status, unfinished ones exact; ended ones of the last `sinceMs` only. */
  counts(sinceMs: number): Promise<readonly SagaCount[]>;
  /** The journal's sagas in order of id: how projections are rebuilt. */
  journalled(range: {
    readonly after: string | undefined;
    readonly limit: number;
  }): Promise<readonly string[]>;
}

/** What to list. All conditions must hold. */
export interface SagaFilter {
  readonly sagaName?: string;
  readonly status?: readonly SagaStatus[];
  readonly tenantId?: string;
  readonly correlationId?: string;
  readonly parkedReason?: ParkReason;
  readonly paused?: boolean;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly createdFrom?: number;
  readonly createdBefore?: number;
  /** At most 1,000. */
  readonly limit: number;
  /** Where the last page ended. */
  readonly after?: string;
}

/** A page of a list. */
export interface SagaPage {
  readonly sagas: readonly SagaRow[];
  /** Pass as `after` for the next page; undefined at the end. */
  readonly next: string | undefined;
}

/** A saga's row as lists show it. */
export interface SagaRow {
  readonly sagaId: string;
  readonly sagaName: string;
  readonly version: number;
  readonly graphHash: string;
  readonly status: SagaStatus;
  readonly waitingFor: WaitReason | null;
  readonly parkedReason: ParkReason | null;
  readonly paused: boolean;
  readonly tenantId: string | null;
  readonly correlationId: string | null;
  readonly parentId: string | null;
  readonly attributes: Readonly<Record<string, string>> | null;
  readonly error: string | null;
  readonly output: string | null;
  readonly owner: number | null;
  readonly wakeAt: number | null;
  readonly adoptions: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly finishedAt: number | null;
}

/** See {@link QueryStore.counts}. */
export interface SagaCount {
  readonly sagaName: string;
  readonly version: number;
  readonly status: SagaStatus;
  readonly count: number;
}
