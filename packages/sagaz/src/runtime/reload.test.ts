import { expect, test } from "vitest";
import { SagaError } from "../core/errors.ts";
import { silentLog } from "../ports/log.ts";
import type { SagaStorage } from "../ports/storage.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { Reload } from "./reload.ts";

const ID = "019b76da-a800-7000-8000-000000000001";
const refusal = new SagaError("SAGAZ_STORAGE_REFUSED", { message: "it does not fit" });

/** A worker that owns one saga, with three events on record. */
function open() {
  const world = { epoch: 1, owner: 1, isHere: false, reads: 0, journal: [{}, {}, {}] };
  const done: string[] = [];
  const queries = {
    async find() {
      world.reads += 1;
      await Promise.resolve(); // the answer takes a while
      return { owner: world.owner, adoptions: 0 };
    },
    journal: async () => world.journal,
  };
  const reload = new Reload({
    storage: { queries } as unknown as SagaStorage,
    clock: new FakeClock(),
    log: silentLog,
    epoch: () => world.epoch,
    isWanted: () => true,
    isHere: () => world.isHere,
    onLoaded: ({ adoptions }, epoch) => void done.push(`loaded under ${epoch}, adopted ${adoptions}`),
    onHopeless: (_, why) => void done.push(why),
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { reload, world, done, settle };
}

test("a saga whose tail was lost is loaded, as one whose attempts may have run", async () => {
  const { reload, done, settle } = open();
  reload.afterLoss(ID);
  expect(reload.isClear).toBe(false);
  await settle();
  expect(done).toEqual(["loaded under 1, adopted 1"]);
  reload.settled(ID);
  expect(reload.isClear).toBe(true);
});

test("one of which nothing is left on record is loaded too: a loss is no refusal", async () => {
  const { reload, world, done, settle } = open();
  world.journal = [];
  reload.afterLoss(ID);
  await settle();
  expect(done).toEqual(["loaded under 1, adopted 1"]);
});

test("a saga that is on its way already is read once", async () => {
  const { reload, world, done, settle } = open();
  reload.afterLoss(ID);
  reload.afterLoss(ID);
  expect([...reload.loading]).toEqual([ID]);
  await settle();
  expect(world.reads).toBe(1);
  expect(done).toHaveLength(1);
  expect([...reload.loading]).toEqual([]);
});

test("what turns out meanwhile to be in memory, another epoch's or another worker's is left alone", async () => {
  for (const change of [{ isHere: true }, { epoch: 2 }, { owner: 7 }]) {
    const { reload, world, done, settle } = open();
    reload.afterLoss(ID);
    Object.assign(world, change);
    await settle();
    expect(world.reads).toBe(1);
    expect(done).toEqual([]);
    expect(reload.isClear).toBe("owner" in change); // another's is off our hands
  }
});

test("a second refusal at the same place is hopeless, also when its tail seemed lost in between", async () => {
  const { reload, done, settle } = open();
  reload.afterRefusal({ sagaId: ID, ackedSeq: 3 }, refusal);
  await settle();
  reload.afterLoss(ID);
  await settle();
  expect(done).toEqual(["loaded under 1, adopted 1", "loaded under 1, adopted 1"]);
  reload.afterRefusal({ sagaId: ID, ackedSeq: 3 }, refusal);
  await settle();
  expect(done[2]).toBe(refusal.message);
});

test("a refusal further on is counted anew, and one is none when the worker has stopped or lost its lease", async () => {
  const { reload, world, done, settle } = open();
  reload.afterRefusal({ sagaId: ID, ackedSeq: 2 }, refusal);
  await settle();
  reload.afterRefusal({ sagaId: ID, ackedSeq: 3 }, refusal);
  await settle();
  expect(done).toEqual(["loaded under 1, adopted 1", "loaded under 1, adopted 1"]);
  for (const code of ["SAGAZ_FENCED", "SAGAZ_STOPPED"] as const)
    reload.afterRefusal({ sagaId: ID, ackedSeq: 3 }, new SagaError(code, {}));
  await settle();
  expect(world.reads).toBe(2);
});
