import { SagaError, type SagaErrorCode } from "../../core/errors.ts";

/** What was going on when a statement failed. */
export interface Circumstances {
  /** True when the statement commits something by itself: if its answer is lost, it may have happened. */
  readonly commits: boolean;
  /** Milliseconds that it may wait for a lock, over and above what an answer may take. */
  readonly lockMs?: number;
  /** An answer that takes longer than this is worth nothing: in place of the usual bound. */
  readonly limitMs?: number;
}

/** The fields of a `pg` error that came from the server. */
interface ServerError extends Error {
  readonly severity: string;
  readonly code: string;
  readonly detail?: string;
  readonly table?: string;
}

/**
 * Turns what a driver threw into the error that the port promises.
 *
 * An ERROR from the server is definite: the transaction was rolled back. A lost connection is not, once a statement
 * that commits was sent. FATAL counts as a lost connection, `57P01` (shutdown by an administrator) too: the server
 * looks for a shutdown both before it commits and after, and the client cannot tell which; looking up what is stored
 * costs one round trip, guessing wrong costs a step that runs twice.
 */
export function toSagaError(error: unknown, { commits }: Pick<Circumstances, "commits">): SagaError {
  if (error instanceof SagaError) return error;
  if (!isServerError(error) || breaksConnection(error)) {
    const code = commits ? "SAGAZ_COMMIT_IN_DOUBT" : "SAGAZ_STORAGE_UNAVAILABLE";
    return new SagaError(code, { message: messageOf(error) }, { cause: error });
  }
  const advice = advices[error.code];
  const message = advice === undefined ? error.message : `${error.message}. ${advice}`;
  return ownError(error) ?? new SagaError(codeOf(error), { message }, { cause: error });
}

/** The SQLSTATE behind an error of ours, if the server gave one. */
export function sqlStateOf(error: unknown): string | undefined {
  const cause = error instanceof SagaError ? error.cause : error;
  return isServerError(cause) ? cause.code : undefined;
}

/** Tells whether the connection is of no use after this error. */
export function breaksConnection(error: unknown): boolean {
  return !isServerError(error) || isFarewell(error) || error.code === "40003";
}

/** Tells whether the server has ended the session with these words: that the connection is closed is heard only later. */
export function isFarewell(error: unknown): boolean {
  return isServerError(error) && (error.severity === "FATAL" || error.severity === "PANIC");
}

/** Tells whether a row had no partition to go to: its month was not made yet. */
export function lacksPartition(error: unknown): boolean {
  const cause = error instanceof SagaError ? error.cause : error;
  return (
    isServerError(cause) && cause.code === "23514" && cause.message.startsWith("no partition of relation")
  );
}

function isServerError(error: unknown): error is ServerError {
  return (
    error instanceof Error && "severity" in error && typeof error.severity === "string" && "code" in error
  );
}

/** Errors that our own functions raise, and a journal or a row that exists already. */
function ownError(error: ServerError): SagaError | undefined {
  const code = ownCodes[error.code];
  if (code !== undefined) return new SagaError(code, detailOf(error), { cause: error });
  const table = /^saga_(events|executions)_/.exec(error.table ?? "")?.[1];
  if (error.code !== "23505" || table === undefined) return undefined;
  const key = /=\(([0-9a-f-]{36}), (\d+)?/.exec(error.detail ?? "");
  const seq = table === "events" ? Number(key?.[2]) : 1;
  return new SagaError("SAGAZ_CONFLICT", { sagaId: key?.[1], seq }, { cause: error });
}

function detailOf(error: ServerError): Record<string, unknown> {
  return JSON.parse(error.detail ?? "{}") as Record<string, unknown>;
}

const ownCodes: Readonly<Record<string, SagaErrorCode>> = {
  SZ001: "SAGAZ_FENCED",
  SZ002: "SAGAZ_CONFLICT",
  SZ003: "SAGAZ_DEFINITION_CHANGED",
};
/** What to do where the server says only what is wrong. */
const advices: Readonly<Record<string, string>> = {
  "3F000": "If that is the storage's, start it once: that makes its tables",
  "42501": "Grant this to the role of the pool, or go on as the role that owns it",
};
const refusedClasses = new Set(["0A", "22", "23", "3F", "42", "44", "54"]);

function codeOf({ code }: ServerError): SagaErrorCode {
  if (code === "25006") return "SAGAZ_STORAGE_READ_ONLY";
  // A statement before this one has failed: the transaction can only roll back, and would again.
  if (code === "25P02") return "SAGAZ_STORAGE_REFUSED";
  // Data that does not fit, rights or a schema that are missing: the same call fails again. What is left (no memory, disk full,
  // too many connections, deadlock, lock or statement timeout, an error inside the server) may pass.
  return refusedClasses.has(code.slice(0, 2)) ? "SAGAZ_STORAGE_REFUSED" : "SAGAZ_STORAGE_UNAVAILABLE";
}

/** Connection errors of Node may come as several in one, with an empty message of its own. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(messageOf).join("; ");
  return error instanceof Error ? error.message : String(error);
}
