import type { SqlRunner } from "../core/definition/context.ts";
import { checkTx } from "../core/check-tx.ts";
import { checkOptionNames } from "../core/definition/check-options.ts";
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

const NAMES = [
  "idempotencyKey",
  "correlationId",
  "tenantId",
  "headers",
  "attributes",
  "startAt",
  "tx",
] as const satisfies readonly (keyof StartOptions)[];

/**
 * What a caller says about a start, checked and copied: it comes from requests as often as from code, and whoever gave it
 * may change it before it is on record.
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export function toStartOptions(given: StartOptions): StartOptions {
  if (typeof given !== "object" || given === null) throw invalid("options", given, "they must be an object");
  checkOptionNames("start", given, NAMES); // a key that is misspelt would be none
  const { idempotencyKey, tenantId, correlationId, headers, attributes, startAt, tx } = given;
  const options: { -readonly [Option in keyof StartOptions]: StartOptions[Option] } = {};
  if (idempotencyKey !== undefined) options.idempotencyKey = toKey("idempotencyKey", idempotencyKey);
  if (tenantId !== undefined) options.tenantId = toKey("tenantId", tenantId);
  if (correlationId !== undefined) options.correlationId = toKey("correlationId", correlationId);
  if (headers !== undefined) options.headers = toTexts("headers", headers);
  if (attributes !== undefined) options.attributes = toTexts("attributes", attributes);
  if (startAt !== undefined) options.startAt = toTime(startAt);
  if (tx !== undefined) {
    checkTx("start", tx);
    options.tx = tx;
  }
  return options;
}

/** A time that is over means at once, however long it is over. */
function toTime(value: unknown): Date {
  if (value instanceof Date && Number.isFinite(value.getTime()))
    return new Date(Math.max(0, value.getTime()));
  throw invalid("startAt", value, "it must be a valid Date");
}

function toKey(option: string, value: unknown): string {
  const limit = LIMITS.keyLengthMax;
  if (isText(value) && value !== "" && value.length <= limit) return value;
  throw invalid(option, value, `it must be a text of 1 to ${limit} characters ${PLAIN}`);
}

function toTexts(option: string, value: unknown): Readonly<Record<string, string>> {
  const isFlat = typeof value === "object" && value !== null && !Array.isArray(value);
  const entries = isFlat ? Object.entries(value) : [];
  if (isFlat && entries.every((entry) => entry.every(isText)))
    return Object.freeze(Object.fromEntries(entries));
  throw invalid(option, value, `it must be an object whose values are texts ${PLAIN}`);
}

const PLAIN = "without NUL and halves of characters";
/** Half of a surrogate pair: no UTF-8 has it, so two texts that differ in it alone would become one. */
const HALF = /\p{Surrogate}/u;

function isText(value: unknown): value is string {
  return typeof value === "string" && !value.includes("\0") && !HALF.test(value);
}

function invalid(option: string, value: unknown, rule: string): SagaError {
  const shown = typeof value === "string" ? JSON.stringify(value.slice(0, 50)) : `a ${typeof value}`;
  return new SagaError("SAGAZ_INVALID_OPTION", { where: "start", option, value: shown, rule });
}
