import type { AddedEvents } from "../../ports/outbox.ts";

/** Answers of the statements that add held events: one for each that held any. */
type AddedRows = readonly Readonly<Record<string, unknown>>[];

/** What they say. `found` is told the lowest id that is pending, or that is one of theirs. */
export function toAdded(rows: AddedRows, found: (lowest: number) => void): AddedEvents {
  const ids = rows.flatMap(({ ids: some }) => toIds(some));
  const lowest = rows.map(({ lowest: one }) => Number(one ?? Infinity));
  if (ids.length > 0) found(Math.min(...lowest, ...ids));
  // Of some of them nothing was answered: they are not for the caller to send, whatever else was added before.
  const isOurs = rows.every(({ ids: some }) => typeof some === "string");
  return {
    ids: isOurs ? ids : [],
    createdAt: Number(rows[0]?.["added_at"] ?? 0),
    behind: rows.flatMap(({ behind }) => toIds(behind)),
  };
}

function toIds(json: unknown): readonly number[] {
  return typeof json === "string" ? (JSON.parse(json) as number[]) : [];
}
