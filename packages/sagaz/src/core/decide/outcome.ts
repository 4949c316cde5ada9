import { LIMITS } from "../definition/policies.ts";
import { isSagaError, SagaError } from "../errors.ts";
import { keepJson } from "../json.ts";
import type { RecordedError } from "../saga/events.ts";

/** How one attempt of a step's function ended. */
export type Outcome =
  | { readonly type: "done"; readonly result: unknown }
  /** It certainly took no effect. `final`: trying again would not help. `retryInMs`: it asked for this delay. */
  | {
      readonly type: "failed";
      readonly error: RecordedError;
      readonly final: boolean;
      readonly retryInMs?: number;
      /** What was thrown, for `retry.when`. */
      readonly thrown?: unknown;
    }
  /** It may have taken effect. */
  | {
      readonly type: "unknown";
      readonly error: RecordedError;
      /** It took effect, but what it returned cannot be kept: another attempt would not change that. */
      readonly final?: boolean;
    };

/** Thrown by {@link fail}: the business says no. */
export class BusinessFailure extends Error {
  override readonly name = "BusinessFailure";
  readonly details: unknown;
  constructor(message: string, details: unknown) {
    super(message);
    this.details = details;
  }
}

/** Thrown by {@link retryIn}: not now, but then. */
export class RetryLater extends Error {
  override readonly name = "RetryLater";
  readonly delayMs: number;
  constructor(delayMs: number, cause: unknown) {
    super(cause instanceof Error ? cause.message : `try again in ${delayMs} ms`, { cause });
    this.delayMs = delayMs;
  }
}

/** Thrown by {@link outcomeUnknown}: nobody can tell. */
export class AmbiguousOutcome extends Error {
  override readonly name = "AmbiguousOutcome";
}

/**
 * Makes the error that says: the business refuses, and trying again will not help. `throw fail("card declined")`.
 * The step is failed for good, is not undone, and the saga goes back. Details are kept in the journal (JSON).
 */
export function fail(message: string, details?: unknown): BusinessFailure {
  return new BusinessFailure(message, details);
}

/**
 * Makes the error that sets the next delay itself: `throw retryIn(30_000, error)`, for instance from `Retry-After`.
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION` for a delay that is negative, or longer than `durationMsMax` (ten years).
 */
export function retryIn(delayMs: number, cause?: unknown): RetryLater {
  if (!isDelay(delayMs)) {
    throw new SagaError("SAGAZ_INVALID_OPTION", {
      where: "retryIn",
      option: "delayMs",
      value: delayMs,
      rule: `it must be a number of milliseconds from 0 to durationMsMax = ${LIMITS.durationMsMax}`,
    });
  }
  return new RetryLater(delayMs, cause);
}

/**
 * Makes the error that says: the effect may have happened, but no answer came. `throw outcomeUnknown("no reply")`.
 * The engine asks `verify`, or tries again with the same idempotency key, or undoes the step: see `onUnknown`.
 * Broken connections and time-outs of the usual HTTP clients are recognised without it.
 */
export function outcomeUnknown(message: string, cause?: unknown): AmbiguousOutcome {
  return new AmbiguousOutcome(message, { cause });
}

/**
 * Codes of connections that broke after something may have been sent. Not among them: ECONNREFUSED, ENOTFOUND and
 * the like, where certainly nothing was.
 */
const AMBIGUOUS_CODES = new Set([
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "ESOCKETTIMEDOUT",
  "ERR_STREAM_PREMATURE_CLOSE",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
  "UND_ERR_SOCKET",
  "SAGAZ_COMMIT_IN_DOUBT",
]);
const AMBIGUOUS_NAMES = new Set(["AmbiguousOutcome", "AbortError", "TimeoutError"]);
const CAUSES_MAX = 5;

/** What a throw means, given whether the attempt had been told to abort before it threw. */
export function fromThrown(thrown: unknown, aborted: "timeout" | "cut_off" | undefined): Outcome {
  if (isNamed(thrown, "BusinessFailure")) {
    const error = toRecordedError(thrown, "business");
    const details = toDetails(read(thrown, "details"));
    return { type: "failed", error: details === undefined ? error : { ...error, details }, final: true };
  }
  if (aborted) return { type: "unknown", error: toRecordedError(thrown, aborted) };
  if (isAmbiguous(thrown)) return { type: "unknown", error: toRecordedError(thrown, "ambiguous") };
  const error = toRecordedError(
    isNamed(thrown, "RetryLater") ? (causeOf(thrown) ?? thrown) : thrown,
    "error",
  );
  const delayMs = isNamed(thrown, "RetryLater") ? (thrown as { delayMs?: unknown }).delayMs : undefined;
  const failed = { type: "failed", error, final: false, thrown } as const;
  return isDelay(delayMs) ? { ...failed, retryInMs: delayMs } : failed;
}

function isDelay(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= LIMITS.durationMsMax;
}

/** Details are an extra: what cannot be kept gives way to the reason why, and never fails the step in another way. */
function toDetails(details: unknown): unknown {
  const { errorDetailsBytesMax: bytesMax } = LIMITS;
  try {
    return keepJson(details, { what: "the details of the failure", bytesMax });
  } catch (error) {
    const isTooLarge = isSagaError(error, "SAGAZ_PAYLOAD_TOO_LARGE");
    const why = isTooLarge ? `more than errorDetailsBytesMax = ${bytesMax} bytes of JSON` : undefined;
    return { notKept: why ?? toRecordedError(error, "error").message };
  }
}

/** Tells whether an effect may have happened although the call threw. Looks through `cause`. */
function isAmbiguous(thrown: unknown): boolean {
  let error: unknown = thrown;
  for (let depth = 0; depth < CAUSES_MAX && error !== undefined && error !== null; depth++) {
    if (AMBIGUOUS_CODES.has(String(read(error, "code")))) return true;
    if (AMBIGUOUS_NAMES.has(String(read(error, "name")))) return true;
    error = causeOf(error);
  }
  return false;
}

/** By name, not by class: an application may hold two copies of the library. */
function isNamed(thrown: unknown, name: string): boolean {
  return read(thrown, "name") === name;
}

function causeOf(error: unknown): unknown {
  return read(error, "cause");
}

/** Reads a property of something foreign; a getter that throws counts as absent. */
function read(value: unknown, property: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  try {
    return (value as Record<string, unknown>)[property];
  } catch {
    return undefined;
  }
}

/** What is kept of a thrown value, whatever it is: an Error, a string, `undefined`. */
export function toRecordedError(thrown: unknown, kind: RecordedError["kind"]): RecordedError {
  const isError = typeof thrown === "object" && thrown !== null && "message" in thrown;
  const message = isError
    ? String(read(thrown, "message"))
    : `a step threw ${describe(thrown)} instead of an Error`;
  const code = read(thrown, "code");
  // Making the text of a stack costs more than the attempt; the business's "no" needs none.
  const stack = kind === "business" ? undefined : read(thrown, "stack");
  return {
    name: isError ? nameOf(thrown) : "NonError",
    message: clip(message),
    kind,
    ...(typeof code === "string" ? { code } : {}),
    ...(typeof stack === "string" ? { stack: clip(stack) } : {}),
  };
}

function nameOf(thrown: unknown): string {
  const name = read(thrown, "name");
  return typeof name === "string" ? name : "Error";
}

function describe(thrown: unknown): string {
  try {
    return JSON.stringify(thrown) ?? String(thrown);
  } catch {
    return typeof thrown;
  }
}

function clip(text: string): string {
  return text.length > LIMITS.errorTextMax ? `${text.slice(0, LIMITS.errorTextMax)}…` : text;
}
