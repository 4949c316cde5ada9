import { deepEqual, equal, ok } from "node:assert/strict";
import type { Claim, TenantRoom } from "../../../ports/storage.ts";
import { ORDER, advance, append, beginUnowned, idsOf, register, toStart, toStartEntry } from "./material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule, StorageUnderTest } from "./storage-rule.ts";

const REFUND = { sagaName: "refund", version: 1 };

/** More claims than any adapter may need to find what stands behind a few hundred tenants. */
const CLAIMS_MAX = 20;

/** Room for sagas of any tenant, and what is left of it for some. */
function tenants(each: number, left: Record<string, number> = {}): TenantRoom {
  return { each, left: new Map(Object.entries(left)) };
}

/** Ids of what a worker with this room takes. */
async function take(
  t: StorageUnderTest,
  epoch: number,
  wanted: Partial<Claim> = {},
): Promise<readonly string[]> {
  return idsOf(await t.storage.leases.claim({ epoch, limit: 100, definitions: [ORDER], ...wanted }));
}

/** Starts sagas that nobody owns, all due later than those before, and returns their ids. */
async function backlog(
  t: StorageUnderTest,
  epoch: number,
  tenantIds: readonly (string | null)[],
): Promise<readonly string[]> {
  advance(t, 1);
  const starts = tenantIds.map((tenantId) => toStart(t, { owned: false, tenantId, wakeAt: t.now() }));
  await append({ storage: t.storage, epoch }, ...starts.map((start) => toStartEntry(start)));
  return idsOf(starts);
}

const many = (count: number, tenantId: string | null) => Array.from({ length: count }, () => tenantId);

