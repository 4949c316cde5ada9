import { deepEqual, equal } from "node:assert/strict";
import type { ProjectedRow, SagaRow } from "../../../ports/storage.ts";
import {
  LEASE_MS,
  ORDER,
  advance,
  append,
  begin,
  beginUnowned,
  claim,
  claimIds,
  fence,
  idsOf,
  register,
  released,
  rowOf,
  toEntry,
  toMail,
  toRow,
  toStart,
} from "./material.ts";
import { given } from "../given.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule, StorageUnderTest } from "./storage-rule.ts";

const MISSING_MS = 300_000;
const DAY_MS = 86_400_000;

/** What keeps a database in shape: orphans, projections, old mail. */
export const upkeepRules: readonly StorageRule[] = [
  rule("orphans: sagas whose definition nobody has held for so long go to whoever parks them", async (t) => {
    const epoch = await register(t.storage, { definitions: [] });
    const [first, second] = [
      await beginUnowned(t, epoch),
      await beginUnowned(t, epoch, { wakeAt: t.now() + 5 }),
    ];
    await pass(t, MISSING_MS - 1, [epoch]);
    deepEqual(await orphans(t, epoch), []);
    await pass(t, 10, [epoch]);
    deepEqual(await orphans(t, epoch, 1), [first]);
    const [claimed] = await t.storage.upkeep.claimOrphans({ epoch, missingMs: MISSING_MS, limit: 9 });
    deepEqual(claimed, {
      sagaId: second,
      adoptions: 0,
      mailSeq: 0,
      journal: await t.storage.queries.journal(second),
    });
    deepEqual(await orphans(t, epoch), []);
    const parked = released(null, { status: "parked", parkedReason: "definition_missing" });
    await append({ storage: t.storage, epoch }, toEntry(first, 2, { row: parked }));
    deepEqual(await orphans(t, epoch), []);
    equal((await t.storage.leases.beat(epoch)).upkeep, false);
  }),

  rule("orphans: a definition that a live worker holds has none", async (t) => {
    const [epoch, holder] = [await register(t.storage, { definitions: [] }), await register(t.storage)];
    await beginUnowned(t, epoch);
    const orphan = await beginUnowned(t, epoch, { sagaName: "refund" });
    await pass(t, MISSING_MS, [epoch, holder]);
    deepEqual(await orphans(t, epoch), [orphan]);
    for (let n = 0; n < 3; n++) {
      await pass(t, MISSING_MS, [epoch, holder]);
      deepEqual(await orphans(t, epoch), []);
    }
  }),

  rule("orphans: time counts from the last holder's end, by its own will or not", async (t) => {
    const epoch = await register(t.storage, { definitions: [] });
    const retiring = await register(t.storage);
    const sagaId = await beginUnowned(t, epoch);
    await pass(t, MISSING_MS * 2, [epoch, retiring]);
    await t.storage.leases.retire(retiring);
    await pass(t, MISSING_MS - 1, [epoch]);
    deepEqual(await orphans(t, epoch), []);
    const dying = await register(t.storage);
    await fence(t, [epoch]);
    equal((await t.storage.leases.beat(dying)).alive, false);
    await pass(t, MISSING_MS - LEASE_MS - 2, [epoch]);
    deepEqual(await orphans(t, epoch), []);
    await pass(t, LEASE_MS + 2, [epoch]);
    deepEqual(await orphans(t, epoch), [sagaId]);
  }),

  rule("orphans: what is not due, owned or parked stays where it is", async (t) => {
    const epoch = await register(t.storage, { definitions: [] });
    await begin(t, epoch);
    await begin(t, epoch, { row: released(null) });
    await begin(t, epoch, { row: released(t.now() + DAY_MS) });
    const due = await beginUnowned(t, epoch);
    await pass(t, MISSING_MS, [epoch]);
    deepEqual(await orphans(t, epoch), [due]);
    deepEqual(await orphans(t, epoch), []);
  }),

  rule("projections: a row is written as told, and keeps its owner, its mail and its wake-up", async (t) => {
    const epoch = await register(t.storage);
    const [owned, asleep] = [
      await begin(t, epoch),
      await begin(t, epoch, { row: released(t.now() + 60_000) }),
    ];
    await t.storage.mailbox.send(toMail(owned));
    const change = {
      status: "compensated",
      error: "declined",
      finishedAt: t.now() - 5,
      updatedAt: t.now() - 5,
    } as const;
    for (const sagaId of [owned, asleep]) {
      const before = await rowOf(t.storage, sagaId);
      await t.storage.upkeep.writeProjections([{ ...toProjected(before), ...change, wakeAt: t.now() }]);
      deepEqual(await rowOf(t.storage, sagaId), { ...before, ...change });
    }
    deepEqual(await claimIds(t.storage, epoch), []);
    deepEqual(await t.storage.queries.counts(1), []);
    deepEqual(await t.storage.queries.counts(60_000), [
      { sagaName: ORDER.sagaName, version: ORDER.version, status: "compensated", count: 2 },
    ]);
    equal((await t.storage.mailbox.fetch(epoch, 9)).length, 1);
    await append({ storage: t.storage, epoch }, toEntry(owned, 2));
    deepEqual(await t.storage.queries.ended([owned]), [{ sagaId: owned, status: "compensated" }]);
  }),

  rule(
    "projections: a lost row comes back as it was, and its saga goes on",
    async (t) => {
      const epoch = await register(t.storage);
      const start = toStart(t, { tenantId: "shop", correlationId: "c", attributes: '{"region":"eu"}' });
      const running = await begin(t, epoch, { start, row: toRow({ error: "declined" }) });
      const ended = await begin(t, epoch, {
        row: released(null, { status: "completed", output: "7", finished: true }),
      });
      const mail = toMail(running);
      await t.storage.mailbox.send(mail);
      const rows = [await rowOf(t.storage, running), await rowOf(t.storage, ended)];
      await given(t.loseRows)();
      equal(await t.storage.queries.find(running), undefined);
      deepEqual(await t.storage.queries.journalled({ after: undefined, limit: 9 }), [running, ended]);
      const rebuilt = rows.map((row) => ({
        ...toProjected(row),
        wakeAt: row.finishedAt === null ? t.now() : null,
      }));
      await t.storage.upkeep.writeProjections(rebuilt);
      await t.storage.upkeep.writeProjections(rebuilt);
      deepEqual(await rowOf(t.storage, ended), rows[1]);
      deepEqual(await rowOf(t.storage, running), { ...rows[0], owner: null, wakeAt: t.now() });
      deepEqual(await claimIds(t.storage, epoch), [running]);
      const later = toMail(running);
      await t.storage.mailbox.send(later);
      deepEqual(
        (await t.storage.mailbox.fetch(epoch, 9)).map(({ mailId }) => mailId),
        [mail.mailId, later.mailId],
      );
      await append({ storage: t.storage, epoch }, toEntry(running, 2));
    },
    ["lostRows"],
  ),

  rule("maintain: does no harm, twice and at the same time", async (t) => {
    const other = await t.another();
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    await Promise.all([t.storage.upkeep.maintain(), other.upkeep.maintain()]);
    await t.storage.upkeep.maintain();
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2));
    equal((await rowOf(t.storage, sagaId)).owner, epoch);
  }),

  rule("maintain: forgets refused mail after a day, and never unread mail", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const [refused, unread] = [toMail(sagaId), toMail(sagaId)];
    for (const mail of [refused, unread]) await t.storage.mailbox.send(mail);
    advance(t, DAY_MS * 2);
    await t.storage.leases.beat(epoch);
    await t.storage.mailbox.refuse(epoch, [{ ...refused, code: "SAGAZ_PIVOT_PASSED", details: "{}" }]);
    advance(t, DAY_MS - 1_000);
    await t.storage.upkeep.maintain();
    equal((await t.storage.mailbox.outcome(refused)).kind, "refused");
    advance(t, 2_000);
    await t.storage.upkeep.maintain();
    equal((await t.storage.mailbox.outcome(refused)).kind, "done");
    equal((await t.storage.mailbox.outcome(unread)).kind, "waiting");
  }),

  rule("listen: a listener that throws harms no write, and can be taken away twice", async (t) => {
    const epoch = await register(t.storage);
    const stop = t.storage.listen(() => {
      throw new Error("a listener's own trouble");
    });
    const sagaId = await beginUnowned(t, epoch);
    await t.storage.mailbox.send(toMail(sagaId));
    deepEqual(
      (await claim(t.storage, epoch)).map(({ mailSeq }) => mailSeq),
      [1],
    );
    stop();
    stop();
    const end = released(null, { status: "completed", finished: true, mailSeq: 1 });
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { row: end }));
    equal((await t.storage.queries.ended([sagaId])).length, 1);
    equal(ORDER.sagaName, (await rowOf(t.storage, sagaId)).sagaName);
  }),
];

async function orphans(t: StorageUnderTest, epoch: number, limit = 9): Promise<readonly string[]> {
  return idsOf(await t.storage.upkeep.claimOrphans({ epoch, missingMs: MISSING_MS, limit }));
}

/** Lets time pass without these workers losing their leases. */
async function pass(t: StorageUnderTest, ms: number, alive: readonly number[]): Promise<void> {
  advance(t, ms);
  for (const epoch of alive) await t.storage.leases.beat(epoch);
}

function toProjected(row: SagaRow): ProjectedRow {
  const { owner: _owner, adoptions: _adoptions, ...projected } = row;
  return projected;
}
