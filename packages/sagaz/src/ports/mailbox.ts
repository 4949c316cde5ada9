/** Requests from other processes and other sagas to a saga's owner. */
export interface MailboxStore {
  /**
   * Stores a request; it will be carried out even if nobody owns the saga now: an unowned saga becomes claimable, also
   * an ended one, so that the request can be answered. One that was closed by force reads no mail: `outcome` then says
   * `SAGAZ_SAGA_ENDED`. `SAGAZ_SAGA_NOT_FOUND`.
   */
  send(mail: NewMail): Promise<void>;
  /**
   * Unread mail of sagas that this epoch owns, by saga id and in order of sending. Repeats what was fetched and not
   * read yet; the next page comes `after` the last mail of this one.
   */
  fetch(epoch: number, limit: number, after?: Pick<Mail, "sagaId" | "mailSeq">): Promise<readonly Mail[]>;
  /** Notes the refusal of a request, for its sender to see; it is not fetched again. Passes over sagas of others. */
  refuse(epoch: number, refusals: readonly Refusal[]): Promise<void>;
  /** What became of a request: still there, carried out (its mail is gone), or refused. */
  outcome(mail: { readonly mailId: string; readonly sagaId: string }): Promise<MailOutcome>;
}

/** A request to be sent. */
export interface NewMail {
  /** Chosen by the sender; sending the same one to a saga again, while it is there, stores it once. */
  readonly mailId: string;
  readonly sagaId: string;
  readonly kind: string;
  /** JSON text. */
  readonly body: string;
}

/** A request as its owner reads it. */
export interface Mail extends NewMail {
  /** From 1 per saga, in order of sending. */
  readonly mailSeq: number;
}

/** Why a request was not carried out. */
export interface Refusal {
  readonly mailId: string;
  readonly sagaId: string;
  readonly code: string;
  /** JSON text of the error's details. */
  readonly details: string;
}

/** See {@link MailboxStore.outcome}. */
export type MailOutcome =
  | { readonly kind: "waiting" }
  | { readonly kind: "done" }
  | { readonly kind: "refused"; readonly code: string; readonly details: string };
