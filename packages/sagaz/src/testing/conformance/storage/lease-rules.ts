import { deepEqual, equal, ok } from "node:assert/strict";
import type { HeldDefinition } from "../../../ports/storage.ts";
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
  newId,
  register,
  released,
  rowOf,
  throws,
  toEntry,
  toMail,
  toRow,
  toStart,
} from "./material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule } from "./storage-rule.ts";

const REFUND: HeldDefinition = { ...ORDER, sagaName: "refund" };
const definitionMissing = {
  status: "parked",
  waitingFor: "operator",
  parkedReason: "definition_missing",
} as const;

/** Workers and their leases: registering, beating, fencing, retiring. */
export const leaseRules: readonly StorageRule[] = [
  rule("lease: every registration gets an epoch of its own, and the database's time", async (t) => {
    const other = await t.another();
    const worker = { workerName: "same-name", leaseMs: LEASE_MS, definitions: [ORDER] };
    const first = await t.storage.leases.register(worker);
    equal(first.now, t.now());
    await t.storage.leases.retire(first.epoch);
    const later = await Promise.all(
      [t.storage, other, t.storage, other].map((storage) => storage.leases.register(worker)),
    );
    equal(new Set([first, ...later].map(({ epoch }) => epoch)).size, 5);
    ok(later.every(({ epoch }) => Number.isSafeInteger(epoch)));
  }),

  rule("lease: a version that is known with another graph registers nothing", async (t) => {
    await register(t.storage, { definitions: [ORDER] });
    const changed = { ...ORDER, graphHash: "hash-2" };
    await throws("SAGAZ_DEFINITION_CHANGED", () => register(t.storage, { definitions: [REFUND, changed] }));
    await register(t.storage, {
      definitions: [
        { ...REFUND, graphHash: "never registered before" },
        { ...changed, version: 2 },
      ],
    });
    await register(t.storage, { definitions: [ORDER] });
    await throws("SAGAZ_DEFINITION_CHANGED", () => register(t.storage, { definitions: [REFUND] }));
  }),

  rule("lease: a changed graph is refused also when nobody holds the old one any more", async (t) => {
    const epoch = await register(t.storage);
    await t.storage.leases.retire(epoch);
    await throws("SAGAZ_DEFINITION_CHANGED", () =>
      register(t.storage, { definitions: [{ ...ORDER, graphHash: "hash-2" }] }),
    );
  }),

  rule(
    "lease: of two racing registrations of one version with different graphs at most one holds it",
    async (t) => {
      const other = await t.another();
      for (let round = 1; round <= 5; round++) {
        const outcomes = await Promise.allSettled(
          [t.storage, other].map((storage, racer) =>
            register(storage, { definitions: [{ ...ORDER, version: round, graphHash: `hash-${racer}` }] }),
          ),
        );
        equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
      }
    },
  ),

  rule("lease: sagas parked for want of a definition can be claimed once a worker holds it", async (t) => {
    const epoch = await register(t.storage, { definitions: [] });
    const parked = await begin(t, epoch, { row: released(null, definitionMissing) });
    const refund = await begin(t, epoch, {
      start: toStart(t, { sagaName: "refund" }),
      row: released(null, definitionMissing),
    });
    const newer = await begin(t, epoch, {
      start: toStart(t, { version: 2, graphHash: "hash-2" }),
      row: released(null, definitionMissing),
    });
    const stuck = await begin(t, epoch, {
      row: released(null, { ...definitionMissing, parkedReason: "stuck" }),
    });
    const owned = await begin(t, epoch, { row: toRow(definitionMissing) });
    const holder = await register(t.storage);
    equal((await t.storage.leases.beat(holder)).work, true);
    deepEqual(await claimIds(t.storage, holder), [parked]);
    for (const sagaId of [refund, newer, stuck]) equal((await rowOf(t.storage, sagaId)).wakeAt, null);
    equal((await rowOf(t.storage, owned)).owner, epoch);
  }),

  rule(
    "lease: a saga parks for want of a definition while a worker with it arrives, and is not forgotten",
    async (t) => {
      const epoch = await register(t.storage, { definitions: [] });
      const [early, late] = [await begin(t, epoch), await begin(t, epoch)];
      const park = (sagaId: string) =>
        append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { row: released(null, definitionMissing) }));
      await park(early);
      const holder = await register(t.storage);
      await park(late);
      deepEqual(new Set(await claimIds(t.storage, holder)), new Set([early, late]));
      await t.storage.leases.retire(holder);
      deepEqual(new Set(await claimIds(t.storage, epoch)), new Set([early, late]));
      await append(
        { storage: t.storage, epoch },
        toEntry(early, 3, { row: released(null, definitionMissing) }),
      );
      equal((await rowOf(t.storage, early)).wakeAt, null);
    },
  ),

  rule("beat: alive until fenced or retired", async (t) => {
    const [first, second, third] = [
      await register(t.storage),
      await register(t.storage),
      await register(t.storage),
    ];
    deepEqual(await t.storage.leases.beat(first), {
      now: t.now(),
      alive: true,
      work: false,
      mail: false,
      upkeep: false,
    });
    await t.storage.leases.retire(second);
    equal(await fence(t, [first]), 0);
    equal((await t.storage.leases.beat(first)).alive, true);
    for (const epoch of [second, third, 4_711_000]) equal((await t.storage.leases.beat(epoch)).alive, false);
  }),

  rule("beat: renews the lease, also one that has run out unnoticed", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    for (const pause of [LEASE_MS * 0.7, LEASE_MS * 0.7, LEASE_MS * 2]) {
      advance(t, pause);
      equal((await t.storage.leases.beat(epoch)).alive, true);
      equal(await t.storage.leases.fenceExpired(), 0);
    }
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2));
  }),

  rule("beat: each worker's lease is as long as it said", async (t) => {
    const short = await register(t.storage, { leaseMs: 1_000 });
    const long = await register(t.storage, { leaseMs: 60_000 });
    advance(t, 2_000);
    await t.storage.leases.fenceExpired();
    equal((await t.storage.leases.beat(short)).alive, false);
    equal((await t.storage.leases.beat(long)).alive, true);
  }),

  rule("beat: tells of work when a claim would find some, and only then", async (t) => {
    const starter = await register(t.storage, { definitions: [] });
    const worker = await register(t.storage);
    const work = async () => (await t.storage.leases.beat(worker)).work;
    equal(await work(), false);
    await beginUnowned(t, starter, { sagaName: "refund" });
    await beginUnowned(t, starter, { version: 2, graphHash: "hash-2" });
    equal(await work(), false, "of a definition that it does not hold");
    const sagaId = await beginUnowned(t, starter, { wakeAt: t.now() + 5_000 });
    equal(await work(), false, "before its time");
    advance(t, 5_000);
    equal(await work(), true);
    deepEqual(await claimIds(t.storage, worker), [sagaId]);
    equal(await work(), false, "claimed");
    await append(
      { storage: t.storage, epoch: worker },
      toEntry(sagaId, 2, { row: released(null, { status: "completed", finished: true }) }),
    );
    equal(await work(), false, "ended");
  }),

  rule("beat: tells of unread mail for sagas of this worker", async (t) => {
    const [worker, other] = [await register(t.storage), await register(t.storage)];
    const mine = await begin(t, worker);
    const theirs = await begin(t, other);
    const mail = async () => (await t.storage.leases.beat(worker)).mail;
    await t.storage.mailbox.send(toMail(theirs));
    equal(await mail(), false, "mail of another worker's saga");
    const [first, second] = [toMail(mine), toMail(mine)];
    await t.storage.mailbox.send(first);
    await t.storage.mailbox.send(second);
    equal(await mail(), true);
    await append({ storage: t.storage, epoch: worker }, toEntry(mine, 2, { readMails: [first.mailId] }));
    equal(await mail(), true, "one is left");
    await t.storage.mailbox.refuse(worker, [{ ...second, code: "SAGAZ_UNKNOWN_SIGNAL", details: "{}" }]);
    equal(await mail(), false);
    await t.storage.mailbox.send(toMail(mine));
    equal(await mail(), true);
    await append({ storage: t.storage, epoch: worker }, toEntry(mine, 3, { row: released(null) }));
    equal(await mail(), false, "not its saga any more");
    deepEqual(await claimIds(t.storage, worker), [mine]);
    equal(await mail(), true, "its saga again");
  }),

  rule("beat: tells of upkeep while another's lease has run out", async (t) => {
    const [dead, alive] = [await register(t.storage), await register(t.storage)];
    await begin(t, dead);
    const upkeep = async () => (await t.storage.leases.beat(alive)).upkeep;
    equal(await upkeep(), false);
    advance(t, LEASE_MS + 1);
    equal(await upkeep(), true);
    equal(await t.storage.leases.fenceExpired(), 1);
    equal(await upkeep(), false);
  }),

  rule("beat: tells of upkeep while a saga waits for a definition that nobody holds", async (t) => {
    const starter = await register(t.storage, { definitions: [] });
    const upkeep = async () => (await t.storage.leases.beat(starter)).upkeep;
    await beginUnowned(t, starter);
    equal(await upkeep(), true);
    await register(t.storage);
    equal(await upkeep(), false);
  }),

  rule(
    "fence: lets go of a dead worker's sagas at once, counts them, and touches no one else's",
    async (t) => {
      const [dead, alive] = [await register(t.storage), await register(t.storage)];
      const [busy, kept] = [await begin(t, dead), await begin(t, alive)];
      const asleep = await begin(t, dead, { row: released(t.now() + 3_600_000) });
      const waiting = await begin(t, dead, { row: { ...released(null), release: undefined } });
      equal(await fence(t, [alive]), 2);
      for (const sagaId of [busy, waiting]) {
        const row = await rowOf(t.storage, sagaId);
        deepEqual([row.owner, row.adoptions], [null, 1]);
        ok(row.wakeAt !== null && row.wakeAt <= t.now(), "it is due");
      }
      const [keptRow, asleepRow] = [await rowOf(t.storage, kept), await rowOf(t.storage, asleep)];
      deepEqual(
        [keptRow.owner, keptRow.adoptions, asleepRow.owner, asleepRow.adoptions],
        [alive, 0, null, 0],
      );
      deepEqual(new Set(await claimIds(t.storage, alive)), new Set([busy, waiting]));
      equal(await t.storage.leases.fenceExpired(), 0);
    },
  ),

  rule("fence: counts adoptions until the saga writes again", async (t) => {
    let owner = await register(t.storage);
    const sagaId = await begin(t, owner);
    const adopt = async () => {
      const next = await register(t.storage);
      await fence(t, [next]);
      owner = next;
      return (await claim(t.storage, next)).map(({ adoptions }) => adoptions);
    };
    deepEqual([await adopt(), await adopt(), await adopt()], [[1], [2], [3]]);
    await append({ storage: t.storage, epoch: owner }, toEntry(sagaId, 2));
    equal((await rowOf(t.storage, sagaId)).adoptions, 0);
    deepEqual(await adopt(), [1]);
    await append({ storage: t.storage, epoch: owner }, toEntry(sagaId, 3), toEntry(sagaId, 4));
    equal((await rowOf(t.storage, sagaId)).adoptions, 0);
    deepEqual([await adopt(), await adopt()], [[1], [2]]);
    const untried = { ...toEntry(sagaId, 5, { row: released(t.now()) }), events: [] };
    await append({ storage: t.storage, epoch: owner }, untried);
    deepEqual(
      (await claim(t.storage, owner)).map(({ adoptions }) => adoptions),
      [2],
    );
    await append({ storage: t.storage, epoch: owner }, toEntry(sagaId, 5, { row: released(t.now()) }));
    deepEqual(
      (await claim(t.storage, owner)).map(({ adoptions }) => adoptions),
      [0],
    );
  }),

  rule("fence: a worker that died among thousands of sagas lets all of them go", async (t) => {
    const [dead, alive] = [await register(t.storage), await register(t.storage)];
    const starts = Array.from({ length: 2_500 }, () => toStart(t));
    await append(
      { storage: t.storage, epoch: dead },
      ...starts.map((start) => ({ ...toEntry(start.sagaId, 1), events: [start.started], start })),
    );
    equal(await fence(t, [alive]), 2_500);
    equal(
      (await t.storage.journal.tails(starts.map(({ sagaId }) => sagaId))).filter(
        ({ owner }) => owner === null,
      ).length,
      2_500,
    );
  }),

  rule("fence: two that sweep at the same time let each saga go once", async (t) => {
    const other = await t.another();
    const [dead, alive] = [await register(t.storage), await register(t.storage)];
    for (let n = 0; n < 20; n++) await begin(t, dead);
    advance(t, LEASE_MS + 1);
    await t.storage.leases.beat(alive);
    const counts = await Promise.all(
      [t.storage, other, t.storage].map((storage) => storage.leases.fenceExpired()),
    );
    equal(
      counts.reduce((sum, count) => sum + count, 0),
      20,
    );
    ok((await claim(t.storage, alive)).every(({ adoptions }) => adoptions === 1));
  }),

  rule("forgotten: what an epoch owns beside what it knows, with its journal and its mail", async (t) => {
    const [epoch, other] = [await register(t.storage), await register(t.storage)];
    const [known, forgotten] = [await begin(t, epoch), await begin(t, epoch)];
    await begin(t, other);
    await begin(t, epoch, { row: released(null) });
    await t.storage.mailbox.send(toMail(forgotten));
    const ask = (...ids: readonly string[]) => t.storage.leases.forgotten({ epoch, known: ids });
    const journal = await t.storage.queries.journal(forgotten);
    deepEqual(await ask(known), [{ sagaId: forgotten, adoptions: 0, mailSeq: 1, journal }]);
    deepEqual(new Set((await ask()).map(({ sagaId }) => sagaId)), new Set([known, forgotten]));
    deepEqual(await ask(known, forgotten, newId(t)), []);
    deepEqual(await t.storage.leases.forgotten({ epoch: 4_711_000, known: [] }), []);
    await fence(t, [other]);
    deepEqual(await ask(known), [], "not its saga any more");
  }),

  rule("retire: gives everything up at once without counting adoptions, and is safe twice", async (t) => {
    const [leaver, heir] = [await register(t.storage), await register(t.storage)];
    const [busy, ended] = [await begin(t, leaver), await begin(t, leaver)];
    const done = released(null, { status: "completed", finished: true });
    await append({ storage: t.storage, epoch: leaver }, toEntry(ended, 2, { row: done }));
    await t.storage.leases.retire(leaver);
    await t.storage.leases.retire(leaver);
    await t.storage.leases.retire(4_711_000);
    deepEqual(
      (await claim(t.storage, heir)).map(({ sagaId, adoptions }) => ({ sagaId, adoptions })),
      [{ sagaId: busy, adoptions: 0 }],
    );
    await throws("SAGAZ_FENCED", () => append({ storage: t.storage, epoch: leaver }, toEntry(newId(t), 1)));
    equal(await fence(t, [heir]), 0);
    equal((await rowOf(t.storage, busy)).owner, heir);
  }),
];
