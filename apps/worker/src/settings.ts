import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

/** What a worker needs to know. */
export interface Settings {
  readonly storageUrl: string;
  /** Empty: there is none, and events go to URLs. */
  readonly brokerUrl: string;
  /** The headers that are sent to each origin which may be posted to. */
  readonly httpDestinations: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly workerName: string;
  readonly batchMax: number;
  readonly leaseMs: number;
  readonly attemptsMax: number;
  /** `cdc`: events are read from the database's log, where that can be. */
  readonly delivery: "relay" | "cdc";
  /** With `cdc`: bytes of log that the server may keep for the reader. */
  readonly slotWalBytesMax: number;
  /** Topics whose keys stand still when an event is refused again and again. */
  readonly blockKeyTopics: readonly string[];
  readonly httpHost: string;
  /** 0: any free one. */
  readonly httpPort: number;
  /** Events are let out for so long after a signal to stop. */
  readonly stopMs: number;
  readonly logLevel: string;
}

/** A setting that cannot be used. Its message names no value that may hold a password. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

type Read<T> = (text: string, name: string) => T;

interface Setting {
  readonly means: string;
  readonly read: Read<unknown>;
  readonly default?: string;
}

const text: Read<string> = (value) => value;

/** What is in a process's memory nobody else can see: events would be taken for delivered, and be gone. */
const elsewhere: Read<string> = (value, name) => {
  if (!/^memory:/i.test(value)) return value;
  throw new SettingsError(
    `${name} must name a server: memory: is within this process, where nobody else is.`,
  );
};

function wholeNumber(least: number, most: number): Read<number> {
  return (value, name) => {
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= least && number <= most) return number;
    throw new SettingsError(`${name} must be a whole number from ${least} to ${most}, not "${value}".`);
  };
}

const list: Read<readonly string[]> = (value) =>
  value
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "");

function oneOf(...choices: readonly string[]): Read<string> {
  return (value, name) => {
    if (choices.includes(value)) return value;
    throw new SettingsError(`${name} must be one of ${choices.join(", ")}, not "${value}".`);
  };
}

/** Its message shows no value: there are passwords in it. */
const destinations: Read<Settings["httpDestinations"]> = (value, name) => {
  if (value === "") return {};
  try {
    const all: unknown = JSON.parse(value);
    if (isRecord(all) && Object.values(all).every(isHeaders)) return all as Settings["httpDestinations"];
  } catch {
    // It is told below, with no piece of the text.
  }
  const example = '{"https://a.example.com": {"authorization": "…"}}';
  throw new SettingsError(`${name} must be JSON: the headers for each origin, as in ${example}.`);
};

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isHeaders = (value: unknown) =>
  isRecord(value) && Object.values(value).every((one) => typeof one === "string");

/** Every setting: the name in the environment is `SAGAZ_` and this, the flag is the same in lower case with dashes. */
const SETTINGS: Readonly<Record<string, Setting>> = {
  STORAGE_URL: { means: "the database: postgres://…, redis://…", read: elsewhere },
  BROKER_URL: {
    means: "the broker: redis://…, amqp://…, nats://…, kafka://…; not needed where all events go to URLs",
    read: elsewhere,
    default: "",
  },
  OUTBOX_HTTP_DESTINATIONS: {
    means: "JSON: the origins that may be posted to, with headers for each",
    read: destinations,
    default: "",
  },
  WORKER_NAME: { means: "for people", read: text, default: "sagaz-worker" },
  OUTBOX_BATCH_MAX: { means: "events published at a time", read: wholeNumber(1, 10_000), default: "1000" },
  OUTBOX_LEASE_MS: {
    means: "milliseconds after which a silent worker is taken for dead",
    read: wholeNumber(500, 3_600_000),
    default: "5000",
  },
  OUTBOX_ATTEMPTS_MAX: {
    means: "refusals by the broker after which an event is given up",
    read: wholeNumber(1, 1_000_000),
    default: "5",
  },
  OUTBOX_DELIVERY: {
    means: "relay: events are polled for; cdc: they are read from the database's log",
    read: oneOf("relay", "cdc"),
    default: "relay",
  },
  OUTBOX_SLOT_WAL_BYTES_MAX: {
    means: "with cdc: bytes of log that the server may keep; beyond them events are polled for",
    read: wholeNumber(1 << 20, Number.MAX_SAFE_INTEGER),
    default: String(1 << 30),
  },
  OUTBOX_BLOCK_KEY_TOPICS: {
    means: "topics, with commas, whose keys wait for a refused event instead of going on without it",
    read: list,
    default: "",
  },
  HTTP_HOST: { means: "where health and metrics are served", read: text, default: "127.0.0.1" },
  HTTP_PORT: { means: "their port", read: wholeNumber(0, 65_535), default: "9464" },
  STOP_MS: {
    means: "milliseconds for what is under way after a signal to stop",
    read: wholeNumber(0, 3_600_000),
    default: "10000",
  },
  LOG_LEVEL: {
    means: "debug, info, warn, error or silent",
    read: oneOf("debug", "info", "warn", "error", "silent"),
    default: "info",
  },
};

