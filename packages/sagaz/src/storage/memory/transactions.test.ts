import { expect, test } from "vitest";
import { register, toKeyed, toStart } from "../../testing/conformance/storage/material.ts";
import { InMemoryStorage } from "./index.ts";

function opened() {
  const storage = new InMemoryStorage();
  const now = Date.now();
  const t = {
    storage,
    another: async () => storage,
    now: () => now,
    setNow: () => {},
    close: async () => {},
  };
  return { storage, t };
}

test("a transaction in memory runs no SQL", async () => {
  const { tx } = new InMemoryStorage().begin();
  await expect(tx("select 1")).rejects.toMatchObject({ code: "SAGAZ_CANNOT" });
});

test("a foreign transaction is refused, and so is one that has ended", async () => {
  const { storage, t } = opened();
  const start = toStart(t, { owned: false });
  await expect(storage.journal.startIn(async () => [], start)).rejects.toMatchObject({
    code: "SAGAZ_CANNOT",
  });
  const ended = storage.begin();
  await ended.rollback();
  await expect(storage.journal.startIn(ended.tx, start)).rejects.toMatchObject({ code: "SAGAZ_CANNOT" });
  const others = new InMemoryStorage().begin();
  await expect(storage.journal.startIn(others.tx, start)).rejects.toMatchObject({ code: "SAGAZ_CANNOT" });
});

test("a commit after the end does nothing", async () => {
  const { storage, t } = opened();
  const start = toStart(t, { owned: false });
  const transaction = storage.begin();
  await storage.journal.startIn(transaction.tx, start);
  await transaction.rollback();
  await transaction.commit();
  expect(await storage.queries.find(start.sagaId)).toBeUndefined();
});

test("two open transactions cannot hold one key", async () => {
  const { storage, t } = opened();
  const [first, second] = [storage.begin(), storage.begin()];
  const [holder, late] = [toKeyed(t, "k", { owned: false }), toKeyed(t, "k", { owned: false })];
  await storage.journal.startIn(first.tx, holder);
  expect(await storage.journal.startIn(second.tx, late)).toEqual({ kind: "busy" });
  await first.rollback();
  expect(await storage.journal.startIn(second.tx, late)).toEqual({ kind: "started", sagaId: late.sagaId });
});

test("an id that was taken before the commit takes the whole transaction down", async () => {
  const { storage, t } = opened();
  const epoch = await register(storage);
  const [one, taken] = [toStart(t, { owned: false }), toStart(t, { owned: false })];
  const transaction = storage.begin();
  await storage.journal.startIn(transaction.tx, one);
  await storage.journal.startIn(transaction.tx, taken);
  await storage.journal.startKeyed(epoch, [{ ...taken, idempotencyKey: "k", inputHash: "h" }]);
  await expect(storage.journal.startIn(storage.begin().tx, taken)).rejects.toMatchObject({
    code: "SAGAZ_CONFLICT",
  });
  await expect(transaction.commit()).rejects.toMatchObject({ code: "SAGAZ_CONFLICT" });
  expect(await storage.queries.find(one.sagaId)).toBeUndefined();
});

test("a keyed start whose id is taken is refused with all beside it", async () => {
  const { storage, t } = opened();
  const epoch = await register(storage);
  const [first, beside] = [toKeyed(t, "a"), toKeyed(t, "b")];
  await storage.journal.startKeyed(epoch, [first]);
  const clash = toKeyed(t, "c", { sagaId: first.sagaId });
  await expect(storage.journal.startKeyed(epoch, [beside, clash])).rejects.toMatchObject({
    code: "SAGAZ_CONFLICT",
  });
  expect(await storage.queries.find(beside.sagaId)).toBeUndefined();
});

test("attributes that are not JSON are refused", async () => {
  const { storage, t } = opened();
  const { tx } = storage.begin();
  const start = toStart(t, { owned: false, attributes: "{" });
  await expect(storage.journal.startIn(tx, start)).rejects.toMatchObject({ code: "SAGAZ_STORAGE_REFUSED" });
});
