import type { SqlRunner } from "../../core/definition/context.ts";
import { must } from "../../core/must.ts";
import type { KeyedOutcome, StartRow } from "../../ports/storage.ts";
import { newSagaColumns } from "./append-columns.ts";
import { textArray } from "./binary-arrays.ts";
import type { TextRow } from "./connection.ts";
import type { NewRow } from "./fold-batch.ts";
import { toTime, type Database } from "./database.ts";
import { sqlStateOf, toSagaError } from "./errors.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";

/** How long a key may be held up by another start's commit; whoever holds it for longer is not waited for here. */
const lockMs = { together: 20, alone: 5 };
const lockNotAvailable = "55P03";

/**
 * Starts sagas by idempotency key, all in one transaction.
 *
 * When a key is held by somebody else's open transaction, the wait ends soon; then each start goes alone, so that only
 * those whose key is held are told to come back. A key that was found held is not tried again for the next start.
 */
export async function startKeyed(
  database: Database,
  epoch: number,
  starts: readonly StartRow[],
): Promise<readonly KeyedOutcome[]> {
  if (starts.length === 0) return [];
  const together = await tryStart(database, epoch, { starts, waitMs: lockMs.together });
  if (together !== "busy") return together;
  // One start needs no second try: it was this very one that had to wait.
  if (starts.length === 1) return [{ kind: "busy" }];
  const held = new Set<string>();
  const outcomes: KeyedOutcome[] = [];
  for (const start of starts) {
    const key = JSON.stringify([start.tenantId ?? "", start.sagaName, start.idempotencyKey]);
    const alone = held.has(key)
      ? "busy"
      : await tryStart(database, epoch, { starts: [start], waitMs: lockMs.alone });
    if (alone === "busy") held.add(key);
    outcomes.push(...(alone === "busy" ? [{ kind: "busy" } as const] : alone));
  }
  return outcomes;
}

async function tryStart(
  database: Database,
  epoch: number,
  { starts, waitMs }: { starts: readonly StartRow[]; waitMs: number },
): Promise<readonly KeyedOutcome[] | "busy"> {
  const values = [
    starts.some((start) => start.owned) ? epoch : null,
    database.now(),
    database.floor(),
    waitMs,
    textArray(starts.map((start) => start.idempotencyKey)),
    textArray(starts.map((start) => start.inputHash)),
    newSagaColumns(starts.map(toNewRow)),
    textArray(starts.map((start) => start.started.type)),
    textArray(starts.map((start) => start.started.data)),
    database.unknownDefinitions(starts),
  ];
  try {
    const rows = await database.starts.run(
      { text: database.sql.startKeyed, values },
      { commits: true, lockMs: waitMs },
    );
    database.noteDefinitions(starts);
    return starts.map((start, n) => toOutcome(start, rows[n]));
  } catch (error) {
    if (sqlStateOf(error) === lockNotAvailable) return "busy";
    throw error;
  }
}

function toNewRow(start: StartRow): NewRow {
  return { createdAt: createdAtOf(start.sagaId), start, change: undefined };
}

function toOutcome({ sagaId }: StartRow, row: TextRow | undefined): KeyedOutcome {
  must(row !== undefined, "a keyed start is answered");
  if (row["is_new"] === "true") return { kind: "started", sagaId };
  return { kind: "existing", sagaId: String(row["saga_id"]), sameInput: row["same_input"] === "true" };
}

/** Starts one saga through the caller's transaction: one function call with text parameters, which any driver can send. */
export async function startIn(database: Database, tx: SqlRunner, start: StartRow): Promise<KeyedOutcome> {
  const text = JSON.stringify({
    saga: start.sagaId,
    created: toTime(createdAtOf(start.sagaId)),
    name: start.sagaName,
    version: start.version,
    hash: start.graphHash,
    tenant: start.tenantId,
    correlation: start.correlationId,
    parent: start.parentId,
    attributes: start.attributes,
    wake: start.wakeAt === null ? null : toTime(start.wakeAt),
    key: start.idempotencyKey,
    input_hash: start.inputHash,
    type: start.started.type,
    data: start.started.data,
  });
  try {
    const [row] = await tx(database.sql.startIn, [text, database.now()]);
    // By its place: a library of the user's may call the column by another name, in camel case say.
    return JSON.parse(String(Object.values(row ?? {})[0])) as KeyedOutcome;
  } catch (error) {
    // Whatever went wrong, it is in the caller's transaction: nothing of ours was committed.
    throw toSagaError(error, { commits: false });
  }
}
