import type { AppendEntry, Tail } from "../ports/storage.ts";

/** What is stored says about an entry whose commit is in doubt. `lost`: the saga is somebody else's, or its tail is gone. */
export type Verdict = "written" | "not written" | "lost";

/**
 * Judges one entry by the end of its saga's stored journal.
 *
 * All events of an entry commit together, so the stored seq tells whether it did; that they are ours and not another
 * owner's under the same numbers is told by the owner, which only a takeover or our own release changes.
 */
export function judge(
  entry: AppendEntry,
  { tail, ackedSeq, epoch }: { tail: Tail | undefined; ackedSeq: number; epoch: number },
): Verdict {
  const seq = tail?.seq ?? 0;
  if (seq < ackedSeq) return "lost";
  const holder = toHolder(entry, tail, epoch);
  if (isLastStored(entry, seq)) return holder === "others" ? "lost" : "written";
  if (holder === "us") return "not written";
  return holder === "nobody, as we wrote" && entry.events.length === 0 ? "written" : "lost";
}

/** Who has the saga: nobody is as good as us when the entry itself gave it up. A saga without a tail is yet to start. */
function toHolder(
  { row }: AppendEntry,
  tail: Tail | undefined,
  epoch: number,
): "us" | "nobody, as we wrote" | "others" {
  if (!tail || tail.owner === epoch) return "us";
  return tail.owner === null && row?.release ? "nobody, as we wrote" : "others";
}

function isLastStored({ firstSeq, events }: AppendEntry, seq: number): boolean {
  return events.length > 0 && seq >= firstSeq + events.length - 1;
}
