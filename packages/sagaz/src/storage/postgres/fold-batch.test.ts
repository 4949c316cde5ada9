import { expect, test } from "vitest";
import type { AppendEntry, StartRow } from "../../ports/storage.ts";
import { event, released, toEntry, toMail, toRow } from "../../testing/conformance/storage/material.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";
import { foldBatch } from "./fold-batch.ts";

const one = "019b76da-a800-7000-8000-000000000001";
const two = "019b76da-a800-7000-8000-000000000002";
/** The time in both ids. */
const createdAt = createdAtOf(one);
const fold = (...entries: AppendEntry[]) => foldBatch({ epoch: 1, entries });
const toStart = (sagaId: string, fields: Partial<StartRow> = {}): StartRow => ({
  sagaId,
  sagaName: "order",
  version: 1,
  graphHash: "h",
  tenantId: null,
  correlationId: null,
  owned: true,
  wakeAt: null,
  idempotencyKey: null,
  inputHash: null,
  attributes: null,
  parentId: null,
  started: event("saga_started"),
  ...fields,
});

test("entries of one saga become one change of its row, the last", () => {
  const folded = fold(
    toEntry(one, 2, { row: toRow({ error: "first" }) }),
    toEntry(one, 3),
    toEntry(one, 4, { events: [event("a"), event("b")], row: toRow({ error: "last" }) }),
  );
  expect(folded.changed).toEqual([
    { sagaId: one, createdAt, change: toRow({ error: "last" }), after: 1, wrote: true },
  ]);
  expect(folded.events.map(({ seq }) => seq)).toEqual([2, 3, 4, 5]);
  expect(folded.checked).toEqual([]);
});

test("a saga whose row stays as it is has its owner checked", () => {
  const folded = fold(toEntry(one, 2), toEntry(two, 7, { events: [], row: released(null) }));
  expect(folded.checked).toEqual([{ sagaId: one, createdAt, after: 1 }]);
  expect(folded.changed).toEqual([
    { sagaId: two, createdAt, change: released(null), after: 6, wrote: false },
  ]);
});

test("rows change in the order of their ids, whatever the order of the entries", () => {
  const folded = fold(toEntry(two, 2, { row: toRow() }), toEntry(one, 2, { row: toRow() }));
  expect(folded.changed.map(({ sagaId }) => sagaId)).toEqual([one, two]);
});

test("a gap between the entries of one saga is a conflict", () => {
  expect(() => fold(toEntry(one, 2), toEntry(one, 4))).toThrow(
    expect.objectContaining({ code: "SAGAZ_CONFLICT", details: { sagaId: one, seq: 4 } }) as Error,
  );
});

test("a saga that begins in the batch is inserted as the batch leaves it", () => {
  const folded = fold(
    toEntry(one, 1, { start: toStart(one), events: [event("saga_started")] }),
    toEntry(one, 2, { row: toRow({ status: "completed", finished: true }) }),
    toEntry(one, 3),
  );
  expect(folded.news).toMatchObject([{ start: { sagaId: one }, change: { status: "completed" } }]);
  expect([folded.changed, folded.checked]).toEqual([[], []]);
});

test("spawned sagas begin with their own first event; mail keeps its order", () => {
  const mails = [toMail(two), toMail(one)];
  const folded = fold(
    toEntry(one, 2, { spawns: [toStart(two, { owned: false })], mails, readMails: ["m1", "m2"] }),
  );
  expect(folded.events.map(({ saga }) => saga.sagaId)).toEqual([one, two]);
  expect(folded.events.map(({ seq }) => seq)).toEqual([2, 1]);
  expect(folded.mails).toEqual(mails);
  expect(folded.readMails).toEqual({ saga: [one, one], mail: ["m1", "m2"] });
});

test("a start with a key does not come this way", () => {
  expect(() => fold(toEntry(one, 1, { start: toStart(one, { idempotencyKey: "k" }) }))).toThrow(
    expect.objectContaining({ code: "SAGAZ_BUG" }) as Error,
  );
});
