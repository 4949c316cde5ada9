import { deepEqual, equal } from "node:assert/strict";
import {
  ORDER,
  advance,
  append,
  begin,
  beginUnowned,
  claim,
  claimIds,
  event,
  fence,
  idsOf,
  register,
  released,
  rowOf,
  toEntry,
  toMail,
  toStart,
  toStartEntry,
} from "./material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule } from "./storage-rule.ts";

/** Claiming and releasing: who runs a saga, and when. */
export const claimRules: readonly StorageRule[] = [
  rule("claim: longest due first, at most the limit, each once", async (t) => {
    const epoch = await register(t.storage);
    const made: string[] = [];
    for (let n = 0; n < 5; n++) {
      made.push(await beginUnowned(t, epoch, { wakeAt: t.now() }));
      advance(t, 10);
    }
    deepEqual(await claimIds(t.storage, epoch, 2), made.slice(0, 2));
    deepEqual(await claimIds(t.storage, epoch, 2), made.slice(2, 4));
    deepEqual(await claimIds(t.storage, epoch, 2), made.slice(4));
    deepEqual(await claimIds(t.storage, epoch, 2), []);
    equal((await rowOf(t.storage, made[0] ?? "")).owner, epoch);
  }),

  rule("claim: a saga that became due long ago comes before one that was made earlier", async (t) => {
    const epoch = await register(t.storage);
    const present = t.now();
    const older = await beginUnowned(t, epoch, { wakeAt: present + 9_000 });
    const newer = await beginUnowned(t, epoch, { wakeAt: present + 1_000 });
    advance(t, 10_000);
    deepEqual(await claimIds(t.storage, epoch), [newer, older]);
  }),

  rule("claim: longest due first also across definitions", async (t) => {
    const epoch = await register(t.storage);
    const made: string[] = [];
    for (const sagaName of ["refund", "order", "refund", "order"]) {
      made.push(await beginUnowned(t, epoch, { sagaName, wakeAt: t.now() }));
      advance(t, 10);
    }
    const definitions = [ORDER, { sagaName: "refund", version: 1 }];
    for (const expected of [made.slice(0, 3), made.slice(3)]) {
      deepEqual(idsOf(await t.storage.leases.claim({ epoch, limit: 3, definitions })), expected);
    }
  }),

  rule("claim: only what is due, of definitions that were asked for", async (t) => {
    const epoch = await register(t.storage);
    const [refund, newer] = [
      { sagaName: "refund", version: 1 },
      { sagaName: "order", version: 2 },
    ];
    const first = await beginUnowned(t, epoch, refund);
    const second = await beginUnowned(t, epoch, newer);
    const later = await beginUnowned(t, epoch, { wakeAt: t.now() + 1_000 });
    const asked = async (...definitions: readonly (typeof refund)[]) =>
      idsOf(await t.storage.leases.claim({ epoch, limit: 9, definitions }));
    deepEqual(await asked(), []);
    deepEqual(await asked(ORDER), []);
    deepEqual(await asked(ORDER, newer), [second]);
    deepEqual(await asked(ORDER, newer, refund), [first]);
    advance(t, 1_000);
    deepEqual(await asked(ORDER), [later]);
  }),

  rule("claim: one saga alone, if it can be claimed", async (t) => {
    const [epoch, other] = [await register(t.storage), await register(t.storage)];
    const [first, second] = [await beginUnowned(t, epoch), await beginUnowned(t, epoch)];
    const later = await beginUnowned(t, epoch, { wakeAt: t.now() + 1_000 });
    const refund = await beginUnowned(t, epoch, { sagaName: "refund" });
    const taken = await begin(t, other);
    const alone = async (sagaId: string) =>
      idsOf(await t.storage.leases.claim({ epoch, limit: 9, definitions: [ORDER], sagaId }));
    for (const sagaId of [later, refund, taken]) deepEqual(await alone(sagaId), []);
    deepEqual(await alone(second), [second]);
    deepEqual(await alone(second), []);
    deepEqual(await claimIds(t.storage, epoch), [first]);
  }),

  rule("claim: comes with the whole journal, in order", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const events = Array.from({ length: 300 }, (_, n) => event("step_done", `{"result":${n}}`, `step-${n}`));
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { events, row: released(t.now()) }));
    await beginUnowned(t, epoch, { wakeAt: t.now() });
    const claimed = await claim(t.storage, epoch);
    equal(claimed.length, 2);
    const { journal = [] } = claimed.find((saga) => saga.sagaId === sagaId) ?? {};
    deepEqual(
      journal.map(({ seq }) => seq),
      Array.from({ length: 301 }, (_, n) => n + 1),
    );
    deepEqual(journal, await t.storage.queries.journal(sagaId));
  }),

  rule("claim: of workers that race each saga goes to one", async (t) => {
    const storages = [t.storage, await t.another(), t.storage, await t.another()];
    const starter = await register(t.storage);
    const starts = Array.from({ length: 200 }, () => toStart(t, { owned: false }));
    await append({ storage: t.storage, epoch: starter }, ...starts.map((start) => toStartEntry(start)));
    const claimed = await Promise.all(
      storages.map(async (storage) => {
        const epoch = await register(storage);
        const mine: string[] = [];
        // Rows that another worker is just taking may be passed over, so an empty answer is not the end.
        for (let round = 0; round < 60; round++) mine.push(...(await claimIds(storage, epoch, 7)));
        for (const { owner } of await storage.journal.tails(mine)) equal(owner, epoch);
        return mine;
      }),
    );
    equal(claimed.flat().length, 200);
    equal(new Set(claimed.flat()).size, 200);
  }),

  rule("claim: a fenced worker gets nothing", async (t) => {
    const [dead, alive] = [await register(t.storage), await register(t.storage)];
    const sagaId = await beginUnowned(t, alive);
    const orphan = await beginUnowned(t, alive, { sagaName: "refund" });
    await fence(t, [alive]);
    deepEqual(await claimIds(t.storage, dead), []);
    deepEqual(await t.storage.upkeep.claimOrphans({ epoch: dead, missingMs: 0, limit: 10 }), []);
    deepEqual(await claimIds(t.storage, alive), [sagaId]);
    deepEqual(idsOf(await t.storage.upkeep.claimOrphans({ epoch: alive, missingMs: 0, limit: 10 })), [
      orphan,
    ]);
  }),

  rule("release: a saga sleeps until its time, then goes to any worker", async (t) => {
    const epoch = await register(t.storage);
    const other = await register(await t.another());
    const sagaId = await begin(t, epoch, { row: released(t.now() + 60_000) });
    advance(t, 59_999);
    await t.storage.leases.beat(other);
    deepEqual(await claimIds(t.storage, other), []);
    advance(t, 1);
    deepEqual(await claimIds(t.storage, other), [sagaId]);
    await append({ storage: t.storage, epoch: other }, toEntry(sagaId, 2));
  }),

  rule("release: without a time a saga sleeps until mail arrives", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch, { row: released(null) });
    advance(t, 3_600_000);
    await t.storage.leases.beat(epoch);
    deepEqual(await claimIds(t.storage, epoch), []);
    await t.storage.mailbox.send(toMail(sagaId));
    deepEqual(
      (await claim(t.storage, epoch)).map((saga) => [saga.sagaId, saga.mailSeq]),
      [[sagaId, 1]],
    );
  }),

  rule("release: mail wakes a saga before its time", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch, { row: released(t.now() + 60_000) });
    await t.storage.mailbox.send(toMail(sagaId));
    deepEqual(await claimIds(t.storage, epoch), [sagaId]);
  }),

  rule("release: with mail that it did not take a saga can be claimed at once", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const [first, second] = [toMail(sagaId), toMail(sagaId)];
    await t.storage.mailbox.send(first);
    await t.storage.mailbox.send(second);
    const answer = (seq: number, mailSeq: number, readMails: readonly string[]) =>
      append(
        { storage: t.storage, epoch },
        toEntry(sagaId, seq, { readMails, row: released(null, { mailSeq }) }),
      );
    await answer(2, 1, [first.mailId]);
    deepEqual(await claimIds(t.storage, epoch), [sagaId]);
    await answer(3, 2, [second.mailId]);
    deepEqual(await claimIds(t.storage, epoch), []);
  }),

  rule("release: mail that races with it is never slept over", async (t) => {
    const epoch = await register(t.storage);
    const other = await t.another();
    for (let round = 0; round < 20; round++) {
      const sagaId = await begin(t, epoch);
      await Promise.all([
        append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { row: released(null) })),
        other.mailbox.send(toMail(sagaId)),
      ]);
      deepEqual(await claimIds(t.storage, epoch), [sagaId]);
    }
  }),

  rule("release: an ended saga is not claimed again, unless mail arrives", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch, { row: released(null, { status: "completed", finished: true }) });
    advance(t, 3_600_000);
    await t.storage.leases.beat(epoch);
    deepEqual(await claimIds(t.storage, epoch), []);
    await t.storage.mailbox.send(toMail(sagaId, { kind: "cancel" }));
    deepEqual(await claimIds(t.storage, epoch), [sagaId]);
  }),
];
