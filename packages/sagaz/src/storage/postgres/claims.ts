import { SagaError } from "../../core/errors.ts";
import type { ClaimedSaga, StoredEvent } from "../../ports/storage.ts";
import { timeArray, uuidArray } from "./binary-arrays.ts";
import type { Statement, TextRow } from "./connection.ts";
import type { Database } from "./database.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";

/** Sagas that a claim may have taken although its commit was not answered, by epoch. */
export type DoubtfulClaims = Map<number, readonly string[]>;

/** Who claims. */
export interface Claimant {
  readonly database: Database;
  readonly doubtful: DoubtfulClaims;
  readonly epoch: number;
  /** Told where a claim stopped that has not seen all tenants. */
  readonly onStopped?: (at: string) => void;
}

/**
 * Claims in a transaction that is committed by hand: so it is known which sagas a claim has taken whose commit was not
 * answered. The next claim looks them up and hands them over; otherwise this worker would own sagas that it does not
 * know, and nobody would run them for as long as it lives.
 */
export async function claimSafely(claimant: Claimant, statement: Statement): Promise<readonly ClaimedSaga[]> {
  const recovered = await recoverDoubtful(claimant);
  if (recovered.length > 0) return recovered;
  const { database, doubtful, epoch } = claimant;
  let claimed: ClaimedSaga[] = [];
  try {
    await database.transact(async (connection) => {
      const rows = await connection.run(statement, { commits: false });
      claimed = toClaimed(database, rows);
      const stoppedAt = rows[0]?.["stopped_at"];
      if (typeof stoppedAt === "string") claimant.onStopped?.(stoppedAt);
    });
  } catch (error) {
    if (error instanceof SagaError && error.code === "SAGAZ_COMMIT_IN_DOUBT" && claimed.length > 0)
      doubtful.set(epoch, [...(doubtful.get(epoch) ?? []), ...claimed.map((saga) => saga.sagaId)]);
    throw error;
  }
  return claimed;
}

async function recoverDoubtful({ database, doubtful, epoch }: Claimant): Promise<readonly ClaimedSaga[]> {
  const sagaIds = doubtful.get(epoch);
  if (sagaIds === undefined) return [];
  await database.awaitWrites(epoch);
  const recovered = await readOwned(database, epoch, sagaIds);
  doubtful.delete(epoch);
  return recovered;
}

/** All that an epoch owns beside what it knows. That holds whatever a claim in doubt may have taken. */
export async function findForgotten(
  { database, doubtful, epoch }: Claimant,
  known: readonly string[],
): Promise<readonly ClaimedSaga[]> {
  if (doubtful.has(epoch)) await database.awaitWrites(epoch);
  const rows = await database.read({ text: database.sql.forgottenSagas, values: [epoch, uuidArray(known)] });
  const sagaIds = rows.map((row) => String(row["saga_id"]));
  const forgotten = sagaIds.length === 0 ? [] : await readOwned(database, epoch, sagaIds);
  doubtful.delete(epoch);
  return forgotten;
}

async function readOwned(
  database: Database,
  epoch: number,
  sagaIds: readonly string[],
): Promise<readonly ClaimedSaga[]> {
  const values = [epoch, uuidArray(sagaIds), timeArray(sagaIds.map(createdAtOf))];
  return toClaimed(database, await database.read({ text: database.sql.ownedSagas, values }));
}

/** Rows come ordered by saga and seq; a saga without events is one row without them, and no saga at all a row too. */
function toClaimed(database: Database, rows: readonly TextRow[]): ClaimedSaga[] {
  const claimed: (ClaimedSaga & { journal: StoredEvent[] })[] = [];
  let current: (typeof claimed)[number] | undefined;
  for (const row of rows) {
    if (row["saga_id"] === null) continue;
    const sagaId = String(row["saga_id"]);
    if (current?.sagaId !== sagaId) {
      current = {
        sagaId,
        adoptions: Number(row["adoptions"]),
        mailSeq: Number(row["mail_seq"]),
        journal: [],
      };
      claimed.push(current);
    }
    if (row["seq"] === null) continue;
    const event = toStoredEvent(row);
    database.noteAt(event.at);
    current.journal.push(event);
  }
  return claimed;
}

/** Reads an event back. */
export function toStoredEvent(row: TextRow): StoredEvent {
  return {
    seq: Number(row["seq"]),
    at: Number(row["at"]),
    type: String(row["type"]),
    step: row["step"] ?? null,
    data: String(row["data"]),
  };
}
