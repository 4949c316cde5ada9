import { deepEqual, equal } from "node:assert/strict";
import type { DeadEvent } from "../../../ports/outbox.ts";
import { given } from "../given.ts";
import { begin, claimIds, newId, register, released, throws, toMail } from "./material.ts";
import { relay, settle, take, toEvent } from "./outbox-material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule, StorageUnderTest } from "./storage-rule.ts";

const body = JSON.stringify({ note: "größer → 🎉" });

/** The first events that wait, given up, with mail for a saga. */
async function giveUp(t: StorageUnderTest, ...sagaIds: readonly string[]): Promise<readonly DeadEvent[]> {
  const events = await take(t, 0);
  return sagaIds.map((sagaId, n) => ({
    id: given(events[n]).id,
    attempts: 1,
    code: "SAGAZ_UNKNOWN_TOPIC",
    error: "?",
    mail: toMail(sagaId, { mailId: `undelivered/${n}`, kind: "undelivered", body }),
  }));
}

/** A saga is told of its dead letter in the transaction that makes it one, and is then the only one who sends it again. */
export const undeliveredRules: readonly StorageRule[] = [
  rule("undelivered: a saga hears of its dead letter, once, and nobody else redrives that", async (t) => {
    const epoch = await relay(t);
    const sagaId = await begin(t, epoch, { outbox: [toEvent(t, "a"), toEvent(t, "b")] });
    const dead = await giveUp(t, sagaId, newId(t));
    await settle(t, { epoch, dead });
    await settle(t, { epoch, dead });
    const mails = await t.storage.mailbox.fetch(epoch, 100);
    deepEqual(mails, [{ ...given(dead[0]?.mail), mailSeq: 1 }]);
    const { letters } = await t.storage.deadLetters.list({ limit: 100 });
    deepEqual(
      letters.map(({ event, redrivenBy, redrivenAt }) => [event.key, redrivenBy, redrivenAt]),
      [
        ["a", "saga", t.now()],
        ["b", null, null],
      ],
    );
    equal((await t.storage.outbox.backlog()).dead, 1);
    const ids = letters.map(({ id }) => id);
    deepEqual(await t.storage.deadLetters.redrive({ ids, actor: "ann" }), ids.slice(1));
  }),

  rule("undelivered: a saga that nobody owns can be claimed then", async (t) => {
    const epoch = await relay(t);
    const sagaId = await begin(t, epoch, { outbox: [toEvent(t, "a")], row: released(null) });
    deepEqual(await claimIds(t.storage, epoch), []);
    await settle(t, { epoch, dead: await giveUp(t, sagaId) });
    deepEqual(await claimIds(t.storage, epoch), [sagaId]);
  }),

  rule("undelivered: a relay that was retired tells nobody", async (t) => {
    const [epoch, owner] = [await relay(t), await register(t.storage)];
    const sagaId = await begin(t, owner, { outbox: [toEvent(t, "a")] });
    const dead = await giveUp(t, sagaId);
    await t.storage.leases.retire(epoch);
    await throws("SAGAZ_FENCED", () => settle(t, { epoch, dead }));
    deepEqual(await t.storage.mailbox.fetch(owner, 100), []);
    deepEqual((await t.storage.deadLetters.list({ limit: 100 })).letters, []);
  }),
];
