import { expect, test } from "vitest";
import { InMemoryStorage } from "../storage/memory/index.ts";
import { register } from "./conformance/storage/material.ts";
import { withFaults } from "./faults.ts";

test("a fault strikes once, the operation it was ordered for", async () => {
  const memory = new InMemoryStorage();
  const { storage, failNext } = withFaults(memory);
  const epoch = await register(storage);
  failNext("append", "before");
  await storage.journal.startKeyed(epoch, []);
  const empty = { epoch, entries: [] };
  await expect(storage.journal.append(empty)).rejects.toMatchObject({ code: "SAGAZ_STORAGE_UNAVAILABLE" });
  await expect(storage.journal.append(empty)).resolves.toEqual({ at: expect.any(Number) });
});

test("a call that fails by itself fails as itself, also when its answer was to be lost", async () => {
  const { storage, failNext } = withFaults(new InMemoryStorage());
  failNext("append", "after");
  await expect(storage.journal.append({ epoch: 1, entries: [] })).rejects.toMatchObject({
    code: "SAGAZ_FENCED",
  });
});

test("everything else reaches the storage as it is", async () => {
  const memory = new InMemoryStorage();
  const { storage } = withFaults(memory);
  expect([storage.name, storage.can]).toEqual([memory.name, memory.can]);
  expect([storage.leases, storage.queries, storage.upkeep]).toEqual([
    memory.leases,
    memory.queries,
    memory.upkeep,
  ]);
  await storage.start();
  await storage.stop();
  storage.listen(() => {})();
  await expect(storage.journal.transaction(async () => {})).rejects.toMatchObject({ code: "SAGAZ_CANNOT" });
});
