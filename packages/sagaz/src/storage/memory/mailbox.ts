import { SagaError } from "../../core/errors.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";
import type { Mail, MailOutcome, MailboxStore, NewMail, Refusal } from "../../ports/storage.ts";
import { checkMail } from "./checks.ts";
import type { MailRecord, Mailbox, SagaRecord } from "./records.ts";
import { readsMail } from "./tables.ts";
import type { Tables } from "./tables.ts";

/** Requests to sagas, in memory. */
export function mailboxIn(tables: Tables): MailboxStore {
  return {
    async send(mail) {
      checkMail(mail);
      createdAtOf(mail.sagaId);
      if (!putMail(tables, mail)) throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId: mail.sagaId });
    },
    async fetch(epoch, limit, after) {
      return unreadOf(tables, epoch, { limit, after });
    },
    async refuse(epoch, refusals) {
      for (const refusal of refusals)
        if (tables.sagas.get(refusal.sagaId)?.owner === epoch) refuse(tables, refusal);
    },
    async outcome({ mailId, sagaId }) {
      return toOutcome(tables.mailboxes.get(sagaId)?.mails.get(mailId));
    },
  };
}

/** Stores mail, once, and wakes its saga when nobody owns it. False when there is no such saga. */
export function putMail(tables: Tables, mail: NewMail): boolean {
  const saga = tables.sagas.get(mail.sagaId);
  if (!saga) return false;
  const box = boxOf(tables, mail.sagaId);
  if (box.mails.has(mail.mailId)) return true;
  const { mailId, sagaId, kind, body } = mail;
  box.mails.set(mailId, { mail: { mailId, sagaId, kind, body, mailSeq: ++box.lastSeq }, refusal: undefined });
  box.unread++;
  if (!readsMail(saga.status)) refuseAll(tables, saga);
  else if (saga.owner === null)
    tables.setOwner(saga, { owner: null, wakeAt: Math.min(saga.wakeAt ?? Infinity, tables.now()) });
  else tables.workers.get(saga.owner)?.mailed.add(sagaId);
  tables.hints.emit("mail");
  return true;
}

/** Deletes mail that a saga has read. */
export function takeMail(tables: Tables, sagaId: string, mailIds: readonly string[]): void {
  const box = tables.mailboxes.get(sagaId);
  for (const mailId of mailIds) {
    const record = box?.mails.get(mailId);
    if (!box || !record) continue;
    box.mails.delete(mailId);
    tables.refused.delete(record);
    if (!record.refusal) noteRead(tables, box, sagaId);
  }
}

/** A saga that was closed by force answers all its mail at once: there is nobody left who would. */
export function refuseAll(tables: Tables, saga: SagaRecord): void {
  const { sagaId, status } = saga;
  for (const { mail } of tables.mailboxes.get(sagaId)?.mails.values() ?? []) {
    const details = JSON.stringify({ sagaId, status, request: mail.kind });
    refuse(tables, { mailId: mail.mailId, sagaId, code: "SAGAZ_SAGA_ENDED", details });
  }
}

/** Forgets mail that was refused before this time. */
export function forgetRefused(tables: Tables, before: number): void {
  for (const record of tables.refused) {
    if (!record.refusal || record.refusal.at > before) return;
    takeMail(tables, record.mail.sagaId, [record.mail.mailId]);
  }
}

function refuse(tables: Tables, { mailId, sagaId, code, details }: Refusal): void {
  const box = tables.mailboxes.get(sagaId);
  const record = box?.mails.get(mailId);
  if (!box || !record || record.refusal) return;
  record.refusal = { at: tables.now(), code, details };
  tables.refused.add(record);
  noteRead(tables, box, sagaId);
}

function noteRead(tables: Tables, box: Mailbox, sagaId: string): void {
  if (--box.unread > 0) return;
  const owner = tables.sagas.get(sagaId)?.owner;
  if (owner !== undefined && owner !== null) tables.workers.get(owner)?.mailed.delete(sagaId);
}

function unreadOf(tables: Tables, epoch: number, { limit, after }: Page): readonly Mail[] {
  const mailed = [...(tables.workers.get(epoch)?.mailed ?? [])].sort();
  const unread = mailed.flatMap((sagaId) => unreadBy(tables, sagaId));
  const isLater = ({ sagaId, mailSeq }: Mail) =>
    !after || sagaId > after.sagaId || (sagaId === after.sagaId && mailSeq > after.mailSeq);
  return unread.filter(isLater).slice(0, limit);
}

function unreadBy(tables: Tables, sagaId: string): readonly Mail[] {
  const records = [...(tables.mailboxes.get(sagaId)?.mails.values() ?? [])];
  return records.flatMap(({ mail, refusal }) => (refusal ? [] : mail));
}

interface Page {
  readonly limit: number;
  readonly after: Pick<Mail, "sagaId" | "mailSeq"> | undefined;
}

function boxOf(tables: Tables, sagaId: string): Mailbox {
  let box = tables.mailboxes.get(sagaId);
  if (!box) tables.mailboxes.set(sagaId, (box = { lastSeq: 0, unread: 0, mails: new Map() }));
  return box;
}

function toOutcome(record: MailRecord | undefined): MailOutcome {
  if (!record) return { kind: "done" };
  if (!record.refusal) return { kind: "waiting" };
  return { kind: "refused", code: record.refusal.code, details: record.refusal.details };
}
