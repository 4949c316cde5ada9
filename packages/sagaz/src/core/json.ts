import { SagaError } from "./errors.ts";
import { need } from "./must.ts";

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

/** Bytes of a text in UTF-8; half of a surrogate pair alone counts as the replacement character that it becomes. */
export function utf8Bytes(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const code = need(character.codePointAt(0), "a character of a text is not empty");
    bytes += 1 + Number(code >= 0x80) + Number(code >= 0x800) + Number(code >= 0x10000);
  }
  return bytes;
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
