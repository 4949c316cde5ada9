import { expect, test } from "vitest";
import { silentLog } from "../ports/log.ts";
import type { AppendBatch, SagaStorage } from "../ports/storage.ts";
import { toEntry } from "../testing/conformance/storage/material.ts";
import { JournalWriter } from "./journal-writer.ts";
import { systemClock } from "./system.ts";

/** A writer whose batches are kept, and how to hear that all was written. */
function open() {
  const batches: AppendBatch[] = [];
  const append = async (batch: AppendBatch) => {
    batches.push(batch);
    return { at: 0 };
  };
  const writer = new JournalWriter({
    storage: { journal: { append } } as unknown as SagaStorage,
    clock: systemClock,
    log: silentLog,
    epoch: 1,
    held: { held: () => [], lost: () => {}, fenced: () => {} },
    publisher: undefined,
  });
  return { writer, batches };
}

const idOf = (n: number) => `019b76da-a800-7000-8000-${String(n).padStart(12, "0")}`;
const ofBytes = (bytes: number) => [{ type: "step_done", step: "a", data: "x".repeat(bytes) }];

test("what no longer fits into a batch is not overtaken by what is smaller: a saga's entries stay in order", async () => {
  const { writer, batches } = open();
  const saga = idOf(1);
  writer.submit(toEntry(idOf(2), 2, { events: ofBytes(3_000_000) }), () => {});
  writer.submit(toEntry(saga, 2, { events: ofBytes(3_000_000) }), () => {});
  writer.submit(toEntry(saga, 3, { events: ofBytes(10) }), () => {});
  await writer.drained();
  const written = batches.flatMap(({ entries }) => entries.filter(({ sagaId }) => sagaId === saga));
  expect(written.map(({ firstSeq }) => firstSeq)).toEqual([2, 3]);
  expect(batches.length).toBeGreaterThan(1);
});

test("a long queue goes out in two halves, a short one at once", async () => {
  for (const [entries, sizes] of [
    [31, [31]],
    [32, [16, 16]],
  ] as const) {
    const { writer, batches } = open();
    for (let n = 0; n < entries; n++) writer.submit(toEntry(idOf(n), 2), () => {});
    await writer.drained();
    expect(batches.map((batch) => batch.entries.length)).toEqual(sizes);
  }
});
