import { deepEqual, equal } from "node:assert/strict";
import {
  LEASE_MS,
  absent,
  advance,
  append,
  begin,
  claim,
  claimIds,
  codeOf,
  event,
  fence,
  register,
  released,
  rowOf,
  throws,
  toEntry,
  toKeyed,
  toMail,
  toRow,
  toStart,
  toStartEntry,
  typesOf,
} from "./material.ts";
import { given } from "../given.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule } from "./storage-rule.ts";

/** What holds when a process dies, a reply is lost, or a worker believes that it is still alive. */
export const crashRules: readonly StorageRule[] = [
  rule(
    "crash: a batch whose acknowledgement was lost is found written, once",
    async (t) => {
      const epoch = await register(t.storage);
      const [parent, peer] = [await begin(t, epoch), await begin(t, epoch)];
      const [read, sent, child] = [toMail(parent), toMail(peer), toStart(t, { owned: false })];
      await t.storage.mailbox.send(read);
      const entry = toEntry(parent, 2, {
        spawns: [child],
        mails: [sent],
        readMails: [read.mailId],
        row: toRow({ error: "declined" }),
      });
      given(t.failNext)("append", "after");
      await throws("SAGAZ_COMMIT_IN_DOUBT", () => append({ storage: t.storage, epoch }, entry));
      deepEqual(await t.storage.journal.tails([parent]), [{ sagaId: parent, seq: 2, owner: epoch }]);
      equal((await t.storage.journal.tails([child.sagaId])).length, 1);
      equal((await rowOf(t.storage, parent)).error, "declined");
      await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch }, entry));
      deepEqual(await t.storage.mailbox.fetch(epoch, 9), [{ ...sent, mailSeq: 1 }]);
      await append({ storage: t.storage, epoch }, toEntry(parent, 3));
      equal((await typesOf(t.storage, parent)).length, 3);
    },
    ["faults"],
  ),

  rule(
    "crash: a batch that never arrived left nothing, and can be written again",
    async (t) => {
      const epoch = await register(t.storage);
      const [known, start] = [await begin(t, epoch), toStart(t)];
      const batch = [toEntry(known, 2, { mails: [toMail(known)] }), toStartEntry(start)];
      given(t.failNext)("append", "before");
      await throws("SAGAZ_STORAGE_UNAVAILABLE", () => append({ storage: t.storage, epoch }, ...batch));
      deepEqual(await t.storage.journal.tails([known, start.sagaId]), [
        { sagaId: known, seq: 1, owner: epoch },
      ]);
      await absent(t.storage, start.sagaId);
      deepEqual(await t.storage.mailbox.fetch(epoch, 9), []);
      await append({ storage: t.storage, epoch }, ...batch);
      equal((await t.storage.journal.tails([known, start.sagaId])).length, 2);
    },
    ["faults"],
  ),

  rule(
    "crash: a release whose acknowledgement was lost has no owner any more",
    async (t) => {
      const epoch = await register(t.storage);
      const sagaId = await begin(t, epoch);
      given(t.failNext)("append", "after");
      await throws("SAGAZ_COMMIT_IN_DOUBT", () =>
        append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { row: released(null) })),
      );
      deepEqual(await t.storage.journal.tails([sagaId]), [{ sagaId, seq: 2, owner: null }]);
    },
    ["faults"],
  ),

  rule(
    "crash: a keyed start repeated after a lost reply finds its own saga",
    async (t) => {
      const epoch = await register(t.storage);
      for (const when of ["after", "before"] as const) {
        const start = toKeyed(t, `lost-${when}`);
        given(t.failNext)("startKeyed", when);
        const code = when === "after" ? "SAGAZ_COMMIT_IN_DOUBT" : "SAGAZ_STORAGE_UNAVAILABLE";
        await throws(code, () => t.storage.journal.startKeyed(epoch, [start]));
        const [outcome] = await t.storage.journal.startKeyed(epoch, [start]);
        const { sagaId } = start;
        deepEqual(
          outcome,
          when === "after" ? { kind: "existing", sagaId, sameInput: true } : { kind: "started", sagaId },
        );
        equal((await rowOf(t.storage, sagaId)).owner, epoch);
      }
    },
    ["faults"],
  ),

  rule(
    "crash: mail sent again after a lost reply is there once",
    async (t) => {
      const epoch = await register(t.storage);
      const sagaId = await begin(t, epoch);
      for (const [when, code] of [
        ["after", "SAGAZ_COMMIT_IN_DOUBT"],
        ["before", "SAGAZ_STORAGE_UNAVAILABLE"],
      ] as const) {
        const mail = toMail(sagaId);
        const mailsNow = async () =>
          (await t.storage.mailbox.fetch(epoch, 9)).filter(({ mailId }) => mailId === mail.mailId).length;
        given(t.failNext)("send", when);
        await throws(code, () => t.storage.mailbox.send(mail));
        equal(await mailsNow(), when === "after" ? 1 : 0);
        await t.storage.mailbox.send(mail);
        equal(await mailsNow(), 1);
      }
    },
    ["faults"],
  ),

  rule("crash: what a dead process had written is all that its heir finds", async (t) => {
    const dead = await register(await t.another());
    const sagaId = await begin(t, dead);
    const { at } = await append({ storage: t.storage, epoch: dead }, toEntry(sagaId, 2));
    const heir = await register(t.storage);
    equal(await fence(t, [heir]), 1);
    const [claimed] = await claim(t.storage, heir);
    deepEqual(claimed, {
      sagaId,
      adoptions: 1,
      mailSeq: 0,
      journal: await t.storage.queries.journal(sagaId),
    });
    deepEqual(
      claimed?.journal.map(({ seq, at: time }) => [seq, time <= at]),
      [
        [1, true],
        [2, true],
      ],
    );
  }),

  rule(
    "crash: a zombie's late write fails as a whole, before and after its sagas have a new owner",
    async (t) => {
      const [zombie, heir] = [await register(t.storage), await register(t.storage)];
      const sagaId = await begin(t, zombie);
      await fence(t, [heir]);
      const late = [toEntry(sagaId, 2, { events: [event("late")] }), toStartEntry(toStart(t))];
      await throws("SAGAZ_FENCED", () => append({ storage: t.storage, epoch: zombie }, ...late));
      deepEqual(await claimIds(t.storage, heir), [sagaId]);
      await throws("SAGAZ_FENCED", () => append({ storage: t.storage, epoch: zombie }, ...late));
      await append({ storage: t.storage, epoch: heir }, toEntry(sagaId, 2));
      deepEqual(await typesOf(t.storage, sagaId), ["saga_started", "step_done"]);
      equal((await t.storage.queries.list({ limit: 9 })).sagas.length, 1);
    },
  ),

  rule("crash: a fenced worker that comes back owns nothing of what it had", async (t) => {
    const [zombie, heir] = [await register(t.storage), await register(t.storage)];
    const sagaId = await begin(t, zombie);
    await fence(t, [heir]);
    const risen = await register(t.storage);
    await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch: risen }, toEntry(sagaId, 2)));
    deepEqual(await claimIds(t.storage, risen), [sagaId]);
    await append({ storage: t.storage, epoch: risen }, toEntry(sagaId, 2));
  }),

  rule("crash: a write that races with its worker's fencing happens before it or never", async (t) => {
    const other = await t.another();
    for (let round = 0; round < 10; round++) {
      const [dying, heir] = [await register(t.storage), await register(t.storage)];
      const sagaId = await begin(t, dying);
      // A batch takes another way into a database than one event.
      const entries = [toEntry(sagaId, 2), toEntry(sagaId, 3)].slice(0, 1 + (round % 2));
      advance(t, LEASE_MS + 1);
      await t.storage.leases.beat(heir);
      const [written] = await Promise.allSettled([
        append({ storage: t.storage, epoch: dying }, ...entries),
        other.leases.fenceExpired(),
      ]);
      // A sweep that ran into the write's lock passes the worker over; the next one takes it.
      await t.storage.leases.fenceExpired();
      if (written.status === "rejected") equal(codeOf(written.reason), "SAGAZ_FENCED");
      const [claimed] = await claim(other, heir);
      equal(claimed?.sagaId, sagaId);
      equal(claimed.journal.length, written.status === "fulfilled" ? 1 + entries.length : 1);
      await t.storage.leases.retire(heir);
      await endAll(t.storage);
    }
  }),

  rule("crash: one process that stops its storage takes nothing from the others", async (t) => {
    const other = await t.another();
    const epoch = await register(other);
    const sagaId = await begin(t, epoch);
    await other.start();
    await other.stop();
    await other.stop();
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2));
    equal((await typesOf(await t.another(), sagaId)).length, 2);
  }),
];

/** Ends whatever can be claimed, so that the next round finds its own saga only. */
async function endAll(storage: Parameters<typeof claim>[0]): Promise<void> {
  const epoch = await register(storage);
  for (const { sagaId, journal } of await claim(storage, epoch)) {
    const row = released(null, { status: "completed", finished: true });
    await append({ storage, epoch }, toEntry(sagaId, journal.length + 1, { row }));
  }
  await storage.leases.retire(epoch);
}
