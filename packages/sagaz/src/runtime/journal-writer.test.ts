import { expect, test } from "vitest";
import { silentLog } from "../ports/log.ts";
import { SagaError } from "../core/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { AppendBatch, AppendEntry, SagaStorage, Tail } from "../ports/storage.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { toEntry } from "../testing/conformance/storage/material.ts";
import { JournalWriter } from "./journal-writer.ts";
import { systemClock } from "./system.ts";

/** What may go wrong; what the process holds; by which clock. */
interface Given {
  /** Thrown by the writes, one by one; those after them succeed. */
  readonly troubles?: readonly unknown[];
  readonly tails?: () => Promise<readonly Tail[]>;
  readonly held?: readonly { readonly sagaId: string; readonly ackedSeq: number }[];
  readonly clock?: Clock;
}

/** A writer whose batches are kept, what its entries and its sagas hear, and how to hear that all was written. */
function open({ troubles = [], tails = async () => [], held = [], clock = systemClock }: Given = {}) {
  const batches: AppendBatch[] = [];
  const heard: unknown[] = [];
  const lost: string[] = [];
  const append = async (batch: AppendBatch) => {
    batches.push(batch);
    if (batches.length <= troubles.length) throw troubles[batches.length - 1];
    return { at: 0 };
  };
  const writer = new JournalWriter({
    storage: { journal: { append, tails } } as unknown as SagaStorage,
    clock,
    log: silentLog,
    epoch: 1,
    held: { held: () => held, lost: (sagaId) => void lost.push(sagaId), fenced: () => {} },
    publisher: undefined,
  });
  const submit = (entry: AppendEntry) =>
    writer.submit(entry, (error) => void heard.push(error?.code ?? "written"));
  return { writer, batches, heard, lost, submit };
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

const inDoubt = new SagaError("SAGAZ_COMMIT_IN_DOUBT", { message: "cut off" });
const away = new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "away" });

test("what waits when the writer is closed hears why, and so does what comes after", async () => {
  const { writer, batches, heard, submit } = open({ clock: new FakeClock() });
  submit(toEntry(idOf(1), 2));
  expect(writer.waiting).toBe(1);
  writer.close(new SagaError("SAGAZ_STOPPED", {}));
  submit(toEntry(idOf(2), 2));
  writer.close(away); // the first reason stays
  submit(toEntry(idOf(3), 2));
  await writer.drained();
  expect(heard).toEqual(["SAGAZ_STOPPED", "SAGAZ_STOPPED", "SAGAZ_STOPPED"]);
  expect(batches).toEqual([]);
});

test("an error that is none of ours is a refusal, of which the others of the batch hear nothing", async () => {
  const { writer, heard, submit } = open({
    troubles: [new TypeError("a bug in a driver"), new TypeError("the same bug")],
  });
  submit(toEntry(idOf(1), 2));
  submit(toEntry(idOf(2), 2));
  await writer.drained();
  expect(heard).toEqual(["SAGAZ_STORAGE_REFUSED", "written"]);
});

test("after an outage a saga whose journal is gone, or shorter than was on record, is lost", async () => {
  const [here, shorter, gone, writing] = [1, 2, 3, 4].map(idOf) as [string, string, string, string];
  const clock = new FakeClock();
  const { batches, heard, lost, submit } = open({
    clock,
    troubles: [away],
    held: [here, shorter, gone].map((sagaId) => ({ sagaId, ackedSeq: 5 })),
    tails: async () => [
      { sagaId: here, seq: 5, owner: 1 },
      { sagaId: shorter, seq: 4, owner: 1 },
    ],
  });
  submit(toEntry(writing, 2));
  await clock.runUntil(() => heard.length > 0);
  expect(heard).toEqual(["written"]);
  expect(lost).toEqual([shorter, gone]);
  expect(batches).toHaveLength(2);
});

test("a writer that is closed before it could look up what is in doubt does not say that it was not written", async () => {
  const clock = new FakeClock();
  let looks = 0;
  const { writer, batches, heard, submit } = open({
    clock,
    troubles: [inDoubt],
    tails: async () => {
      looks += 1;
      throw away;
    },
  });
  submit(toEntry(idOf(1), 2));
  await clock.runUntil(() => looks === 3);
  expect(heard).toEqual([]);
  writer.close(new SagaError("SAGAZ_STOPPED", {}));
  await clock.runUntil(() => heard.length > 0);
  expect(heard).toEqual(["SAGAZ_COMMIT_IN_DOUBT"]);
  expect(batches).toHaveLength(1);
  await writer.drained();
});
