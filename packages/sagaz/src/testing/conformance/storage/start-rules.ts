import { deepEqual, equal } from "node:assert/strict";
import type { KeyedOutcome, SagaStorage, StartRow } from "../../../ports/storage.ts";
import {
  absent,
  advance,
  begin,
  claimIds,
  fence,
  register,
  rowOf,
  throws,
  toKeyed,
  toMail,
  toStart,
  typesOf,
} from "./material.ts";
import { given } from "../given.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule, StorageUnderTest } from "./storage-rule.ts";

const TRIES_MAX = 200;

/** Tries again while another's open transaction has the key, as the runtime does. */
async function startUntilKnown(
  storage: SagaStorage,
  start: StartRow,
): Promise<Exclude<KeyedOutcome, { kind: "busy" }> | undefined> {
  const epoch = await register(storage);
  for (let n = 0; n < TRIES_MAX; n++) {
    const [outcome] = await storage.journal.startKeyed(epoch, [start]);
    if (outcome && outcome.kind !== "busy") return outcome;
  }
  return undefined;
}

/** Keyed starts, and starts inside the caller's transaction. */
export const startRules: readonly StorageRule[] = [
  rule("start: a new key starts a saga that this worker owns", async (t) => {
    const epoch = await register(t.storage);
    const start = toKeyed(t, "k");
    deepEqual(await t.storage.journal.startKeyed(epoch, [start]), [
      { kind: "started", sagaId: start.sagaId },
    ]);
    const row = await rowOf(t.storage, start.sagaId);
    deepEqual([row.owner, row.status], [epoch, "running"]);
    deepEqual(await t.storage.queries.journal(start.sagaId), [{ seq: 1, at: t.now(), ...start.started }]);
  }),

  rule("start: a keyed start for any worker waits for its time", async (t) => {
    const epoch = await register(t.storage);
    const start = toKeyed(t, "k", { owned: false, wakeAt: t.now() + 1_000 });
    await t.storage.journal.startKeyed(epoch, [start]);
    deepEqual(await claimIds(t.storage, epoch), []);
    advance(t, 1_000);
    deepEqual(await claimIds(t.storage, epoch), [start.sagaId]);
  }),

  rule("start: a known key gives the first saga, and tells another input", async (t) => {
    const epoch = await register(t.storage);
    const first = toKeyed(t, "k");
    await t.storage.journal.startKeyed(epoch, [first]);
    const [again, changed, newer] = [
      toKeyed(t, "k"),
      toKeyed(t, "k", { inputHash: "bb".repeat(32) }),
      toKeyed(t, "k", { version: 2, graphHash: "hash-2" }),
    ];
    deepEqual(await t.storage.journal.startKeyed(epoch, [again, changed, newer, first]), [
      { kind: "existing", sagaId: first.sagaId, sameInput: true },
      { kind: "existing", sagaId: first.sagaId, sameInput: false },
      { kind: "existing", sagaId: first.sagaId, sameInput: true },
      { kind: "existing", sagaId: first.sagaId, sameInput: true },
    ]);
    for (const { sagaId } of [again, changed, newer]) await absent(t.storage, sagaId);
    equal((await typesOf(t.storage, first.sagaId)).length, 1);
  }),

  rule("start: outcomes come in the order of the starts, of which the first with a key wins", async (t) => {
    const epoch = await register(t.storage);
    const starts = ["z", "a", "z", "m"].map((key) => toKeyed(t, key));
    const [z = "", a = "", , m = ""] = starts.map(({ sagaId }) => sagaId);
    deepEqual(await t.storage.journal.startKeyed(epoch, starts), [
      { kind: "started", sagaId: z },
      { kind: "started", sagaId: a },
      { kind: "existing", sagaId: z, sameInput: true },
      { kind: "started", sagaId: m },
    ]);
    deepEqual(await t.storage.journal.startKeyed(epoch, []), []);
  }),

  rule("start: a key belongs to its tenant and its saga name", async (t) => {
    const epoch = await register(t.storage);
    const starts = [
      toKeyed(t, "k"),
      toKeyed(t, "k", { tenantId: "t1" }),
      toKeyed(t, "k", { tenantId: "t2" }),
      toKeyed(t, "k", { sagaName: "refund" }),
    ];
    const outcomes = await t.storage.journal.startKeyed(epoch, starts);
    deepEqual(
      outcomes,
      starts.map(({ sagaId }) => ({ kind: "started", sagaId })),
    );
  }),

  rule("start: racing starts with one key make one saga", async (t) => {
    const workers = [t.storage, await t.another()];
    for (let round = 0; round < 10; round++) {
      const racers = await Promise.all(
        Array.from({ length: 8 }, async (_, racer) => {
          const storage = workers[racer % 2] ?? t.storage;
          return startUntilKnown(storage, toKeyed(t, `race-${round}`));
        }),
      );
      equal(racers.filter((outcome) => outcome?.kind === "started").length, 1);
      equal(new Set(racers.map((outcome) => outcome?.sagaId)).size, 1);
    }
  }),

  rule("start: a fenced worker starts nothing", async (t) => {
    const [zombie, alive] = [await register(t.storage), await register(t.storage)];
    await fence(t, [alive]);
    const start = toKeyed(t, "k");
    await throws("SAGAZ_FENCED", () => t.storage.journal.startKeyed(zombie, [start]));
    await absent(t.storage, start.sagaId);
    deepEqual(await t.storage.journal.startKeyed(alive, [start]), [
      { kind: "started", sagaId: start.sagaId },
    ]);
  }),

  rule(
    "start: inside the caller's transaction a saga exists from the commit on",
    async (t) => {
      const epoch = await register(t.storage);
      const [plain, keyed] = [toStart(t, { owned: false }), toKeyed(t, "k", { owned: false })];
      const transaction = await given(t.begin)();
      deepEqual(await t.storage.journal.startIn(transaction.tx, plain), {
        kind: "started",
        sagaId: plain.sagaId,
      });
      deepEqual(await t.storage.journal.startIn(transaction.tx, keyed), {
        kind: "started",
        sagaId: keyed.sagaId,
      });
      for (const { sagaId } of [plain, keyed]) {
        await absent(t.storage, sagaId);
        await throws("SAGAZ_SAGA_NOT_FOUND", () => t.storage.mailbox.send(toMail(sagaId)));
      }
      deepEqual(await claimIds(t.storage, epoch), []);
      await transaction.commit();
      await isWaiting(t, plain);
      await isWaiting(t, keyed);
      deepEqual(new Set(await claimIds(t.storage, epoch)), new Set([plain.sagaId, keyed.sagaId]));
    },
    ["joinTransaction"],
  ),

  rule(
    "start: a rollback of the caller's transaction leaves nothing, and its key free",
    async (t) => {
      const epoch = await register(t.storage);
      const [plain, keyed] = [toStart(t, { owned: false }), toKeyed(t, "k", { owned: false })];
      const transaction = await given(t.begin)();
      await t.storage.journal.startIn(transaction.tx, plain);
      await t.storage.journal.startIn(transaction.tx, keyed);
      await transaction.rollback();
      await absent(t.storage, plain.sagaId);
      await absent(t.storage, keyed.sagaId);
      const again = toKeyed(t, "k");
      deepEqual(await t.storage.journal.startKeyed(epoch, [again]), [
        { kind: "started", sagaId: again.sagaId },
      ]);
    },
    ["joinTransaction"],
  ),

  rule(
    "start: inside the caller's transaction known keys are seen, also its own",
    async (t) => {
      const epoch = await register(t.storage);
      const first = toKeyed(t, "old");
      await t.storage.journal.startKeyed(epoch, [first]);
      const transaction = await given(t.begin)();
      const again = toKeyed(t, "old", { owned: false, inputHash: "bb".repeat(32) });
      deepEqual(await t.storage.journal.startIn(transaction.tx, again), {
        kind: "existing",
        sagaId: first.sagaId,
        sameInput: false,
      });
      const own = toKeyed(t, "new", { owned: false });
      await t.storage.journal.startIn(transaction.tx, own);
      deepEqual(await t.storage.journal.startIn(transaction.tx, toKeyed(t, "new", { owned: false })), {
        kind: "existing",
        sagaId: own.sagaId,
        sameInput: true,
      });
      await transaction.commit();
      await absent(t.storage, again.sagaId);
    },
    ["joinTransaction"],
  ),

  rule(
    "start: a key held by an open transaction is busy, its neighbours are not, and the commit decides",
    async (t) => {
      const epoch = await register(t.storage);
      const holder = toKeyed(t, "held", { owned: false });
      const transaction = await given(t.begin)();
      await t.storage.journal.startIn(transaction.tx, holder);
      const [waiting, free] = [toKeyed(t, "held"), toKeyed(t, "free")];
      const outcomes = await t.storage.journal.startKeyed(epoch, [waiting, free]);
      deepEqual(outcomes, [{ kind: "busy" }, { kind: "started", sagaId: free.sagaId }]);
      await transaction.commit();
      deepEqual(await t.storage.journal.startKeyed(epoch, [waiting]), [
        { kind: "existing", sagaId: holder.sagaId, sameInput: true },
      ]);
    },
    ["joinTransaction"],
  ),

  rule(
    "start: a storage that cannot join a transaction says so",
    async (t) => {
      const epoch = await register(t.storage);
      const start = toStart(t, { owned: false });
      await throws("SAGAZ_CANNOT", () => t.storage.journal.startIn(async () => [], start));
      await absent(t.storage, start.sagaId);
      await begin(t, epoch);
    },
    ["no joinTransaction"],
  ),
];

async function isWaiting(t: StorageUnderTest, start: StartRow): Promise<void> {
  const row = await rowOf(t.storage, start.sagaId);
  deepEqual([row.owner, row.status, row.waitingFor], [null, "pending", "start"]);
  deepEqual(await typesOf(t.storage, start.sagaId), ["saga_started"]);
}
