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
  check(value, { what, path: "$", above: [] });
}

interface Place {
  readonly what: string;
  readonly path: string;
  readonly above: readonly object[];
}

const DEPTH_MAX = 200;

function check(value: unknown, place: Place): void {
  if (typeof value === "object") {
    if (value !== null) checkObject(value, place);
  } else if (typeof value === "number") {
    if (!Number.isFinite(value)) throw notJson(place, `${value} is no JSON number`);
  } else if (value === undefined) {
    if (place.path !== "$") throw notJson(place, "undefined has no place in a list");
  } else if (typeof value !== "string" && typeof value !== "boolean") {
    throw notJson(place, `a ${typeof value} is no JSON value`);
  }
}

function checkObject(value: object, place: Place): void {
  const { what, path } = place;
  if (place.above.includes(value)) throw notJson(place, "it contains itself");
  if (place.above.length >= DEPTH_MAX) throw notJson(place, `it is nested deeper than ${DEPTH_MAX}`);
  const above = [...place.above, value];
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) check(value[i], { what, path: `${path}[${i}]`, above });
    return;
  }
  checkPlain(value, place);
  for (const [key, one] of Object.entries(value)) {
    if (one !== undefined) check(one, { what, path: `${path}.${key}`, above });
  }
}

function checkPlain(value: object, place: Place): void {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw notJson(place, `a ${className(value)} would come back as something else`);
  }
  if ("toJSON" in value && typeof value.toJSON === "function")
    throw notJson(place, "its toJSON would change it");
}

function className(value: object): string {
  const { constructor } = value as { constructor?: { name?: unknown } };
  return typeof constructor?.name === "string" && constructor.name !== ""
    ? constructor.name
    : "object of a class";
}

function notJson({ what, path }: Place, why: string): SagaError {
  return new SagaError("SAGAZ_NOT_JSON", { what, why, path });
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
