import { SagaError } from "./errors.ts";

/**
 * Checks that a value survives JSON unchanged, so that a saga sees the same before and after a crash: plain objects,
 * arrays, strings, finite numbers, booleans, null. Properties that are `undefined` are dropped, as JSON does.
 *
 * @param what names the value in the error.
 * @throws SagaError `SAGAZ_NOT_JSON` with the path of the first value that would change.
 */
export function checkJson(value: unknown, what: string): void {
  const flaw = value === undefined ? undefined : findFlaw(value, 0);
  if (flaw) throw new SagaError("SAGAZ_NOT_JSON", { what, why: flaw.why, path: `$${flaw.path}` });
}

/** What JSON would change, and where: the path grows on the way out, so that a value without a flaw costs no texts. */
interface Flaw {
  why: string;
  path: string;
  /** Of a value that is nested too deeply: its innermost part, which a circle leads back to. */
  readonly deepest?: object;
}

const DEPTH_MAX = 200;

function findFlaw(value: unknown, depth: number): Flaw | undefined {
  if (typeof value === "object") return value === null ? undefined : findInObject(value, depth);
  if (typeof value === "string" || typeof value === "boolean") return undefined;
  if (typeof value !== "number") {
    const why =
      value === undefined ? "undefined has no place in a list" : `a ${typeof value} is no JSON value`;
    return { why, path: "" };
  }
  return Number.isFinite(value) ? undefined : { why: `${value} is no JSON number`, path: "" };
}

function findInObject(value: object, depth: number): Flaw | undefined {
  if (depth >= DEPTH_MAX) return { why: `it is nested deeper than ${DEPTH_MAX}`, path: "", deepest: value };
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const flaw = findFlaw(value[i], depth + 1);
      if (flaw) return outOf(value, flaw, `[${i}]`);
    }
    return undefined;
  }
  const flaw = findUnlikeness(value);
  if (flaw) return flaw;
  for (const key of Object.keys(value)) {
    const one = (value as Readonly<Record<string, unknown>>)[key];
    const inner = one === undefined ? undefined : findFlaw(one, depth + 1);
    if (inner) return outOf(value, inner, `.${key}`);
  }
  return undefined;
}

function outOf(value: object, flaw: Flaw, place: string): Flaw {
  // The outermost place that the circle comes back to is the one to show.
  if (flaw.deepest === value) return { why: "it contains itself", path: place, deepest: value };
  flaw.path = place + flaw.path;
  return flaw;
}

/** Why an object, whatever it holds, would not come back as it is. */
function findUnlikeness(value: object): Flaw | undefined {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype && Object.getPrototypeOf(prototype) !== null)
    return { why: `a ${className(value)} would come back as something else`, path: "" };
  if ("toJSON" in value && typeof value.toJSON === "function")
    return { why: "its toJSON would change it", path: "" };
  return undefined;
}

function className(value: object): string {
  const { constructor } = value as { constructor?: { name?: unknown } };
  return typeof constructor?.name === "string" && constructor.name !== ""
    ? constructor.name
    : "object of a class";
}

/**
 * What is kept of a user's value: a frozen copy, the same that its JSON text would give back. So a step sees the same
 * before and after a crash, and nobody changes it under the engine's feet.
 *
 * @param value may be undefined, which stays undefined.
 * @param limits `what` names the value in errors, `bytesMax` is for its JSON text in UTF-8.
 * @throws SagaError `SAGAZ_NOT_JSON`, `SAGAZ_PAYLOAD_TOO_LARGE`.
 */
export function keepJson(
  value: unknown,
  { what, bytesMax }: { readonly what: string; readonly bytesMax: number },
): unknown {
  checkJson(value, what);
  if (value === undefined) return undefined;
  const copy = copyJson(value);
  // Most values are far below the limit: then nobody has to write the text to know.
  const bytes = bytesAtMost(copy) > bytesMax ? utf8Bytes(JSON.stringify(copy)) : 0;
  if (bytes > bytesMax) throw new SagaError("SAGAZ_PAYLOAD_TOO_LARGE", { what, bytes, limit: bytesMax });
  return copy;
}

function copyJson(value: unknown): unknown {
  if (typeof value === "number") return value === 0 ? 0 : value; // JSON knows no -0
  if (typeof value !== "object" || value === null) return value;
  return Object.freeze(Array.isArray(value) ? value.map(copyJson) : copyObject(value));
}

function copyObject(value: object): object {
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const one = (value as Readonly<Record<string, unknown>>)[key];
    if (one === undefined) continue;
    if (key === "__proto__") Object.defineProperty(copy, key, { value: copyJson(one), enumerable: true });
    else copy[key] = copyJson(one);
  }
  return copy;
}

/** A limit of the bytes of a value's JSON text: a character takes six at most, as an escape, and a number 25. */
function bytesAtMost(value: unknown): number {
  if (typeof value === "string") return value.length * 6 + 2;
  if (typeof value !== "object" || value === null) return 25;
  let bytes = 2;
  if (Array.isArray(value)) for (const one of value) bytes += bytesAtMost(one) + 1;
  else
    for (const key of Object.keys(value))
      bytes += key.length * 6 + 4 + bytesAtMost((value as Readonly<Record<string, unknown>>)[key]);
  return bytes;
}

/** Bytes of a text in UTF-8; half of a surrogate pair alone counts as the replacement character that it becomes. */
export function utf8Bytes(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x80) bytes += 1;
    else if (code < 0x800) bytes += 2;
    else if (isPair(code, text.charCodeAt(i + 1))) {
      bytes += 4;
      i += 1;
    } else bytes += 3;
  }
  return bytes;
}

function isPair(high: number, low: number): boolean {
  return high >> 10 === 0x36 && low >> 10 === 0x37;
}

/**
 * JSON text with one spelling per value: keys sorted by UTF-16 code units, no white space. The JSON Canonicalization
 * Scheme, RFC 8785; numbers and strings are spelt by ECMAScript as that RFC demands.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((one) => canonicalJson(one ?? null)).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.entries(value)
    .filter(([, one]) => one !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, one]) => `${JSON.stringify(key)}:${canonicalJson(one)}`);
  return `{${members.join(",")}}`;
}
