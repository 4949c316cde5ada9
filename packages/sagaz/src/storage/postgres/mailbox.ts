import { SagaError } from "../../core/errors.ts";
import type { Mail, MailboxStore, MailOutcome, NewMail, Refusal } from "../../ports/storage.ts";
import { textArray, uuidArray } from "./binary-arrays.ts";
import { toTime, type Database } from "./database.ts";
import type { Hints } from "./hints.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";

/** Requests to sagas, from whoever to whoever owns them. */
export class PostgresMailbox implements MailboxStore {
  readonly #database: Database;
  readonly #hints: Hints;

  constructor(parts: { database: Database; hints: Hints }) {
    this.#database = parts.database;
    this.#hints = parts.hints;
  }

  async send({ mailId, sagaId, kind, body }: NewMail): Promise<void> {
    const database = this.#database;
    const created = toTime(createdAtOf(sagaId));
    const [row] = await database.write({
      text: database.sql.sendMail,
      values: [mailId, sagaId, created, kind, body, database.now()],
    });
    if (row?.["outcome"] === "missing") throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId });
    // Its owner fetches it; if it has none, it can be claimed now.
    this.#hints.tell("mail");
    this.#hints.tell("work");
  }

  async fetch(
    epoch: number,
    limit: number,
    after?: Pick<Mail, "sagaId" | "mailSeq">,
  ): Promise<readonly Mail[]> {
    const values = [epoch, limit, after?.sagaId ?? null, after?.mailSeq ?? null];
    const rows = await this.#database.read({ text: this.#database.sql.fetchMail, values });
    return rows.map((row) => ({
      mailId: String(row["mail_id"]),
      sagaId: String(row["saga_id"]),
      mailSeq: Number(row["mail_seq"]),
      kind: String(row["kind"]),
      body: String(row["body"]),
    }));
  }

  async refuse(epoch: number, refusals: readonly Refusal[]): Promise<void> {
    if (refusals.length === 0) return;
    const column = (pick: (refusal: Refusal) => string) => textArray(refusals.map(pick));
    await this.#database.write({
      text: this.#database.sql.refuseMail,
      values: [
        epoch,
        this.#database.now(),
        uuidArray(refusals.map(({ sagaId }) => sagaId)),
        column(({ mailId }) => mailId),
        column(({ code }) => code),
        column(({ details }) => details),
      ],
    });
  }

  async outcome(mail: { readonly mailId: string; readonly sagaId: string }): Promise<MailOutcome> {
    const [row] = await this.#database.read({
      text: this.#database.sql.mailOutcome,
      values: [mail.sagaId, mail.mailId],
    });
    if (row === undefined) return { kind: "done" };
    const code = row["refused_code"] ?? null;
    return code === null
      ? { kind: "waiting" }
      : { kind: "refused", code, details: String(row["refused_details"]) };
  }
}
