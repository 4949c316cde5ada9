import { SagaError } from "../core/errors.ts";
import { fold } from "../core/saga/evolve.ts";
import type { JournalEntry } from "../core/saga/events.ts";
import type { SagaState } from "../core/saga/state.ts";
import type { SagaStorage } from "../ports/storage.ts";
import { fromStored } from "./entry.ts";

/** Reads a saga's history. @throws SagaError `SAGAZ_SAGA_NOT_FOUND`. */
export async function loadEvents(storage: SagaStorage, sagaId: string): Promise<readonly JournalEntry[]> {
  const journal = await storage.queries.journal(sagaId);
  if (journal.length === 0) throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId });
  return journal.map(fromStored);
}

/** Reads a saga's history and folds it. @throws SagaError `SAGAZ_SAGA_NOT_FOUND`. */
export async function load(storage: SagaStorage, sagaId: string): Promise<SagaState> {
  return fold(sagaId, await loadEvents(storage, sagaId));
}
