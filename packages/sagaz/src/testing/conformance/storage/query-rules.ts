import { deepEqual, equal } from "node:assert/strict";
import type { SagaFilter } from "../../../ports/storage.ts";
import { given } from "../given.ts";
import {
  ORDER,
  advance,
  append,
  begin,
  beginUnowned,
  event,
  idsOf,
  newId,
  register,
  released,
  rowOf,
  toEntry,
  toRow,
  toStart,
  toStartEntry,
} from "./material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule, StorageUnderTest } from "./storage-rule.ts";

/** Reads for lists, consoles and waiting callers. */
export const queryRules: readonly StorageRule[] = [
  rule("find: shows every field of a saga's row, and undefined for an unknown one", async (t) => {
    const epoch = await register(t.storage);
    const created = t.now();
    const parentId = newId(t);
    const start = toStart(t, {
      tenantId: "shop",
      correlationId: "c-1",
      attributes: '{"region":"eu"}',
      parentId,
    });
    advance(t, 10);
    const { at: started } = await append({ storage: t.storage, epoch }, toStartEntry(start));
    const fresh = {
      sagaId: start.sagaId,
      sagaName: ORDER.sagaName,
      version: ORDER.version,
      graphHash: ORDER.graphHash,
      status: "running",
      waitingFor: null,
      parkedReason: null,
      paused: false,
      tenantId: "shop",
      correlationId: "c-1",
      parentId,
      attributes: { region: "eu" },
      error: null,
      output: null,
      owner: epoch,
      wakeAt: null,
      adoptions: 0,
      createdAt: created,
      updatedAt: started,
      finishedAt: null,
    };
    const row = await rowOf(t.storage, start.sagaId);
    deepEqual({ ...row, attributes: { ...row.attributes } }, fresh);
    equal(await t.storage.queries.find(newId(t)), undefined);
  }),

  rule("find: shows how a saga ended", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const before = await rowOf(t.storage, sagaId);
    advance(t, 10);
    const row = released(null, {
      status: "completed",
      output: '{"ok":true}',
      finished: true,
      waitingFor: null,
    });
    const { at } = await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { row }));
    const ended = { status: "completed", output: '{"ok":true}', owner: null, updatedAt: at, finishedAt: at };
    deepEqual(await rowOf(t.storage, sagaId), { ...before, ...ended });
  }),

  rule("journal reads: from a seq on, at most so many", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const events = Array.from({ length: 9 }, (_, n) => event("step_done", "{}", `s${n}`));
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { events }));
    const seqs = async (range?: { from?: number; limit?: number }) =>
      (await t.storage.queries.journal(sagaId, range)).map(({ seq }) => seq);
    deepEqual(await seqs(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    deepEqual(await seqs({ from: 8 }), [8, 9, 10]);
    deepEqual(await seqs({ limit: 2 }), [1, 2]);
    deepEqual(await seqs({ from: 4, limit: 3 }), [4, 5, 6]);
    deepEqual(await seqs({ from: 11 }), []);
    deepEqual(await t.storage.queries.journal(newId(t)), []);
  }),

  rule("list: newest first, page by page, without gaps or repeats while sagas are added", async (t) => {
    const epoch = await register(t.storage);
    const made: string[] = [];
    for (let n = 0; n < 11; n++) {
      made.unshift(await begin(t, epoch));
      if (n % 3 === 0) advance(t, 5);
    }
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await t.storage.queries.list({ limit: 3, ...(after === undefined ? {} : { after }) });
      seen.push(...idsOf(page.sagas));
      after = page.next;
      await begin(t, epoch);
    } while (after !== undefined);
    deepEqual(seen, made);
  }),

  rule("list: an exact last page ends the list, and a page has at most 1,000 sagas", async (t) => {
    const epoch = await register(t.storage);
    deepEqual(await t.storage.queries.list({ limit: 5 }), { sagas: [], next: undefined });
    const starts = Array.from({ length: 1_002 }, () => toStart(t, { owned: false }));
    await append({ storage: t.storage, epoch }, ...starts.map((start) => toStartEntry(start)));
    const { sagas, next = "" } = await t.storage.queries.list({ limit: 5_000 });
    equal(sagas.length, 1_000);
    const last = await t.storage.queries.list({ limit: 2, after: next });
    deepEqual(idsOf(last.sagas), [starts[1]?.sagaId, starts[0]?.sagaId]);
    const end = last.next === undefined ? last : await t.storage.queries.list({ limit: 2, after: last.next });
    equal(end.next, undefined);
  }),

  rule("list: a page is full unless it is the last, however rare what is asked for is", async (t) => {
    const epoch = await register(t.storage);
    const done: string[] = [];
    for (let n = 0; n < 5; n++) {
      const row = released(null, { status: "completed", finished: true });
      done.unshift(await begin(t, epoch, { row }));
    }
    const starts = Array.from({ length: 600 }, () => toStart(t, { owned: false }));
    await append({ storage: t.storage, epoch }, ...starts.map((start) => toStartEntry(start)));
    const filter = { status: ["completed"], limit: 3 } as const;
    const first = await t.storage.queries.list(filter);
    deepEqual(idsOf(first.sagas), done.slice(0, 3));
    const last = await t.storage.queries.list({ ...filter, after: given(first.next) });
    deepEqual([idsOf(last.sagas), last.next], [done.slice(3), undefined]);
  }),

  rule("list: every condition holds, alone and together, over pages", async (t) => {
    const epoch = await register(t.storage);
    const from = t.now();
    const names = await makeAssorted(t, epoch);
    const ids = async (filter: Omit<SagaFilter, "limit">) => await listed(t, names, filter);
    deepEqual(await ids({}), ["paused", "ended", "parked", "attributed", "refund", "tenant"]);
    deepEqual(await ids({ sagaName: "refund" }), ["refund"]);
    deepEqual(await ids({ sagaName: "nobody" }), []);
    deepEqual(await ids({ tenantId: "t1" }), ["refund", "tenant"]);
    deepEqual(await ids({ correlationId: "c1" }), ["tenant"]);
    deepEqual(await ids({ status: ["parked", "completed"] }), ["ended", "parked"]);
    deepEqual(await ids({ status: ["completed"] }), ["ended"]);
    deepEqual(await ids({ status: ["compensating"] }), []);
    deepEqual(await ids({ parkedReason: "pivot_unknown" }), ["parked"]);
    deepEqual(await ids({ parkedReason: "stuck" }), []);
    deepEqual(await ids({ paused: true }), ["paused"]);
    deepEqual(await ids({ paused: false, status: ["running"] }), ["attributed", "refund", "tenant"]);
    deepEqual(await ids({ attributes: { region: "eu" } }), ["parked", "attributed"]);
    deepEqual(await ids({ attributes: { region: "eu", vip: "yes" } }), ["attributed"]);
    deepEqual(await ids({ attributes: { region: "us" } }), []);
    deepEqual(await ids({ createdFrom: from + 3_000 }), ["paused", "ended", "parked"]);
    deepEqual(await ids({ createdBefore: from + 1_000 }), ["tenant"]);
    deepEqual(await ids({ createdFrom: from + 1_000, createdBefore: from + 3_000 }), [
      "attributed",
      "refund",
    ]);
    deepEqual(await ids({ sagaName: "refund", tenantId: "t1", status: ["running"], createdFrom: from }), [
      "refund",
    ]);
    deepEqual(await ids({ sagaName: "refund", tenantId: "t2" }), []);
  }),

  rule("ended: statuses of those that have ended or are parked", async (t) => {
    const epoch = await register(t.storage);
    const running = await begin(t, epoch);
    const parked = await begin(t, epoch, { row: toRow({ status: "parked", parkedReason: "stuck" }) });
    const completed = await begin(t, epoch, { row: released(null, { status: "completed", finished: true }) });
    const undone = await begin(t, epoch, {
      row: toRow({ status: "compensated_with_exceptions", finished: true }),
    });
    const ended = await t.storage.queries.ended([undone, running, newId(t), parked, completed]);
    deepEqual(
      new Map(ended.map(({ sagaId, status }) => [sagaId, status])),
      new Map([
        [parked, "parked"],
        [completed, "completed"],
        [undone, "compensated_with_exceptions"],
      ]),
    );
    await append(
      { storage: t.storage, epoch },
      toEntry(undone, 2, { row: toRow({ status: "compensating" }) }),
    );
    deepEqual(await t.storage.queries.ended([undone]), []);
    deepEqual(await t.storage.queries.ended([]), []);
  }),

  rule("counts: unfinished sagas exactly, ended ones of late", async (t) => {
    const epoch = await register(t.storage);
    const end = released(null, { status: "completed", finished: true });
    await begin(t, epoch, { row: end });
    advance(t, 60_000);
    await t.storage.leases.beat(epoch);
    for (let n = 0; n < 2; n++) await begin(t, epoch, { row: end });
    for (let n = 0; n < 3; n++) await begin(t, epoch);
    await beginUnowned(t, epoch, { sagaName: "refund", version: 2 });
    await begin(t, epoch, { row: released(null, { status: "parked", parkedReason: "stuck" }) });
    const counts = async (sinceMs: number) =>
      (await t.storage.queries.counts(sinceMs))
        .map((one) => `${one.sagaName} ${one.version} ${one.status} ${one.count}`)
        .sort();
    const unfinished = ["order 1 parked 1", "order 1 running 3", "refund 2 pending 1"];
    deepEqual(await counts(30_000), ["order 1 completed 2", ...unfinished]);
    deepEqual(await counts(3_600_000), ["order 1 completed 3", ...unfinished]);
    advance(t, 120_000);
    deepEqual(await counts(30_000), unfinished);
  }),

  rule("journalled: all sagas in the order of their ids, page by page", async (t) => {
    const epoch = await register(t.storage);
    const made: string[] = [];
    for (let n = 0; n < 5; n++) {
      made.push(await begin(t, epoch));
      advance(t, 5);
    }
    const seen: string[] = [];
    for (let pages = 0; pages < 4; pages++)
      seen.push(...(await t.storage.queries.journalled({ after: seen.at(-1), limit: 2 })));
    deepEqual(seen, made);
  }),
];

