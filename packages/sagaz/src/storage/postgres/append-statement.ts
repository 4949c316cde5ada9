import type { AppendBatch, StartRow } from "../../ports/storage.ts";
import { toColumns } from "./append-columns.ts";
import type { Statement } from "./connection.ts";
import { timeValue } from "./binary-arrays.ts";
import type { Database } from "./database.ts";
import { foldBatch, type FoldedBatch } from "./fold-batch.ts";

/**
 * The one statement that writes a batch.
 *
 * @throws SagaError `SAGAZ_CLOCK_SKEW`, `SAGAZ_INVALID_ID`: before anything is sent.
 */
export function toStatement(
  database: Database,
  batch: AppendBatch,
): { readonly statement: Statement; readonly folded: FoldedBatch } {
  const folded = foldBatch(batch);
  for (const { start, createdAt } of folded.news) database.checkSkew(start.sagaId, createdAt);
  const values = [
    batch.epoch,
    database.now(),
    database.floor(),
    ...rangeOf(folded),
    ...toColumns(folded),
    database.unknownDefinitions(startsOf(folded)),
  ];
  return { statement: { text: database.sql.appendBatch, values }, folded };
}

/** The new sagas of a batch. */
export function* startsOf(folded: FoldedBatch): Iterable<StartRow> {
  for (const { start } of folded.news) yield start;
}

/** The oldest and the youngest saga whose row is looked at. */
function rangeOf({ changed, checked }: FoldedBatch): [from: Buffer | null, to: Buffer | null] {
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (const sagas of [changed, checked]) {
    for (const { createdAt } of sagas) {
      if (createdAt < from) from = createdAt;
      if (createdAt > to) to = createdAt;
    }
  }
  return from > to ? [null, null] : [timeValue(from), timeValue(to)];
}
