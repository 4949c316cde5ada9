import { ERRORS } from "./error-table.ts";

export { ERRORS };

/** The code of an error of sagaz, such as `"SAGAZ_PIVOT_PASSED"`. */
export type SagaErrorCode = keyof typeof ERRORS;

/** What fills the sentence of an error: names, ids, limits. It is shown to people, so no secrets. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/**
 * The one error class of sagaz: a stable code, a sentence that says what to do, and whether trying again can help.
 *
 * @example
 * try { await orchestrator.sagas.cancel(id, { reason }) }
 * catch (error) { if (error instanceof SagaError && error.code === "SAGAZ_PIVOT_PASSED") … }
 */
export class SagaError extends Error {
  override readonly name = "SagaError";
  /** Stable: code may branch on it. */
  readonly code: SagaErrorCode;
  /** What filled the sentence. */
  readonly details: ErrorDetails;
  /** True when the same call may succeed later without any change. */
  readonly retryable: boolean;

  constructor(code: SagaErrorCode, details: ErrorDetails = {}, options?: { cause?: unknown }) {
    super(`${code}  ${toSentence(code, details)}`, options);
    this.code = code;
    this.details = details;
    this.retryable = ERRORS[code].retryable;
  }
}

/** Tells whether a thrown value is a {@link SagaError}, of a given code if one is named. */
export function isSagaError(error: unknown, code?: SagaErrorCode): error is SagaError {
  return error instanceof SagaError && (code === undefined || error.code === code);
}

function toSentence(code: SagaErrorCode, details: ErrorDetails): string {
  return ERRORS[code].sentence.replace(/\{(\w+)\}/g, (_, name: string) => toText(details[name]));
}

function toText(detail: unknown): string {
  if (detail === undefined || detail === null) return "";
  return typeof detail === "string" ? detail : (JSON.stringify(detail) ?? typeof detail);
}
