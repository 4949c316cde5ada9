import { deepEqual, equal } from "node:assert/strict";
import type { Mail, NewMail } from "../../../ports/storage.ts";
import {
  append,
  begin,
  claim,
  claimIds,
  fence,
  newId,
  register,
  released,
  throws,
  toEntry,
  toMail,
  toRow,
} from "./material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule } from "./storage-rule.ts";

/** Requests to sagas: stored once, in order, answered or refused. */
export const mailboxRules: readonly StorageRule[] = [
  rule("mailbox: mail comes in the order of sending, until it is read", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const mails = Array.from({ length: 12 }, (_, n) =>
      toMail(sagaId, { mailId: `m-${12 - n}`, kind: `kind-${n}` }),
    );
    for (const mail of mails) await t.storage.mailbox.send(mail);
    const all = mails.map((mail, n) => ({ ...mail, mailSeq: n + 1 }));
    deepEqual(await t.storage.mailbox.fetch(epoch, 100), all);
    deepEqual(await t.storage.mailbox.fetch(epoch, 5), all.slice(0, 5));
    const readMails = mails.slice(0, 5).map(({ mailId }) => mailId);
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { readMails }));
    deepEqual(await t.storage.mailbox.fetch(epoch, 100), all.slice(5));
  }),

  rule("mailbox: page after page brings each mail once, also while others are read and sent", async (t) => {
    const epoch = await register(t.storage);
    // Later ids sort after earlier ones.
    const [first, second, third] = [await begin(t, epoch), await begin(t, epoch), await begin(t, epoch)];
    const sagas = [first, second, third];
    for (const sagaId of [third, second, first])
      for (let n = 0; n < 3; n++) await t.storage.mailbox.send(toMail(sagaId));
    const places: string[] = [];
    let last: Mail | undefined;
    do {
      const page = await t.storage.mailbox.fetch(epoch, 2, last);
      places.push(...page.map(({ sagaId, mailSeq }) => `${sagas.indexOf(sagaId)}.${mailSeq}`));
      last = page.length < 2 ? undefined : page.at(-1);
      if (places.length === 2)
        await append(
          { storage: t.storage, epoch },
          toEntry(first, 2, { readMails: page.map(({ mailId }) => mailId) }),
        );
    } while (last);
    deepEqual(places, ["0.1", "0.2", "0.3", "1.1", "1.2", "1.3", "2.1", "2.2", "2.3"]);
  }),

  rule("mailbox: only the owner fetches", async (t) => {
    const [one, two] = [await register(t.storage), await register(await t.another())];
    const [first, second] = [await begin(t, one), await begin(t, two)];
    const unowned = await begin(t, one, { row: released(null) });
    const mails = [toMail(first), toMail(second), toMail(unowned)];
    for (const mail of mails) await t.storage.mailbox.send(mail);
    const ids = async (epoch: number) =>
      (await t.storage.mailbox.fetch(epoch, 9)).map(({ sagaId }) => sagaId);
    deepEqual([await ids(one), await ids(two), await ids(4_711_000)], [[first], [second], []]);
  }),

  rule("mailbox: a saga that does not exist gets no mail", async (t) => {
    await throws("SAGAZ_SAGA_NOT_FOUND", () => t.storage.mailbox.send(toMail(newId(t))));
  }),

  rule("mailbox: the same mail sent again is stored once", async (t) => {
    const epoch = await register(t.storage);
    const [sagaId, sender] = [await begin(t, epoch), await begin(t, epoch)];
    const mail = toMail(sagaId);
    await t.storage.mailbox.send(mail);
    await t.storage.mailbox.send({ ...mail, body: '{"another":"body"}' });
    const next = toMail(sagaId);
    await append({ storage: t.storage, epoch }, toEntry(sender, 2, { mails: [mail, next, next] }));
    deepEqual(await t.storage.mailbox.fetch(epoch, 9), [
      { ...mail, mailSeq: 1 },
      { ...next, mailSeq: 2 },
    ]);
  }),

  rule("mailbox: racing senders of the same mail store it once", async (t) => {
    const epoch = await register(t.storage);
    const other = await t.another();
    const sagaId = await begin(t, epoch);
    for (let round = 1; round <= 5; round++) {
      const mail = toMail(sagaId);
      await Promise.all([t.storage, other, t.storage, other].map((storage) => storage.mailbox.send(mail)));
      equal((await t.storage.mailbox.fetch(epoch, 99)).length, round);
    }
    const racers = Array.from({ length: 10 }, (_, n) =>
      (n % 2 ? t.storage : other).mailbox.send(toMail(sagaId)),
    );
    await Promise.all(racers);
    const seqs = (await t.storage.mailbox.fetch(epoch, 99)).map(({ mailSeq }) => mailSeq);
    deepEqual(
      seqs,
      Array.from({ length: 15 }, (_, n) => n + 1),
    );
  }),

  rule("mailbox: a refusal is kept for its sender, and the mail is not fetched again", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const [refused, waiting] = [toMail(sagaId), toMail(sagaId)];
    for (const mail of [refused, waiting]) await t.storage.mailbox.send(mail);
    const refusal = { ...refused, code: "SAGAZ_PIVOT_PASSED", details: '{"pivot":"charge","odd":"\\u0000"}' };
    deepEqual(await t.storage.mailbox.outcome(refused), { kind: "waiting" });
    await t.storage.mailbox.refuse(epoch, [refusal, { ...refusal, mailId: "never sent" }]);
    await t.storage.mailbox.refuse(epoch, [{ ...refusal, code: "SAGAZ_SAGA_ENDED" }]);
    await t.storage.mailbox.send(refused);
    deepEqual(
      (await t.storage.mailbox.fetch(epoch, 9)).map(({ mailId }) => mailId),
      [waiting.mailId],
    );
    const outcome = { kind: "refused", code: refusal.code, details: refusal.details };
    deepEqual(
      [await t.storage.mailbox.outcome(refused), await t.storage.mailbox.outcome(refused)],
      [outcome, outcome],
    );
    deepEqual(await t.storage.mailbox.outcome(waiting), { kind: "waiting" });
  }),

  rule("mailbox: nobody but the owner refuses", async (t) => {
    const [owner, other] = [await register(t.storage), await register(t.storage)];
    const sagaId = await begin(t, owner);
    const mail = toMail(sagaId);
    await t.storage.mailbox.send(mail);
    await t.storage.mailbox.refuse(other, [{ ...mail, code: "SAGAZ_PIVOT_PASSED", details: "{}" }]);
    deepEqual(await t.storage.mailbox.outcome(mail), { kind: "waiting" });
    equal((await t.storage.mailbox.fetch(owner, 9)).length, 1);
  }),

  rule("mailbox: a refused mail wakes nobody", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const mail = toMail(sagaId);
    await t.storage.mailbox.send(mail);
    await t.storage.mailbox.refuse(epoch, [{ ...mail, code: "SAGAZ_PIVOT_PASSED", details: "{}" }]);
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { row: released(null, { mailSeq: 1 }) }));
    deepEqual(await claimIds(t.storage, epoch), []);
    await t.storage.mailbox.send(mail);
    deepEqual(await claimIds(t.storage, epoch), [], "sent again");
    await t.storage.mailbox.send(toMail(sagaId));
    deepEqual(await claimIds(t.storage, epoch), [sagaId]);
  }),

  rule("mailbox: mail survives its saga's owner", async (t) => {
    const [dead, heir] = [await register(t.storage), await register(t.storage)];
    const sagaId = await begin(t, dead);
    const mail = toMail(sagaId);
    await t.storage.mailbox.send(mail);
    equal((await t.storage.mailbox.fetch(dead, 9)).length, 1);
    await fence(t, [heir]);
    deepEqual(await t.storage.mailbox.fetch(dead, 9), []);
    const [claimed] = await claim(t.storage, heir);
    equal(claimed?.mailSeq, 1);
    deepEqual(await t.storage.mailbox.fetch(heir, 9), [{ ...mail, mailSeq: 1 }]);
  }),

  rule("mailbox: an ended saga still answers, one closed by force refuses by itself", async (t) => {
    const epoch = await register(t.storage);
    const ended = await begin(t, epoch, { row: released(null, { status: "compensated", finished: true }) });
    const request = toMail(ended, { kind: "retry" });
    await t.storage.mailbox.send(request);
    deepEqual(await t.storage.mailbox.outcome(request), { kind: "waiting" });
    deepEqual(await claimIds(t.storage, epoch), [ended]);

    const closed = await begin(t, epoch);
    const [before, after] = [toMail(closed), toMail(closed)];
    await t.storage.mailbox.send(before);
    await append(
      { storage: t.storage, epoch },
      toEntry(closed, 2, { row: released(null, { status: "forced_closed", finished: true }) }),
    );
    const answer = async (mail: NewMail) => {
      const outcome = await t.storage.mailbox.outcome(mail);
      return outcome.kind === "refused" ? outcome.code : outcome.kind;
    };
    equal(await answer(before), "SAGAZ_SAGA_ENDED");
    await t.storage.mailbox.send(after);
    deepEqual([await answer(before), await answer(after)], ["SAGAZ_SAGA_ENDED", "SAGAZ_SAGA_ENDED"]);
    deepEqual(await claimIds(t.storage, epoch), []);
  }),

  rule("mailbox: mail beside the batch that closes its saga by force is refused too", async (t) => {
    const epoch = await register(t.storage);
    const [sender, closed] = [await begin(t, epoch), await begin(t, epoch)];
    const mail = toMail(closed);
    const row = toRow({ status: "forced_closed", finished: true, release: { wakeAt: null, mailSeq: 0 } });
    await append(
      { storage: t.storage, epoch },
      toEntry(sender, 2, { mails: [mail] }),
      toEntry(closed, 2, { row }),
    );
    equal((await t.storage.mailbox.outcome(mail)).kind, "refused");
    deepEqual(await claimIds(t.storage, epoch), []);
  }),
];
