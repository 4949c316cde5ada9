import { codes } from "./error-codes.ts";

/** What the broker says of a batch. */
export interface BatchAnswer {
  readonly errorCode: number;
  readonly errorMessage?: string | null | undefined;
  /** Which messages of the batch are bad, if it can be said. */
  readonly recordErrors: readonly {
    readonly batchIndex: number;
    readonly batchIndexErrorMessage?: string | null | undefined;
  }[];
}

const kinds: Readonly<Record<number, AnswerKind>> = {
  [codes.none]: "accepted",
  [codes.duplicateSequence]: "accepted",
  [codes.messageTooLarge]: "too large",
  [codes.recordListTooLarge]: "too large",
  [codes.invalidRecord]: "refused",
  [codes.invalidTimestamp]: "refused",
  [codes.outOfOrderSequence]: "forgotten",
  [codes.invalidProducerEpoch]: "forgotten",
  [codes.invalidProducerIdMapping]: "forgotten",
  [codes.unknownProducerId]: "forgotten",
  [codes.requestTimedOut]: "in doubt",
  [codes.notEnoughReplicasAfterAppend]: "in doubt",
};

/**
 * What follows from an answer: the batch is there; it has too many bytes; messages in it are bad; the broker does not know our
 * numbers any more; it may be there; or, whatever else went wrong, it is not there and may be tried again.
 */
export type AnswerKind = "accepted" | "too large" | "refused" | "forgotten" | "in doubt" | "not now";

export function kindOf({ errorCode }: BatchAnswer): AnswerKind {
  return kinds[errorCode] ?? "not now";
}
