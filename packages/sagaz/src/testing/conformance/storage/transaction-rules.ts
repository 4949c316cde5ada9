import { deepEqual, equal } from "node:assert/strict";
import { begin, fence, register, released, rowOf, throws, toEntry, typesOf } from "./material.ts";
import { given } from "../given.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule } from "./storage-rule.ts";

/** Transactions of the engine's in which a step's own statements run. */
export const transactionRules: readonly StorageRule[] = [
  rule(
    "transaction: the work's own writes and the batch commit together",
    async (t) => {
      const notes = given(t.notes);
      const epoch = await register(t.storage);
      const sagaId = await begin(t, epoch);
      const answer = await t.storage.journal.transaction(async (tx, append) => {
        await notes.write(tx, "reserved");
        const { at } = await append({ epoch, entries: [toEntry(sagaId, 2, { row: released(null) })] });
        return { at };
      });
      deepEqual(answer, { at: t.now() });
      deepEqual(await notes.read(), ["reserved"]);
      equal((await rowOf(t.storage, sagaId)).owner, null);
      equal((await typesOf(t.storage, sagaId)).length, 2);
    },
    ["transactionalSteps"],
  ),

  rule(
    "transaction: work that throws leaves nothing, and its error comes through",
    async (t) => {
      const notes = given(t.notes);
      const epoch = await register(t.storage);
      const sagaId = await begin(t, epoch);
      const trouble = new Error("no stock");
      const thrown = await t.storage.journal
        .transaction(async (tx, append) => {
          await notes.write(tx, "reserved");
          await append({ epoch, entries: [toEntry(sagaId, 2)] });
          throw trouble;
        })
        .catch((error: unknown) => error);
      equal(thrown, trouble);
      deepEqual(await notes.read(), []);
      equal((await typesOf(t.storage, sagaId)).length, 1);
    },
    ["transactionalSteps"],
  ),

  rule(
    "transaction: a batch that is refused takes the work's own writes with it",
    async (t) => {
      const notes = given(t.notes);
      const [zombie, heir] = [await register(t.storage), await register(t.storage)];
      const [lost, own] = [await begin(t, zombie), await begin(t, heir)];
      await fence(t, [heir]);
      const run = (epoch: number, sagaId: string, seq: number) =>
        t.storage.journal.transaction(async (tx, append) => {
          await notes.write(tx, "reserved");
          await append({ epoch, entries: [toEntry(sagaId, seq)] });
        });
      await throws("SAGAZ_FENCED", () => run(zombie, lost, 2));
      await throws("SAGAZ_CONFLICT", () => run(heir, lost, 2));
      await throws("SAGAZ_CONFLICT", () => run(heir, own, 1));
      deepEqual(await notes.read(), []);
      await run(heir, own, 2);
      deepEqual(await notes.read(), ["reserved"]);
    },
    ["transactionalSteps"],
  ),

  rule(
    "transaction: a storage that cannot run a step's statements says so before any work",
    async (t) => {
      let worked = false;
      const work = async () => {
        worked = true;
      };
      await throws("SAGAZ_CANNOT", () => t.storage.journal.transaction(work));
      equal(worked, false);
    },
    ["no transactionalSteps"],
  ),
];
