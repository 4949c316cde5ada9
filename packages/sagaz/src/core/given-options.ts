import { describe } from "./definition/describe.ts";
import { didYouMean } from "./definition/suggest.ts";
import { SagaError } from "./errors.ts";

/** A part that an option must be: it has these methods, or members. */
interface Part {
  readonly has: readonly string[];
  readonly rule: string;
  readonly isOptional?: true;
}

/** A whole number; bounds are included. */
interface Range {
  readonly from: number;
  readonly to?: number;
}

/** One of some words. */
interface Choice {
  readonly oneOf: readonly string[];
}

type Want = Part | Range | Choice | "function" | "functions" | "list" | "some" | "needed" | "optional";

const isFunction = (value: unknown) => typeof value === "function";
/** What fits what is named by a word, and what is said else. */
const WORDS: Readonly<Record<Extract<Want, string>, readonly [(value: unknown) => boolean, string]>> = {
  function: [(value) => value === undefined || isFunction(value), "it must be a function"],
  functions: [
    (value) => isFunction(value) || (isRecord(value) && Object.values(value).every(isFunction)),
    "it must be a function, or functions by name",
  ],
  list: [Array.isArray, "it must be a list"],
  some: [(value) => Array.isArray(value) && value.length > 0, "it must be a list of at least one"],
  needed: [(value) => value !== undefined, "it is needed"],
  optional: [() => true, ""],
};

/** What each option is: something that is checked, anything that must be there, or something that may be left out. */
export type Wanted<Options> = Readonly<Record<keyof Options, Want>>;

/** Parts that are handed to more than one class. */
export const PARTS = {
  storage: {
    has: ["journal", "outbox", "start", "stop"],
    rule: "it must be a storage: new PostgreSQLStorage({ pool }), or what createStorage(url) resolves to",
  },
  outlet: {
    has: ["publish", "start", "stop"],
    rule: "it must be a broker, such as createBroker(url) resolves to, or an HttpOutlet",
  },
  inlet: {
    has: ["subscribe", "start", "stop"],
    rule: "it must be a broker, such as createBroker(url) resolves to, or an HttpInlet",
  },
  publisher: {
    has: ["start", "stop", "holdMs"],
    rule: "it must be an OptimisticPublisher",
    isOptional: true,
  },
  log: {
    has: ["debug", "info", "warn", "error"],
    rule: "it must have the methods debug, info, warn and error, as the console has",
    isOptional: true,
  },
} as const satisfies Record<string, Part>;

/** Often gathered in one object for several classes, of which not each takes all: whoever does not want one lets it pass. */
const SHARED = new Set(["storage", "broker", "clock", "chance", "log"]);

/**
 * Refuses options that lack a part, and those that no one reads, such as a misspelt one: it would be silently without
 * effect. Answers them without those that are undefined, so that defaults take their place.
 *
 * What should be a part is not shown: it may be a URL, with a password in it.
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export function givenOptions<Options extends object>(
  where: string,
  options: Options,
  wanted: Wanted<Options>,
): Options {
  if (!isRecord(options))
    throw invalid({ where, option: "the argument", value: options }, "it must be an object");
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const known = Object.keys(wanted);
  for (const [option, value] of Object.entries(given)) {
    if (known.includes(option) || SHARED.has(option)) continue;
    throw invalid({ where, option, value }, "there is no such option", didYouMean(option, known));
  }
  for (const option of known)
    checkOne({ where, option, value: given[option] }, wanted[option as keyof Options]);
  return given as Options;
}

/** Those of these names, and the others. */
export function splitOptions<Options extends object, Name extends keyof Options>(
  options: Options,
  names: Readonly<Record<Name, unknown>>,
): readonly [Pick<Options, Name>, Omit<Options, Name>] {
  const isNamed = ([name]: readonly [string, unknown]) => Object.hasOwn(names, name);
  const all = Object.entries(options);
  const others = Object.fromEntries(all.filter((one) => !isNamed(one)));
  return [Object.fromEntries(all.filter(isNamed)) as Pick<Options, Name>, others as Omit<Options, Name>];
}

interface Written {
  readonly where: string;
  readonly option: string;
  readonly value: unknown;
}

function checkOne(written: Written, want: Want): void {
  const { value } = written;
  if (typeof want === "string") {
    const [isFit, rule] = WORDS[want];
    if (!isFit(value)) throw invalid(written, rule);
  } else if ("has" in want) checkPart(written, want);
  else if (value !== undefined) checkValue(written, want);
}

function checkPart(written: Written, part: Part): void {
  const { value } = written;
  if (value === undefined && part.isOptional) return;
  const isOne = isRecord(value) && part.has.every((member) => value[member] !== undefined);
  if (!isOne) throw invalid(written, part.rule, isPromise(value) ? " Await the promise first." : "");
}

function checkValue(written: Written, want: Range | Choice): void {
  const { value, where, option } = written;
  const shown = describe(value);
  if ("oneOf" in want) {
    if (want.oneOf.includes(value as string)) return;
    const rule = `it must be ${want.oneOf.map((word) => `"${word}"`).join(" or ")}`;
    throw new SagaError("SAGAZ_INVALID_OPTION", { where, option, value: shown, rule });
  }
  const { from, to = Number.MAX_SAFE_INTEGER } = want;
  if (Number.isSafeInteger(value) && Number(value) >= from && Number(value) <= to) return;
  const rule = `it must be a whole number from ${from} ${want.to === undefined ? "on" : `to ${to}`}`;
  throw new SagaError("SAGAZ_INVALID_OPTION", { where, option, value: shown, rule });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return (typeof value === "object" || typeof value === "function") && value !== null;
}

function invalid({ where, option, value }: Written, rule: string, hint = ""): SagaError {
  return new SagaError("SAGAZ_INVALID_OPTION", { where, option, value: kindOf(value), rule, hint });
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (isPromise(value)) return "a promise";
  const kind = Array.isArray(value) ? "array" : typeof value;
  return `${/^[aeiou]/.test(kind) ? "an" : "a"} ${kind}`;
}

function isPromise(value: unknown): boolean {
  return isRecord(value) && typeof value["then"] === "function";
}
