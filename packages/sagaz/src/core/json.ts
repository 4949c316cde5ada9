import { SagaError } from "./errors.ts";

/** Says where a value would not survive JSON. @throws SagaError `SAGAZ_NOT_JSON` with the path of the first such place. */
function checkJson(value: unknown, what: string): void {
  const flaw = findFlaw(value, 0);
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
  const unlike = findUnlikeness(value);
  if (unlike) return unlike;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const flaw = findFlaw(value[i], depth + 1);
      if (flaw) return outOf(value, flaw, `[${i}]`);
    }
    return undefined;
  }
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

/** Why an object, whatever it holds, would not come back as it is. Lists of a class do, but for the class. */
function findUnlikeness(value: object): Flaw | undefined {
  const prototype: unknown = Array.isArray(value) ? null : Object.getPrototypeOf(value);
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
 * before and after a crash, and nobody changes it under the engine's feet. Plain objects, arrays, strings, finite
 * numbers, booleans and null are kept; properties that are `undefined` are dropped, as JSON does.
 *
 * One walk reads each property once, and ends where the limit is passed: a value of any size costs no more than that.
 *
 * @param value may be undefined, which stays undefined.
 * @param limits `what` names the value in errors, `bytesMax` is for its JSON text in UTF-8.
 * @throws SagaError `SAGAZ_NOT_JSON`, `SAGAZ_PAYLOAD_TOO_LARGE`.
 */
export function keepJson(
  value: unknown,
  { what, bytesMax }: { readonly what: string; readonly bytesMax: number },
): unknown {
  if (value === undefined) return undefined;
  const copying = new Copying(bytesMax);
  try {
    const copy = copying.copy(value, 0);
    // Most values are far below the limit: then nobody has to write the text to know.
    if (copying.bytesAtMost > bytesMax) copying.bytesAtLeast = utf8Bytes(JSON.stringify(copy));
    if (copying.bytesAtLeast <= bytesMax) return copy;
  } catch (error) {
    if (error !== UNFIT && error !== TOO_LARGE) throw error;
    if (error === UNFIT) throw notJson(value, what);
  }
  throw new SagaError("SAGAZ_PAYLOAD_TOO_LARGE", { what, bytes: copying.bytesAtLeast, limit: bytesMax });
}

const UNFIT = new Error("JSON would change it");
const TOO_LARGE = new Error("it is over the limit");

function notJson(value: unknown, what: string): unknown {
  try {
    checkJson(value, what);
  } catch (error) {
    return error;
  }
  return new SagaError("SAGAZ_NOT_JSON", { what, why: "it is another one each time it is read", path: "$" });
}

/** One copy under way, with bounds of the bytes that its JSON text has. */
class Copying {
  bytesAtLeast = 0;
  bytesAtMost = 0;
  readonly #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  copy(value: unknown, depth: number): unknown {
    if (typeof value === "object") return value === null ? this.#null() : this.#inside(value, depth);
    if (typeof value === "string") {
      this.#count(value.length + 2, value.length * 6 + 2); // a character takes six bytes at most, as an escape
      return value;
    }
    if (typeof value === "number") return this.#number(value);
    if (typeof value !== "boolean") throw UNFIT;
    this.#count(4, 5);
    return value;
  }

  #number(value: number): number {
    if (!Number.isFinite(value)) throw UNFIT;
    this.#count(1, 25);
    return value === 0 ? 0 : value; // JSON knows no -0
  }

  #null(): null {
    this.#count(4, 4);
    return null;
  }

  #inside(value: object, depth: number): object {
    if (depth >= DEPTH_MAX || findUnlikeness(value)) throw UNFIT;
    this.#count(2, 2);
    return Object.freeze(
      Array.isArray(value) ? this.#list(value, depth + 1) : this.#object(value, depth + 1),
    );
  }

  /** By its places alone: an array of a class becomes a plain one, as in JSON. */
  #list(value: readonly unknown[], depth: number): unknown[] {
    const copy: unknown[] = [];
    for (let i = 0; i < value.length; i++) {
      this.#count(0, 1);
      copy.push(this.copy(value[i], depth));
    }
    return copy;
  }

  #object(value: object, depth: number): object {
    const copy: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      const one = (value as Readonly<Record<string, unknown>>)[key];
      if (one === undefined) continue;
      this.#count(key.length + 3, key.length * 6 + 4);
      const kept = this.copy(one, depth);
      // What every object has, assigned, would change the prototype, or be refused by a frozen one.
      if (key in copy) Object.defineProperty(copy, key, { value: kept, enumerable: true });
      else copy[key] = kept;
    }
    return copy;
  }

  #count(atLeast: number, atMost: number): void {
    this.bytesAtLeast += atLeast;
    this.bytesAtMost += atMost;
    if (this.bytesAtLeast > this.#bytesMax) throw TOO_LARGE;
  }
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