const flagOf = (name: string) => name.toLowerCase().replaceAll("_", "-");

/** What `--help` says. */
export function usage(): string {
  const rows = Object.entries(SETTINGS).map(([name, setting]) => {
    const preset =
      setting.default === undefined ? "" : ` (${setting.default === "" ? "none" : setting.default})`;
    return `  --${flagOf(name).padEnd(26)} SAGAZ_${name.padEnd(26)} ${setting.means}${preset}`;
  });
  return [
    "Usage: sagaz-worker [flags]",
    "",
    "Moves events from the outbox to a message broker, and to URLs. Settings are flags, or variables of the environment;",
    "a variable with _FILE at its end names a file that holds the value.",
    "",
    ...rows,
  ].join("\n");
}

/**
 * Settings out of flags and the environment; flags win.
 *
 * @throws SettingsError for what is missing, unknown or not usable.
 */
export function readSettings(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Settings | "help" {
  const flags = parseFlags(args);
  if (flags["help"] === true) return "help";
  checkNames(env);
  const values = Object.entries(SETTINGS).map(([name, setting]) => {
    const given = flags[flagOf(name)] ?? fromEnvironment(`SAGAZ_${name}`, env) ?? setting.default;
    if (typeof given !== "string" || (given === "" && setting.default === undefined))
      throw new SettingsError(`SAGAZ_${name} is missing: ${setting.means}. --help lists all settings.`);
    return [name, setting.read(given, `SAGAZ_${name}`)] as const;
  });
  const get = Object.fromEntries(values);
  if (get["BROKER_URL"] === "" && Object.keys(get["OUTBOX_HTTP_DESTINATIONS"] as object).length === 0)
    throw new SettingsError(
      "SAGAZ_BROKER_URL is missing, and SAGAZ_OUTBOX_HTTP_DESTINATIONS too. --help lists all settings.",
    );
  return {
    storageUrl: get["STORAGE_URL"] as string,
    brokerUrl: get["BROKER_URL"] as string,
    httpDestinations: get["OUTBOX_HTTP_DESTINATIONS"] as Settings["httpDestinations"],
    workerName: get["WORKER_NAME"] as string,
    batchMax: get["OUTBOX_BATCH_MAX"] as number,
    leaseMs: get["OUTBOX_LEASE_MS"] as number,
    attemptsMax: get["OUTBOX_ATTEMPTS_MAX"] as number,
    delivery: get["OUTBOX_DELIVERY"] as "relay" | "cdc",
    slotWalBytesMax: get["OUTBOX_SLOT_WAL_BYTES_MAX"] as number,
    blockKeyTopics: get["OUTBOX_BLOCK_KEY_TOPICS"] as readonly string[],
    httpHost: get["HTTP_HOST"] as string,
    httpPort: get["HTTP_PORT"] as number,
    stopMs: get["STOP_MS"] as number,
    logLevel: get["LOG_LEVEL"] as string,
  };
}

function parseFlags(args: readonly string[]): Record<string, string | boolean | undefined> {
  const names = Object.keys(SETTINGS).map(flagOf);
  const options = Object.fromEntries(names.map((name) => [name, { type: "string" as const }]));
  try {
    const { values } = parseArgs({ args: [...args], options: { ...options, help: { type: "boolean" } } });
    return values;
  } catch (error) {
    const { code, message } = error as Error & { readonly code?: string };
    // It may be a URL that was to be a flag's value, with a password in it.
    const isStray = code === "ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL";
    const what = isStray ? "An argument belongs to no flag" : message.split(". ")[0];
    throw new SettingsError(`${what}. --help lists all flags.`);
  }
}

/** What it gives every pod about a service: one may be called `sagaz-outbox`. */
const ofKubernetes = /_(SERVICE_HOST|SERVICE_PORT|PORT)(_|$)/;

/** A variable of ours that is spelled wrong would be ignored in silence; those of other programs are not ours to judge. */
function checkNames(env: Readonly<Record<string, string | undefined>>): void {
  const known = new Set(Object.keys(SETTINGS).flatMap((name) => [`SAGAZ_${name}`, `SAGAZ_${name}_FILE`]));
  for (const name of Object.keys(env)) {
    if (!name.startsWith("SAGAZ_") || known.has(name) || ofKubernetes.test(name)) continue;
    const meant = name.replace("SAGAZ_", "SAGAZ_OUTBOX_");
    if (!known.has(meant) && !/^SAGAZ_(OUTBOX|HTTP)_/.test(name)) continue;
    const hint = known.has(meant) ? ` Did you mean ${meant}?` : "";
    throw new SettingsError(`${name} is no setting of sagaz-worker.${hint} --help lists all settings.`);
  }
}

function fromEnvironment(
  name: string,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const path = env[`${name}_FILE`];
  if (path === undefined || path === "") return env[name];
  if (env[name] !== undefined)
    throw new SettingsError(`${name} and ${name}_FILE are both set: leave one out.`);
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new SettingsError(`${name}_FILE cannot be read: ${(error as Error).message}`);
  }
}
