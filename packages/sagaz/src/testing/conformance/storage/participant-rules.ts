import { deepEqual, equal, rejects } from "node:assert/strict";
import type { SqlRunner } from "../../../core/definition/context.ts";
import type { SagaStorage } from "../../../ports/storage.ts";
import { advance } from "./material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule } from "./storage-rule.ts";

const DAY_MS = 86_400_000;
const reserved = { participant: "inventory", effect: "saga/reserve" };
let count = 0;

/** Does something in a transaction that processes a message, as a participant does. */
async function inMessage<Result>(
  storage: SagaStorage,
  work: (tx: SqlRunner) => Promise<Result>,
): Promise<Result> {
  const kept: Result[] = [];
  const messages = [
    { eventId: `command-${++count}`, sourceTopic: "commands", eventType: "sagaz.command.v1" },
  ];
  await storage.inbox.process({ consumerName: "inventory", messages, idleMsMax: 60_000 }, async (tx) => {
    kept.push(await work(tx));
    return [null];
  });
  return kept[0] as Result;
}

/** What participants remember: with the transaction that it was kept in, one at a time, for 13 months. */
export const participantStorageRules: readonly StorageRule[] = [
  rule(
    "participants: what is kept comes back, by participant and effect",
    async (t) => {
      const others = [
        { ...reserved, participant: "payment" },
        { ...reserved, effect: "saga/reserve[3]" },
      ];
      await inMessage(t.storage, async (tx) => {
        equal(await t.storage.participants.take(tx, reserved), null);
        await t.storage.participants.keep(tx, reserved, '{"do":"größer → 🎉"}');
        equal(await t.storage.participants.take(tx, reserved), '{"do":"größer → 🎉"}');
        for (const other of others) equal(await t.storage.participants.take(tx, other), null);
      });
      const other = await t.another();
      const found = await inMessage(other, async (tx) => [
        await other.participants.take(tx, reserved),
        ...(await Promise.all(others.map((one) => other.participants.take(tx, one)))),
      ]);
      deepEqual(found, ['{"do":"größer → 🎉"}', null, null]);
    },
    ["participants"],
  ),

  rule(
    "participants: what a transaction keeps that fails was never kept",
    async (t) => {
      const trouble = new Error("a handler's own trouble");
      await rejects(
        inMessage(t.storage, async (tx) => {
          await t.storage.participants.take(tx, reserved);
          await t.storage.participants.keep(tx, reserved, "{}");
          throw trouble;
        }),
        trouble,
      );
      equal(await inMessage(t.storage, (tx) => t.storage.participants.take(tx, reserved)), null);
    },
    ["participants"],
  ),

  rule(
    "participants: who is second waits for the first, and sees what it kept",
    async (t) => {
      const other = await t.another();
      let sum = 0;
      const add = (storage: SagaStorage) =>
        inMessage(storage, async (tx) => {
          const before = Number((await storage.participants.take(tx, reserved)) ?? 0);
          await Promise.resolve();
          await storage.participants.keep(tx, reserved, String(before + 1));
          sum++;
        });
      await Promise.all(Array.from({ length: 20 }, (_, n) => add(n % 2 === 0 ? t.storage : other)));
      equal(sum, 20);
      equal(await inMessage(t.storage, (tx) => t.storage.participants.take(tx, reserved)), "20");
    },
    ["participants"],
  ),

  rule(
    "participants: what nobody has asked about for 13 months is forgotten, and nothing before that",
    async (t) => {
      const { participants } = t.storage;
      const old = { ...reserved, effect: "saga/old" };
      for (const effect of [reserved, old])
        await inMessage(t.storage, async (tx) => {
          await participants.take(tx, effect);
          await participants.keep(tx, effect, "{}");
        });
      advance(t, 300 * DAY_MS);
      equal(await inMessage(t.storage, (tx) => participants.take(tx, reserved)), "{}");
      advance(t, 95 * DAY_MS);
      await t.storage.upkeep.maintain();
      equal(await inMessage(t.storage, (tx) => participants.take(tx, reserved)), "{}");
      advance(t, 2 * DAY_MS);
      await t.storage.upkeep.maintain();
      equal(await inMessage(t.storage, (tx) => participants.take(tx, old)), null);
      equal(await inMessage(t.storage, (tx) => participants.take(tx, reserved)), "{}");
    },
    ["participants"],
  ),
];
