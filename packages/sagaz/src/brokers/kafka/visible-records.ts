import type { RecordsBatch } from "./driver.ts";

/** A stored message, and its place in its partition. */
export interface PlacedRecord {
  readonly offset: bigint;
  readonly record: RecordsBatch["records"][number];
}

/** A transaction that was aborted after it had written. */
export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
}

const isTransactional = 0b1_0000;
const isControl = 0b10_0000;
const abortMark = 0;

/**
 * What of fetched batches is for receivers, from an offset on: neither marks of transactions, nor what was written in
 * transactions that were aborted. `next` is the offset after all that was fetched.
 */
export function visibleRecords(
  batches: readonly RecordsBatch[],
  aborted: readonly AbortedTransaction[],
  from: bigint,
): { readonly records: readonly PlacedRecord[]; readonly next: bigint } {
  const records: PlacedRecord[] = [];
  const hidden = new HiddenWrites(aborted);
  let next = from;
  for (const batch of batches) {
    const end = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n;
    if (end > next) next = end;
    if (hidden.hides(batch, end)) continue;
    for (const record of batch.records) {
      const offset = batch.firstOffset + BigInt(record.offsetDelta);
      if (offset >= from) records.push({ offset, record });
    }
  }
  return { records, next };
}

/** Follows a partition's batches in order. */
class HiddenWrites {
  /** Those that begin further on, the next one first. */
  readonly #toCome: AbortedTransaction[];
  /** Producers that are in a transaction which was aborted. */
  readonly #aborting = new Set<bigint>();

  constructor(aborted: readonly AbortedTransaction[]) {
    this.#toCome = [...aborted].sort((one, two) => (one.firstOffset < two.firstOffset ? -1 : 1));
  }

  hides(batch: RecordsBatch, end: bigint): boolean {
    for (let first = this.#toCome[0]; first && first.firstOffset < end; first = this.#toCome[0]) {
      this.#aborting.add(first.producerId);
      this.#toCome.shift();
    }
    if (batch.attributes & isControl) {
      if (markOf(batch) === abortMark) this.#aborting.delete(batch.producerId);
      return true;
    }
    return (batch.attributes & isTransactional) !== 0 && this.#aborting.has(batch.producerId);
  }
}

/** The kind of a mark: its key is a version and a kind. */
function markOf({ records }: RecordsBatch): number | undefined {
  return records[0]?.key?.readInt16BE(2);
}
