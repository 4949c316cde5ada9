import { expect, test } from "vitest";
import { InMemoryStorage } from "./index.ts";
import {
  toEntry,
  toMail,
  toStart,
  toStartEntry,
  register,
  released,
  begin,
  beginUnowned,
  append,
} from "../../testing/conformance/storage/material.ts";
import type { StorageUnderTest } from "../../testing/index.ts";
import type { Hint } from "../../ports/storage.ts";

function opened() {
  const storage = new InMemoryStorage();
  const t: StorageUnderTest = {
    storage,
    another: async () => storage,
    now: () => Date.now(),
    setNow: () => {},
    close: () => storage.stop(),
  };
  const heard: Hint[] = [];
  const stop = storage.listen((hint) => heard.push(hint));
  /** What was heard since the last time; hints come in a microtask. */
  const since = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    return heard.splice(0);
  };
  return { t, storage, since, stop };
}

test("listeners hear of work, mail and ends, once a kind for all that one call changed", async () => {
  const { t, storage, since } = opened();
  const epoch = await register(storage);
  expect(await since()).toEqual([]);
  const sagaId = await begin(t, epoch);
  expect(await since()).toEqual([]);
  await append({ storage, epoch }, ...[1, 2].map(() => toStartEntry(toStart(t, { owned: false }))));
  expect(await since()).toEqual(["work"]);
  await storage.mailbox.send(toMail(sagaId));
  expect(await since()).toEqual(["mail"]);
  await append(
    { storage, epoch },
    toEntry(sagaId, 2, { row: released(null, { status: "completed", finished: true, mailSeq: 1 }) }),
  );
  expect(await since()).toEqual(["ended"]);
  await storage.mailbox.send(toMail(sagaId));
  expect((await since()).sort()).toEqual(["mail", "work"]);
});

test("work that is not due yet is not announced", async () => {
  const { t, storage, since } = opened();
  const epoch = await register(storage);
  await beginUnowned(t, epoch, { wakeAt: Date.now() + 60_000 });
  expect(await since()).toEqual([]);
});

test("a listener that left hears nothing; one that throws does not keep the others from hearing", async () => {
  const { t, storage, since, stop } = opened();
  storage.listen(() => {
    throw new Error("a listener's own trouble");
  });
  const late: Hint[] = [];
  storage.listen((hint) => late.push(hint));
  const epoch = await register(storage);
  stop();
  await beginUnowned(t, epoch);
  expect(await since()).toEqual([]);
  expect(late).toEqual(["work"]);
});

test("one function listens as often as it was added", async () => {
  const { t, storage, since } = opened();
  const heard: Hint[] = [];
  const listener = (hint: Hint) => void heard.push(hint);
  const stopOne = storage.listen(listener);
  storage.listen(listener);
  stopOne();
  await beginUnowned(t, await register(storage));
  await since();
  expect(heard).toEqual(["work"]);
});
