import { deepEqual, equal, ok } from "node:assert/strict";
import type { SagaStatus } from "../../../core/saga/status.ts";
import type { AppendEntry } from "../../../ports/storage.ts";
import {
  absent,
  advance,
  append,
  begin,
  beginUnowned,
  claim,
  codeOf,
  event,
  fence,
  newId,
  register,
  released,
  rowOf,
  throws,
  toEntry,
  toRow,
  toStart,
  toStartEntry,
  typesOf,
} from "./material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule } from "./storage-rule.ts";

/** Appending to journals: all or nothing, by the owner, in order. */
export const journalRules: readonly StorageRule[] = [
  rule(
    "journal: a batch is read back as it was written, numbered from 1, with the time of the write",
    async (t) => {
      const epoch = await register(t.storage);
      const start = toStart(t, { correlationId: "c-1", tenantId: "shop", attributes: '{"region":"eu"}' });
      const first = await append(
        { storage: t.storage, epoch },
        toStartEntry(start, {
          events: [start.started, event("step_done", '{"result":[1,2]}', "reserve")],
          row: toRow(),
        }),
      );
      equal(first.at, t.now());
      advance(t, 1_000);
      const second = await append(
        { storage: t.storage, epoch },
        toEntry(start.sagaId, 3, { events: [event("timer_set", '{"until":9}', "nap")] }),
      );
      equal(second.at, first.at + 1_000);
      deepEqual(await t.storage.queries.journal(start.sagaId), [
        { seq: 1, at: first.at, ...start.started },
        { seq: 2, at: first.at, type: "step_done", step: "reserve", data: '{"result":[1,2]}' },
        { seq: 3, at: second.at, type: "timer_set", step: "nap", data: '{"until":9}' },
      ]);
    },
  ),

  rule("journal: a start without a row shows running when owned, pending when not", async (t) => {
    const epoch = await register(t.storage);
    const owned = await rowOf(t.storage, await begin(t, epoch));
    deepEqual([owned.status, owned.waitingFor, owned.owner], ["running", null, epoch]);
    const unowned = await rowOf(t.storage, await beginUnowned(t, epoch));
    deepEqual([unowned.status, unowned.waitingFor, unowned.owner], ["pending", "start", null]);
  }),

  rule("journal: a batch with one refused entry writes nothing at all", async (t) => {
    const epoch = await register(t.storage);
    const known = await begin(t, epoch);
    const start = toStart(t);
    const spawn = toStart(t, { owned: false });
    const good = toStartEntry(start, {
      spawns: [spawn],
      mails: [{ mailId: "m", sagaId: known, kind: "signal", body: "{}" }],
    });
    const change = toEntry(known, 2, { row: toRow({ error: "changed" }) });
    const bad = toEntry(known, 2, { events: [event("step_failed", "{}", "charge")] });
    await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch }, good, change, bad));
    await absent(t.storage, start.sagaId);
    await absent(t.storage, spawn.sagaId);
    deepEqual(await typesOf(t.storage, known), ["saga_started"]);
    equal((await rowOf(t.storage, known)).error, null);
    deepEqual(await t.storage.mailbox.fetch(epoch, 10), []);
  }),

  rule("journal: a seq is written once", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2));
    await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch }, toEntry(sagaId, 2)));
    await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch }, toEntry(sagaId, 1)));
    deepEqual(await typesOf(t.storage, sagaId), ["saga_started", "step_done"]);
  }),

  rule("journal: an event whose predecessor is not stored is not written", async (t) => {
    const epoch = await register(t.storage);
    const [sagaId, neighbour] = [await begin(t, epoch), await begin(t, epoch)];
    const gap = toEntry(sagaId, 3);
    await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch }, toEntry(neighbour, 2), gap));
    deepEqual(await typesOf(t.storage, sagaId), ["saga_started"]);
    await append({ storage: t.storage, epoch }, toEntry(neighbour, 2), toEntry(sagaId, 2), gap);
    deepEqual(await typesOf(t.storage, sagaId), ["saga_started", "step_done", "step_done"]);
  }),

  rule("journal: of racing writes of one seq exactly one happens", async (t) => {
    const epoch = await register(t.storage);
    const other = await t.another();
    for (let round = 0; round < 10; round++) {
      const sagaId = await begin(t, epoch);
      const peers = [await begin(t, epoch), await begin(t, epoch)];
      const racers = [t.storage, other].map((storage, racer) => {
        const entry = toEntry(sagaId, 2, { events: [event("step_done", `{"result":${racer}}`, "race")] });
        return append({ storage, epoch }, entry, ...inCompany(round, peers[racer]));
      });
      const outcomes = await Promise.allSettled(racers);
      const won = outcomes.flatMap(({ status }, racer) => (status === "fulfilled" ? [racer] : []));
      equal(won.length, 1);
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") equal(codeOf(outcome.reason), "SAGAZ_CONFLICT");
      }
      equal((await t.storage.queries.journal(sagaId))[1]?.data, `{"result":${won[0]}}`);
    }
  }),

  rule("journal: what is refused alone is refused in company, and its company with it", async (t) => {
    const [epoch, other] = [await register(t.storage), await register(t.storage)];
    const [givenUp, unowned] = [await begin(t, epoch), await beginUnowned(t, epoch)];
    await append({ storage: t.storage, epoch }, toEntry(givenUp, 2, { row: released(null) }));
    const foreign = await begin(t, other);
    const written = await begin(t, epoch);
    await append({ storage: t.storage, epoch }, toEntry(written, 2));
    const refused = [
      toEntry(written, 2),
      toEntry(written, 1),
      toEntry(written, 4),
      toEntry(givenUp, 3),
      toEntry(unowned, 2),
      toEntry(foreign, 2),
      toEntry(newId(t), 2),
    ];
    for (const entry of refused) {
      const peer = await begin(t, epoch);
      const before = await typesOf(t.storage, entry.sagaId);
      await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch }, entry));
      await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch }, toEntry(peer, 2), entry));
      deepEqual(await typesOf(t.storage, peer), ["saga_started"]);
      deepEqual(await typesOf(t.storage, entry.sagaId), before);
    }
  }),

  rule("journal: a saga starts once", async (t) => {
    const epoch = await register(t.storage);
    const start = toStart(t);
    await append({ storage: t.storage, epoch }, toStartEntry(start));
    await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch }, toStartEntry(start)));
    equal((await typesOf(t.storage, start.sagaId)).length, 1);
  }),

  rule("journal: several entries of one saga in one batch leave its last row", async (t) => {
    const epoch = await register(t.storage);
    const start = toStart(t);
    const { at } = await append(
      { storage: t.storage, epoch },
      toStartEntry(start, { row: toRow({ status: "pending" }) }),
      toEntry(start.sagaId, 2, { row: toRow({ error: "declined" }) }),
      toEntry(start.sagaId, 3, { row: toRow({ status: "compensated", error: "declined", finished: true }) }),
      toEntry(start.sagaId, 4, { events: [event("saga_forked")] }),
    );
    const row = await rowOf(t.storage, start.sagaId);
    deepEqual([row.status, row.error, row.finishedAt, row.owner], ["compensated", "declined", at, epoch]);
    deepEqual(await typesOf(t.storage, start.sagaId), [
      "saga_started",
      "step_done",
      "step_done",
      "saga_forked",
    ]);
  }),

  rule("journal: a row changes in every field, and only with an entry that carries one", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const parked = toRow({
      status: "parked",
      waitingFor: "operator",
      parkedReason: "outcome_unknown",
      paused: true,
      error: "who knows",
    });
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { row: parked }));
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 3));
    const { status, waitingFor, parkedReason, paused, error, output, finishedAt } = await rowOf(
      t.storage,
      sagaId,
    );
    const { release: _release, finished: _finished, ...shown } = parked;
    deepEqual({ status, waitingFor, parkedReason, paused, error, output }, shown);
    equal(finishedAt, null);
  }),

  rule(
    "journal: the end of a saga is the write that gave it its status; whoever goes on has not ended",
    async (t) => {
      const epoch = await register(t.storage);
      const sagaId = await begin(t, epoch);
      const write = async (seq: number, status: SagaStatus, finished: boolean) => {
        advance(t, 1_000);
        const row = toRow({ status, finished, output: '{"ok":true}' });
        return (await append({ storage: t.storage, epoch }, toEntry(sagaId, seq, { row }))).at;
      };
      const ended = await write(2, "completed", true);
      equal((await rowOf(t.storage, sagaId)).finishedAt, ended);
      await write(3, "completed", true);
      equal(
        (await rowOf(t.storage, sagaId)).finishedAt,
        ended,
        "a later event of an ended saga moves its end",
      );
      await write(4, "compensating", false);
      equal((await rowOf(t.storage, sagaId)).finishedAt, null);
      const undone = await write(5, "compensated", true);
      equal((await rowOf(t.storage, sagaId)).finishedAt, undone);
      const closed = await write(6, "forced_closed", true);
      equal((await rowOf(t.storage, sagaId)).finishedAt, closed);
    },
  ),

  rule("journal: an unknown, a retired and a fenced worker write nothing, not even new sagas", async (t) => {
    const alive = await register(t.storage);
    const retired = await register(t.storage);
    const fenced = await register(t.storage);
    const sagaId = await begin(t, fenced);
    await t.storage.leases.retire(retired);
    await fence(t, [alive]);
    for (const epoch of [retired, fenced, 4_711_000]) {
      const start = toStart(t);
      await throws("SAGAZ_FENCED", () => append({ storage: t.storage, epoch }, toStartEntry(start)));
      await absent(t.storage, start.sagaId);
    }
    const entry = toEntry(sagaId, 2);
    await throws("SAGAZ_FENCED", () => append({ storage: t.storage, epoch: fenced }, entry));
    await throws("SAGAZ_FENCED", () =>
      append({ storage: t.storage, epoch: fenced }, entry, toEntry(sagaId, 3)),
    );
    deepEqual(await typesOf(t.storage, sagaId), ["saga_started"]);
  }),

  rule("journal: nobody but the owner appends", async (t) => {
    const owner = await register(t.storage);
    const other = await register(t.storage);
    const sagaId = await begin(t, owner);
    await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch: other }, toEntry(sagaId, 2)));
    await append({ storage: t.storage, epoch: owner }, toEntry(sagaId, 2, { row: released(null) }));
    await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch: owner }, toEntry(sagaId, 3)));
    const unowned = await beginUnowned(t, owner);
    await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch: owner }, toEntry(unowned, 2)));
    await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch: owner }, toEntry(newId(t), 2)));
  }),

  rule("journal: an entry without events changes the row alone", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    await append(
      { storage: t.storage, epoch },
      toEntry(sagaId, 2, { events: [], row: released(t.now() + 60_000) }),
    );
    const row = await rowOf(t.storage, sagaId);
    deepEqual([row.owner, row.wakeAt, row.waitingFor], [null, t.now() + 60_000, "timer"]);
    deepEqual(await t.storage.journal.tails([sagaId]), [{ sagaId, seq: 1, owner: null }]);
    await throws("SAGAZ_CONFLICT", () =>
      append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { events: [], row: toRow() })),
    );
  }),

  rule("journal: tails tell the last seq and the owner; unknown sagas are left out", async (t) => {
    const epoch = await register(t.storage);
    const owned = await begin(t, epoch);
    await append(
      { storage: t.storage, epoch },
      toEntry(owned, 2, { events: [event("saga_paused"), event("saga_resumed")] }),
    );
    const unowned = await beginUnowned(t, epoch);
    const tails = await t.storage.journal.tails([unowned, newId(t), owned]);
    deepEqual(
      [...tails].sort((a, b) => b.seq - a.seq),
      [
        { sagaId: owned, seq: 3, owner: epoch },
        { sagaId: unowned, seq: 1, owner: null },
      ],
    );
    deepEqual(await t.storage.journal.tails([]), []);
  }),

  rule("journal: time never goes back in a journal, even when the database's clock does", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const before = t.now();
    t.setNow(before - 30_000);
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { row: released(t.now()) }));
    const next = await register(t.storage);
    equal((await claim(t.storage, next)).length, 1);
    await append({ storage: t.storage, epoch: next }, toEntry(sagaId, 3));
    const times = (await t.storage.queries.journal(sagaId)).map(({ at }) => at);
    deepEqual(
      times,
      [...times].sort((a, b) => a - b),
    );
    ok(times.every((at) => at >= before));
  }),

  rule("journal: a batch of 1,000 sagas is written whole", async (t) => {
    const epoch = await register(t.storage);
    const starts = Array.from({ length: 1_000 }, () => toStart(t));
    await append({ storage: t.storage, epoch }, ...starts.map((start) => toStartEntry(start)));
    const tails = await t.storage.journal.tails(starts.map(({ sagaId }) => sagaId));
    equal(tails.length, 1_000);
    ok(tails.every(({ seq, owner }) => seq === 1 && owner === epoch));
  }),

  rule("journal: a saga was created exactly when its id says", async (t) => {
    const epoch = await register(t.storage);
    const start = toStart(t);
    const created = t.now();
    advance(t, 1_234);
    await append({ storage: t.storage, epoch }, toStartEntry(start));
    const row = await rowOf(t.storage, start.sagaId);
    equal(row.createdAt, created);
    equal((await t.storage.queries.journal(start.sagaId))[0]?.at, t.now());
  }),

  rule("journal: what is no saga id is refused", async (t) => {
    const epoch = await register(t.storage);
    for (const id of ["nonsense", "", "6fa459ea-ee8a-4ca4-894e-db77e160355e", newId(t).toUpperCase()]) {
      await throws("SAGAZ_INVALID_ID", () =>
        append({ storage: t.storage, epoch }, toStartEntry(toStart(t, { sagaId: id }))),
      );
      await throws("SAGAZ_INVALID_ID", () => t.storage.queries.find(id));
    }
  }),

  rule("journal: an id more than 5 minutes off the database's clock starts no saga", async (t) => {
    const epoch = await register(t.storage);
    await t.storage.leases.beat(epoch);
    const [present, minute] = [t.now(), 60_000];
    for (const off of [-6 * minute, 6 * minute]) {
      t.setNow(present + off);
      const start = toStart(t);
      t.setNow(present);
      await throws("SAGAZ_CLOCK_SKEW", () => append({ storage: t.storage, epoch }, toStartEntry(start)));
      await absent(t.storage, start.sagaId);
    }
    t.setNow(present + 4 * minute);
    const start = toStart(t);
    t.setNow(present);
    await append({ storage: t.storage, epoch }, toStartEntry(start));
  }),
];

/** In every other round, a further entry: a batch takes another way into a database than one event. */
function inCompany(round: number, sagaId: string | undefined): readonly AppendEntry[] {
  return round % 2 === 0 || sagaId === undefined ? [] : [toEntry(sagaId, 2)];
}
