import { SagaError } from "../../core/errors.ts";
import type { KeyedOutcome, StartRow } from "../../ports/storage.ts";
import { checkStart } from "./checks.ts";
import { insertStart } from "./rows.ts";
import type { Tables } from "./tables.ts";

/** Starts with idempotency keys, the worker that they are for, and what tells whether another holds a key just now. */
export interface KeyedStarts {
  readonly epoch: number;
  readonly starts: readonly StartRow[];
  readonly isHeld: (start: StartRow) => boolean;
}

/** Starts sagas with idempotency keys, in their order; all are checked before the first is written. */
export function startKeyed(tables: Tables, { epoch, starts, isHeld }: KeyedStarts): readonly KeyedOutcome[] {
  tables.getWorker(epoch);
  const now = tables.now();
  for (const start of starts) checkStart(start, now);
  const fresh = starts.filter((start) => !findByKey(tables, start));
  for (const { sagaId } of fresh) {
    if (tables.journals.has(sagaId)) throw new SagaError("SAGAZ_CONFLICT", { sagaId, seq: 1 });
  }
  return starts.map((start): KeyedOutcome => {
    const existing = findByKey(tables, start);
    if (existing) return existing;
    if (isHeld(start)) return { kind: "busy" };
    return commitStart(tables, start, { epoch, at: now });
  });
}

/** The saga that has a start's key, if one has. */
export function findByKey(tables: Tables, start: StartRow): KeyedOutcome | undefined {
  const holder = tables.keys.get(toKey(start) ?? "");
  return (
    holder && { kind: "existing", sagaId: holder.sagaId, sameInput: holder.inputHash === start.inputHash }
  );
}

/** Writes a start whose key is free. */
export function commitStart(
  tables: Tables,
  start: StartRow,
  by: { readonly epoch: number | null; readonly at: number },
): KeyedOutcome {
  const { sagaId, inputHash } = start;
  const key = toKey(start);
  if (key !== undefined) tables.keys.set(key, { sagaId, inputHash });
  insertStart(tables, start, { ...by, withEvent: true });
  return { kind: "started", sagaId };
}

/** A key belongs to its tenant and its saga name; undefined for a start without one. */
export function toKey({ tenantId, sagaName, idempotencyKey }: StartRow): string | undefined {
  return idempotencyKey === null ? undefined : JSON.stringify([tenantId ?? "", sagaName, idempotencyKey]);
}
