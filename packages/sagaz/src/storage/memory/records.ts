import type { Mail, SagaRow } from "../../ports/storage.ts";
import type { Lanes } from "./lanes.ts";

/** A saga's row, its definition, and its place among those that wait to be claimed. */
export type SagaRecord = { -readonly [Column in keyof SagaRow]: SagaRow[Column] } & {
  readonly sagaId: string;
  place: number;
  readonly definition: DefinitionRecord;
};

/** Mail of one saga in order of sending. It outlives the row, which can be rebuilt. */
export interface Mailbox {
  lastSeq: number;
  /** How many are neither read nor refused. */
  unread: number;
  readonly mails: Map<string, MailRecord>;
}

/** A request, and why it was refused if it was. */
export interface MailRecord {
  readonly mail: Mail;
  refusal: { readonly at: number; readonly code: string; readonly details: string } | undefined;
}

/** A worker that is neither fenced nor retired. */
export interface WorkerRecord {
  readonly epoch: number;
  readonly leaseMs: number;
  readonly definitions: readonly DefinitionRecord[];
  heartbeatAt: number;
  readonly owned: Set<SagaRecord>;
  /** Ids of owned sagas with unread mail. */
  readonly mailed: Set<string>;
}

/** A version of a definition that was registered, or of which a saga was started. */
export interface DefinitionRecord {
  /** Undefined until a worker registers it. */
  graphHash: string | undefined;
  readonly holders: Set<number>;
  /** Without holders: since when. */
  missingSince: number;
  readonly queue: Lanes<SagaRecord>;
  /** Parked because nobody held it. */
  readonly parked: Set<SagaRecord>;
}
