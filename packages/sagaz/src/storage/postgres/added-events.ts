import type { AddedEvent } from "../../ports/outbox.ts";

/** Answers of the statements that add held events: one of each. */
type AddedRows = readonly Readonly<Record<string, unknown>>[];

/** What they say. `found` is told up to which id nothing else is pending, as far as they have looked. */
export function toAdded(rows: AddedRows, found: (lowest: number) => void): readonly AddedEvent[] {
  // Of one of them nothing was answered: they are not for the caller to send, whatever else was added before.
  if (!rows.every(({ ids }) => typeof ids === "string")) return [];
  const added: AddedEvent[] = [];
  for (const { ids: all, added_at, behind: some, lowest } of rows) {
    const ids = toIds(all);
    const behind = new Set(toIds(some));
    for (const id of ids) added.push({ id, createdAt: Number(added_at), isFree: !behind.has(id) });
    const [first = Infinity] = ids;
    found(Math.min(first, Number(lowest ?? Infinity)));
  }
  return added;
}

function toIds(json: unknown): readonly number[] {
  return typeof json === "string" ? (JSON.parse(json) as number[]) : [];
}
