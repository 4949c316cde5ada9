import type { SqlRunner } from "../core/definition/context.ts";
import { LIMITS } from "../core/definition/policies.ts";
import { SagaError } from "../core/errors.ts";

/** How to start a saga. */
export interface StartOptions {
  /** The same key starts one saga, whoever comes first: per definition and tenant, for as long as the saga is kept. */
  readonly idempotencyKey?: string;
  readonly correlationId?: string;
  readonly tenantId?: string;
  /** Handed to every step as `ctx.headers`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Free attributes to list by. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** Not before this time. */
  readonly startAt?: Date;
  /** Starts inside the caller's own transaction: the saga exists if and only if that commits. */
  readonly tx?: SqlRunner;
}

/**
 * Checks what a caller says about a start before anything is stored: it comes from requests as often as from code.
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export function checkStartOptions(options: StartOptions): void {
  for (const option of ["idempotencyKey", "tenantId", "correlationId"] as const)
    checkKey(option, options[option]);
  for (const option of ["headers", "attributes"] as const) checkTexts(option, options[option]);
  const { startAt } = options;
  if (startAt !== undefined && !(startAt instanceof Date && Number.isFinite(startAt.getTime()))) {
    throw invalid("startAt", startAt, "it must be a valid Date");
  }
}

function checkKey(option: string, value: unknown): void {
  if (value === undefined) return;
  const limit = LIMITS.keyLengthMax;
  if (isText(value) && value !== "" && value.length <= limit) return;
  throw invalid(option, value, `it must be a text of 1 to ${limit} characters without NUL`);
}

function checkTexts(option: string, value: unknown): void {
  if (value === undefined) return;
  const isFlat = typeof value === "object" && value !== null && !Array.isArray(value);
  if (isFlat && Object.entries(value).every((entry) => entry.every(isText))) return;
  throw invalid(option, value, "it must be an object whose values are texts without NUL");
}

function isText(value: unknown): value is string {
  return typeof value === "string" && !value.includes("\0");
}

function invalid(option: string, value: unknown, rule: string): SagaError {
  const shown = typeof value === "string" ? JSON.stringify(value.slice(0, 50)) : `a ${typeof value}`;
  return new SagaError("SAGAZ_INVALID_OPTION", { where: "start", option, value: shown, rule });
}
