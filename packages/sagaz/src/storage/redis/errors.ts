import { SagaError, type SagaErrorCode } from "../../core/errors.ts";

/** What is known of a call that failed. */
export interface Circumstances {
  /** It changes something: if its answer is lost, it may have happened. */
  readonly writes: boolean;
  /** It was handed to a connection that was open. */
  readonly wasSent: boolean;
}

/** Codes of errors that our own scripts answer, before they have written anything. */
const ownCodes: Readonly<Record<string, SagaErrorCode>> = {
  SAGAZ_FENCED: "SAGAZ_FENCED",
  SAGAZ_CONFLICT: "SAGAZ_CONFLICT",
  SAGAZ_CLOCK_SKEW: "SAGAZ_CLOCK_SKEW",
  SAGAZ_DEFINITION_CHANGED: "SAGAZ_DEFINITION_CHANGED",
  SAGAZ_SAGA_NOT_FOUND: "SAGAZ_SAGA_NOT_FOUND",
};

/** Refusals of our own that pass when the call is made again. */
const passing: Readonly<Record<string, string>> = {
  SAGAZ_STALE: "it came by a connection that was given up",
  SAGAZ_LOST: "somebody else works on the message by now",
};

/**
 * Turns what a call failed with into the error that the port promises.
 *
 * What the server answers is definite: it looks whether it can write before it runs a script, and a script looks at
 * everything before it writes. Most of it passes without any change to the call (no memory, no disk, too few
 * replicas, loading, rights that are missing), so it is an outage: a saga must not stop for it. Refused is what would
 * fail again: a script that breaks on something else that is kept under one of its keys.
 */
export function toSagaError(error: unknown, { writes, wasSent }: Circumstances): SagaError {
  if (error instanceof SagaError) return error;
  const message = messageOf(error);
  if (isAnswer(error)) return ownError(message) ?? new SagaError(codeOf(message, wasSent), { message });
  // The driver has not written it.
  const isUnsent = !wasSent || message.startsWith("Stream isn't writeable");
  // Without its cause: the driver's errors carry the command, and with it all payloads of a batch.
  return new SagaError(writes && !isUnsent ? "SAGAZ_COMMIT_IN_DOUBT" : "SAGAZ_STORAGE_UNAVAILABLE", {
    message,
  });
}

/** Tells whether the server has said this: the driver marks it so. */
export function isAnswer(error: unknown): error is Error {
  return error instanceof Error && error.name === "ReplyError";
}

/** Connection errors of Node may come as several in one, with an empty message of its own. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(messageOf).join("; ");
  return error instanceof Error ? error.message : String(error);
}

function ownError(message: string): SagaError | undefined {
  const [, word = "", details = "{}"] = /^(SAGAZ_[A-Z_]+) (.*)$/s.exec(message) ?? [];
  const why = passing[word];
  if (why !== undefined) return new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: why });
  const code = ownCodes[word];
  return code && new SagaError(code, JSON.parse(details) as Record<string, unknown>);
}

/**
 * What was said to the connection, such as that there are too many of them, refuses no call that was never sent. And a script is
 * killed only for the time it took, and only before its first write.
 */
function codeOf(message: string, wasSent: boolean): SagaErrorCode {
  if (message.startsWith("READONLY")) return "SAGAZ_STORAGE_READ_ONLY";
  if (!wasSent || message.includes("Script killed by user")) return "SAGAZ_STORAGE_UNAVAILABLE";
  return /^(ERR|WRONGTYPE) /.test(message) ? "SAGAZ_STORAGE_REFUSED" : "SAGAZ_STORAGE_UNAVAILABLE";
}
