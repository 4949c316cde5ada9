import { expect, test } from "vitest";
import type { AppendEntry, StartRow } from "../../ports/storage.ts";
import { event, released, toEntry, toMail, toRow } from "../../testing/conformance/material.ts";
import { foldBatch } from "./fold-batch.ts";

const one = "019b76da-a800-7000-8000-000000000001";
const two = "019b76da-a800-7000-8000-000000000002";
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
  expect([...folded.changes]).toEqual([[one, toRow({ error: "last" })]]);
  expect(folded.events.seq).toEqual([2, 3, 4, 5]);
  expect([...folded.checks]).toEqual([]);
  expect([...folded.wrote]).toEqual([one]);
});

test("a saga whose row stays as it is has its owner checked", () => {
  const folded = fold(toEntry(one, 2), toEntry(two, 2, { events: [], row: released(null) }));
  expect([[...folded.checks], [...folded.changes.keys()], [...folded.wrote]]).toEqual([[one], [two], [one]]);
});

test("a saga that begins in the batch is inserted as the batch leaves it", () => {
  const folded = fold(
    toEntry(one, 1, { start: toStart(one), events: [event("saga_started")] }),
    toEntry(one, 2, { row: toRow({ status: "completed", finished: true }) }),
    toEntry(one, 3),
  );
  expect(folded.news.get(one)?.change?.status).toBe("completed");
  expect([folded.changes.size, folded.checks.size]).toEqual([0, 0]);
});

test("spawned sagas begin with their own first event; mail keeps its order", () => {
  const mails = [toMail(two), toMail(one)];
  const folded = fold(
    toEntry(one, 2, { spawns: [toStart(two, { owned: false })], mails, readMails: ["m1", "m2"] }),
  );
  expect(folded.events.saga).toEqual([one, two]);
  expect(folded.events.seq).toEqual([2, 1]);
  expect(folded.mails).toEqual(mails);
  expect(folded.readMails).toEqual({ saga: [one, one], mail: ["m1", "m2"] });
});

test("a start with a key does not come this way", () => {
  expect(() => fold(toEntry(one, 1, { start: toStart(one, { idempotencyKey: "k" }) }))).toThrow(
    expect.objectContaining({ code: "SAGAZ_BUG" }) as Error,
  );
});
