import { deepEqual, equal } from "node:assert/strict";
import {
  absent,
  advance,
  append,
  begin,
  claim,
  claimIds,
  event,
  newId,
  register,
  released,
  rowOf,
  throws,
  toEntry,
  toMail,
  toStart,
  toStartEntry,
  typesOf,
} from "./material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule } from "./storage-rule.ts";

/** What rides in a batch beside the events: new sagas, mail to others, mail that was read. */
export const batchRules: readonly StorageRule[] = [
  rule("batch: a spawned saga exists with its entry, unowned, for any worker to claim at once", async (t) => {
    const epoch = await register(t.storage);
    const parent = await begin(t, epoch);
    const child = toStart(t, { owned: false, parentId: parent });
    const { at } = await append({ storage: t.storage, epoch }, toEntry(parent, 2, { spawns: [child] }));
    const row = await rowOf(t.storage, child.sagaId);
    deepEqual(
      [row.owner, row.status, row.waitingFor, row.parentId, row.wakeAt],
      [null, "pending", "start", parent, at],
    );
    const other = await register(await t.another());
    deepEqual(await claim(t.storage, other), [
      { sagaId: child.sagaId, adoptions: 0, mailSeq: 0, journal: [{ seq: 1, at, ...child.started }] },
    ]);
  }),

  rule("batch: a spawned saga waits for its time", async (t) => {
    const epoch = await register(t.storage);
    const later = toStart(t, { owned: false, wakeAt: t.now() + 5_000 });
    await begin(t, epoch, { spawns: [later] });
    deepEqual(await claimIds(t.storage, epoch), []);
    advance(t, 5_000);
    deepEqual(await claimIds(t.storage, epoch), [later.sagaId]);
  }),

  rule("batch: an entry that spawns a saga which exists is refused whole", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const [twin, fresh] = [toStart(t, { owned: false }), toStart(t, { owned: false })];
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { spawns: [twin] }));
    await throws("SAGAZ_CONFLICT", () =>
      append({ storage: t.storage, epoch }, toEntry(sagaId, 3, { spawns: [fresh, twin] })),
    );
    await absent(t.storage, fresh.sagaId);
    equal((await typesOf(t.storage, sagaId)).length, 2);
  }),

  rule("batch: mail goes out with the events, in the order of the entries", async (t) => {
    const epoch = await register(t.storage);
    const [sender, receiver] = [await begin(t, epoch), await begin(t, epoch)];
    const [first, second, third] = [toMail(receiver), toMail(receiver), toMail(receiver)];
    await append(
      { storage: t.storage, epoch },
      toEntry(sender, 2, { mails: [first, second] }),
      toEntry(sender, 3, { mails: [third] }),
    );
    deepEqual(await t.storage.mailbox.fetch(epoch, 10), [
      { ...first, mailSeq: 1 },
      { ...second, mailSeq: 2 },
      { ...third, mailSeq: 3 },
    ]);
  }),

  rule("batch: mail to a saga that does not exist is passed over", async (t) => {
    const epoch = await register(t.storage);
    const [sender, receiver] = [await begin(t, epoch), await begin(t, epoch)];
    const mails = [toMail(newId(t)), toMail(receiver)];
    await append({ storage: t.storage, epoch }, toEntry(sender, 2, { mails }));
    deepEqual(
      (await t.storage.mailbox.fetch(epoch, 10)).map(({ mailId }) => mailId),
      [mails[1]?.mailId],
    );
  }),

  rule("batch: mail reaches a saga that begins in the same batch", async (t) => {
    const epoch = await register(t.storage);
    const parent = await begin(t, epoch);
    const [child, peer] = [toStart(t, { owned: false }), toStart(t)];
    await append(
      { storage: t.storage, epoch },
      toStartEntry(peer),
      toEntry(parent, 2, { spawns: [child] }),
      toEntry(parent, 3, { mails: [toMail(child.sagaId), toMail(peer.sagaId)] }),
    );
    deepEqual(
      (await t.storage.mailbox.fetch(epoch, 10)).map(({ sagaId }) => sagaId),
      [peer.sagaId],
    );
    deepEqual(
      (await claim(t.storage, epoch)).map(({ sagaId, mailSeq }) => ({ sagaId, mailSeq })),
      [{ sagaId: child.sagaId, mailSeq: 1 }],
    );
    equal((await t.storage.mailbox.fetch(epoch, 10)).length, 2);
  }),

  rule("batch: a saga released beside the mail that it is sent can be claimed at once", async (t) => {
    const epoch = await register(t.storage);
    for (const mailFirst of [true, false]) {
      const [sender, sleeper] = [await begin(t, epoch), await begin(t, epoch)];
      const send = toEntry(sender, 2, { mails: [toMail(sleeper)] });
      const release = toEntry(sleeper, 2, { row: released(null) });
      await append({ storage: t.storage, epoch }, ...(mailFirst ? [send, release] : [release, send]));
      deepEqual(
        await claimIds(t.storage, epoch),
        [sleeper],
        mailFirst ? "mail, then release" : "release, then mail",
      );
    }
  }),

  rule("batch: mail that was read is deleted with the events that answer it, and only then", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const [read, unread] = [toMail(sagaId), toMail(sagaId)];
    await t.storage.mailbox.send(read);
    await t.storage.mailbox.send(unread);
    const answer = toEntry(sagaId, 2, { events: [event("signal_received")], readMails: [read.mailId] });
    await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch }, answer, toEntry(sagaId, 2)));
    equal((await t.storage.mailbox.fetch(epoch, 10)).length, 2);
    await append({ storage: t.storage, epoch }, answer);
    deepEqual(await t.storage.mailbox.fetch(epoch, 10), [{ ...unread, mailSeq: 2 }]);
    deepEqual(await t.storage.mailbox.outcome(read), { kind: "done" });
    deepEqual(await t.storage.mailbox.outcome(unread), { kind: "waiting" });
  }),

  rule("batch: mail read by one saga does not touch another's of the same id", async (t) => {
    const epoch = await register(t.storage);
    const [one, two] = [await begin(t, epoch), await begin(t, epoch)];
    await t.storage.mailbox.send(toMail(one, { mailId: "same" }));
    await t.storage.mailbox.send(toMail(two, { mailId: "same" }));
    await append({ storage: t.storage, epoch }, toEntry(one, 2, { readMails: ["same"] }));
    deepEqual(
      (await t.storage.mailbox.fetch(epoch, 10)).map(({ sagaId }) => sagaId),
      [two],
    );
  }),
];