/** Six sagas, each with a name for what sets it apart, and a second between every two. */
async function makeAssorted(t: StorageUnderTest, epoch: number): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  const make = async (name: string, fields: Parameters<typeof toStart>[1], row = toRow()) => {
    names.set(await begin(t, epoch, { start: toStart(t, fields), row }), name);
    advance(t, 1_000);
  };
  await make("tenant", { tenantId: "t1", correlationId: "c1" });
  await make("refund", { tenantId: "t1", sagaName: "refund" });
  await make("attributed", { attributes: '{"region":"eu","vip":"yes"}' });
  await make(
    "parked",
    { attributes: '{"region":"eu"}' },
    released(null, { status: "parked", parkedReason: "pivot_unknown" }),
  );
  await make("ended", {}, released(null, { status: "completed", finished: true }));
  await make("paused", { tenantId: "t2" }, toRow({ paused: true }));
  return names;
}

/** Names of all that a filter lists, read two at a time. */
async function listed(
  t: StorageUnderTest,
  names: ReadonlyMap<string, string>,
  filter: Omit<SagaFilter, "limit">,
) {
  const found: (string | undefined)[] = [];
  let after: string | undefined;
  do {
    const page = await t.storage.queries.list({
      ...filter,
      limit: 2,
      ...(after === undefined ? {} : { after }),
    });
    found.push(...page.sagas.map(({ sagaId }) => names.get(sagaId)));
    after = page.next;
  } while (after !== undefined);
  return found;
}