/** Claims by workers that have no room for all that is due: what is full is passed over, and never hides others. */
export const roomRules: readonly StorageRule[] = [
  rule("room: at most so many of a definition, the longest due ones, and others beside them", async (t) => {
    const epoch = await register(t.storage);
    const orders: string[] = [];
    for (let n = 0; n < 5; n++) {
      orders.push(await beginUnowned(t, epoch, { wakeAt: t.now() }));
      advance(t, 10);
    }
    const refund = await beginUnowned(t, epoch, { sagaName: "refund", wakeAt: t.now() });
    const definitions = [{ ...ORDER, room: 2 }, REFUND];
    deepEqual(await take(t, epoch, { definitions }), [...orders.slice(0, 2), refund]);
    deepEqual(await take(t, epoch, { definitions, limit: 1 }), orders.slice(2, 3));
    deepEqual(
      await take(t, epoch, { definitions: [{ ...ORDER, room: 1_000_000_000_000 }] }),
      orders.slice(3),
    );
  }),

  rule("room: with room for everyone the order is that of being due, whatever the tenant", async (t) => {
    const epoch = await register(t.storage);
    const ids = await backlog(t, epoch, ["b", null, "a", "b", null, "c"]);
    deepEqual(await take(t, epoch, { limit: 4, tenants: tenants(9) }), ids.slice(0, 4));
    deepEqual(await take(t, epoch, { limit: 4, tenants: tenants(1_000_000_000_000) }), ids.slice(4));
  }),

  rule("room: at most so many of a tenant in one claim, less of one that has some already", async (t) => {
    const epoch = await register(t.storage);
    const [a1, a2, , b1, b2, c1, none1, none2] = await backlog(t, epoch, [
      "a",
      "a",
      "a",
      "b",
      "b",
      "c",
      null,
      null,
    ]);
    const wanted = { tenants: tenants(2, { b: 1, c: 0, "never seen": 0 }) };
    deepEqual(await take(t, epoch, wanted), [a1, a2, b1, none1, none2]);
    deepEqual(await take(t, epoch, { tenants: tenants(2, { a: 0, b: 1, c: 2 }) }), [b2, c1]);
  }),

  rule("room: of a tenant and of a definition both count, also together", async (t) => {
    const epoch = await register(t.storage);
    const [order] = await backlog(t, epoch, ["a", "a"]);
    const refunds: string[] = [];
    for (const tenantId of ["a", "b", "c"])
      refunds.push(await beginUnowned(t, epoch, { sagaName: "refund", tenantId, wakeAt: t.now() }));
    const definitions = [ORDER, { ...REFUND, room: 1 }];
    deepEqual(await take(t, epoch, { definitions, tenants: tenants(1) }), [order, refunds[1]]);
  }),

  rule("room: a full tenant's backlog hides nobody, however long it has been due", async (t) => {
    const epoch = await register(t.storage);
    await backlog(t, epoch, many(700, "full"));
    const others = await backlog(t, epoch, ["z", null, "a", "a", "z"]);
    const sleeper = await beginUnowned(t, epoch, { tenantId: "asleep", wakeAt: t.now() + 60_000 });
    const taken = await take(t, epoch, { tenants: tenants(1, { full: 0 }) });
    deepEqual(new Set(taken), new Set([others[0], others[1], others[2]]));
    advance(t, 60_000);
    const rest = await take(t, epoch, { tenants: tenants(1, { full: 0 }) });
    deepEqual(new Set(rest), new Set([others[3], others[4], sleeper]));
    equal((await take(t, epoch, { tenants: tenants(1, { full: 3 }), limit: 9 })).length, 3);
  }),

  rule("room: who stands before and behind a full tenant's backlog is taken once", async (t) => {
    const epoch = await register(t.storage);
    const before = await backlog(t, epoch, [null, "a", "b"]);
    await backlog(t, epoch, many(700, "full"));
    const behind = await backlog(t, epoch, ["b", null, "a", "a"]);
    const taken = await take(t, epoch, { tenants: tenants(2, { full: 0 }) });
    deepEqual([...taken].sort(), [...before, ...behind.slice(0, 3)].sort());
    deepEqual(await take(t, epoch, { tenants: tenants(2, { full: 0 }) }), behind.slice(3));
  }),

  rule("room: one full tenant's backlog hides no other definition's", async (t) => {
    const epoch = await register(t.storage);
    await backlog(t, epoch, many(700, "full"));
    const refund = await beginUnowned(t, epoch, { sagaName: "refund", tenantId: "a", wakeAt: t.now() });
    const wanted = { definitions: [ORDER, REFUND], tenants: tenants(1, { full: 0 }) };
    deepEqual(await take(t, epoch, { ...wanted, limit: 1 }), [refund]);
  }),

  rule(
    "room: behind hundreds of tenants that are full or asleep everyone is found in a few claims",
    async (t) => {
      const epoch = await register(t.storage);
      const full = Array.from({ length: 400 }, (_, n) => `tenant-${String(n).padStart(4, "0")}`);
      await backlog(t, epoch, full);
      for (const tenantId of ["m-asleep", "y-asleep"])
        await beginUnowned(t, epoch, { tenantId, wakeAt: t.now() + 60_000 });
      const waiting = new Set(await backlog(t, epoch, ["a", "tenant-0200x", "z", null]));
      const left = Object.fromEntries(full.map((tenantId) => [tenantId, 0]));
      for (let claims = 0; waiting.size > 0; claims++) {
        ok(claims < CLAIMS_MAX, `${waiting.size} were not found`);
        for (const id of await take(t, epoch, { limit: 2, tenants: tenants(1, left) }))
          ok(waiting.delete(id));
      }
      deepEqual(await take(t, epoch, { tenants: tenants(1, left) }), []);
    },
  ),

  rule("room: tenants behind a full one take turns, whoever else is claimed in between", async (t) => {
    const epoch = await register(t.storage);
    await backlog(t, epoch, many(700, "a-full"));
    const others = await backlog(t, epoch, ["b", "c", "b", "c", "b", "c"].concat(many(300, "b") as string[]));
    const seen: string[] = [];
    for (let round = 0; round < 3; round++) {
      seen.push(...(await take(t, epoch, { limit: 1, tenants: tenants(1, { "a-full": 0 }) })));
      equal((await take(t, epoch, { limit: 1, tenants: tenants(1, { "a-full": 1 }) })).length, 1);
      seen.push(...(await take(t, epoch, { limit: 1, tenants: tenants(1, { "a-full": 0 }) })));
    }
    ok(
      seen.some((id) => others.indexOf(id) % 2 === 1 && others.indexOf(id) < 6),
      "one of tenant c",
    );
  }),

  rule("room: one saga alone is not taken either when its tenant is full", async (t) => {
    const epoch = await register(t.storage);
    const [sagaId = "", none = ""] = await backlog(t, epoch, ["a", null]);
    deepEqual(await take(t, epoch, { sagaId, tenants: tenants(1, { a: 0 }) }), []);
    deepEqual(await take(t, epoch, { sagaId, definitions: [REFUND], tenants: tenants(1) }), []);
    deepEqual(await take(t, epoch, { sagaId, tenants: tenants(1, { b: 0 }) }), [sagaId]);
    deepEqual(await take(t, epoch, { sagaId: none, tenants: tenants(1, { a: 0 }) }), [none]);
  }),

  rule("room: of workers that race each takes what it has room for, and each saga goes to one", async (t) => {
    const storages = [t.storage, await t.another(), t.storage, await t.another()];
    const starter = await register(t.storage);
    await backlog(t, starter, [...many(60, "a"), ...many(20, "b"), ...many(20, null), ...many(20, "c")]);
    const claimed = await Promise.all(
      storages.map(async (storage) => {
        const epoch = await register(storage);
        const mine: string[] = [];
        // Rows that another worker is just taking may be passed over, so an empty answer is not the end.
        for (let round = 0; round < 60; round++) {
          const sagas = await storage.leases.claim({
            epoch,
            limit: 7,
            definitions: [ORDER],
            tenants: tenants(3, { b: 1 }),
          });
          const rows = await Promise.all(sagas.map(({ sagaId }) => storage.queries.find(sagaId)));
          const count = (tenantId: string) => rows.filter((row) => row?.tenantId === tenantId).length;
          ok(count("a") <= 3 && count("b") <= 1 && count("c") <= 3, "more than there is room for");
          mine.push(...idsOf(sagas));
        }
        for (const { owner } of await storage.journal.tails(mine)) equal(owner, epoch);
        return mine;
      }),
    );
    equal(claimed.flat().length, 120);
    equal(new Set(claimed.flat()).size, 120);
  }),

  rule("room: a fenced worker gets nothing, whatever room it has", async (t) => {
    const epoch = await register(t.storage);
    const ids = await backlog(t, epoch, ["a", null]);
    await t.storage.leases.retire(epoch);
    deepEqual(await take(t, epoch, { tenants: tenants(5) }), []);
    const alive = await register(t.storage);
    deepEqual(new Set(await take(t, alive, { tenants: tenants(5) })), new Set(ids));
  }),

  rule("room: tenants with strange names are tenants like others", async (t) => {
    const epoch = await register(t.storage);
    const names = ["\u0001", "a\u0001", "a", '"', "\\", "__proto__", "💶", "x".repeat(500)];
    await backlog(t, epoch, many(700, "full"));
    const ids = await backlog(t, epoch, [...names, ...names]);
    const first = new Set(await take(t, epoch, { tenants: tenants(1, { full: 0 }) }));
    deepEqual(first, new Set(ids.slice(0, names.length)));
    const none = new Map(["full", ...names].map((name) => [name, 0]));
    deepEqual(await take(t, epoch, { tenants: { each: 1, left: none } }), []);
  }),
];
