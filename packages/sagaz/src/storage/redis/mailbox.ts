import { createdAtOf } from "../../core/saga/saga-id.ts";
import type { Mail, MailboxStore, MailOutcome } from "../../ports/storage.ts";
import { checkMail } from "./checks.ts";
import type { Database } from "./database.ts";
import { toMailText } from "./journal.ts";
import { mailboxScripts } from "./scripts/mailbox.ts";

type MailAnswer = readonly [sagaId: string, mailSeq: number, mailId: string, mail: string];

/** Requests to sagas in Redis. */
export function mailboxIn(database: Database): MailboxStore {
  return {
    async send(mail) {
      checkMail(mail);
      createdAtOf(mail.sagaId);
      const request = { id: mail.sagaId, mailId: mail.mailId };
      await database.keep({ script: mailboxScripts.send, request, texts: [toMailText(mail)] });
    },
    async fetch(epoch, limit, after) {
      const request = {
        epoch: String(epoch),
        limit,
        after: after && { id: after.sagaId, seq: after.mailSeq },
      };
      const mails = await database.look<MailAnswer[]>({ script: mailboxScripts.fetch, request });
      return mails.map(toMail);
    },
    async refuse(epoch, refusals) {
      const request = {
        epoch: String(epoch),
        refusals: refusals.map(({ sagaId, mailId }) => ({ id: sagaId, mailId })),
      };
      const texts = refusals.map(({ code, details }) => JSON.stringify({ code, details }));
      await database.keep({ script: mailboxScripts.refuse, request, texts });
    },
    async outcome({ mailId, sagaId }) {
      return toOutcome(await database.read<string | null>("HGET", `mail:${sagaId}`, `i${mailId}`));
    },
  };
}

function toMail([sagaId, mailSeq, mailId, mail]: MailAnswer): Mail {
  const { kind, body } = JSON.parse(mail) as { readonly kind: string; readonly body: string };
  return { mailId, sagaId, kind, body, mailSeq };
}

function toOutcome(kept: string | null): MailOutcome {
  if (kept === null) return { kind: "done" };
  if (kept.startsWith("W")) return { kind: "waiting" };
  return {
    kind: "refused",
    ...(JSON.parse(kept.slice(1)) as { readonly code: string; readonly details: string }),
  };
}
