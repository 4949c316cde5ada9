import type { SagaDefinition } from "../core/definition/definition.ts";
import { SagaError } from "../core/errors.ts";
import type { Log } from "../ports/log.ts";
import type { SagaStorage } from "../ports/storage.ts";
import { unobtrusiveClock } from "./system.ts";
import { SagaOrchestrator } from "./orchestrator.ts";
import type { StartOptions } from "./sagas.ts";
import type { SagaResult } from "./saga-result.ts";

export type { SagaResult } from "./saga-result.ts";

/** How to run one saga and wait for it. */
export interface RunOptions extends Omit<StartOptions, "tx" | "startAt"> {
  /** Give up waiting after this long; the saga goes on. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What `run` and `execute` use when nothing else is said. */
export interface Configuration {
  /** Where sagas are kept. Without it (and without `SAGAZ_STORAGE_URL`) they live in memory. */
  readonly storage?: SagaStorage;
  readonly log?: Log;
}

/** Opens a storage when nothing was configured; the front door knows how, the runtime does not. */
export type DefaultStorage = (url: string | undefined) => Promise<SagaStorage>;

let configuration: Configuration = {};
let defaultStorage: DefaultStorage = () => Promise.reject(new SagaError("SAGAZ_NO_STORAGE"));
let storage: Promise<SagaStorage> | undefined;
const orchestrators = new Map<string, Promise<SagaOrchestrator>>();

/** Tells the runtime how to open a storage from a URL, or in memory. Called once by the front door. */
export function setDefaultStorage(open: DefaultStorage): void {
  defaultStorage = open;
}

/**
 * Sets what `saga.run(input)` and `classic.execute(input)` use. Call it once, before the first run: what runs already
 * keeps its storage.
 *
 * @example configure({ storage: new PostgreSQLStorage({ pool }) });
 */
export function configure(next: Configuration): void {
  configuration = next;
  storage = undefined;
  orchestrators.clear();
}

/** Stops everything that `run` and `execute` have started in this process. */
export async function shutdown(): Promise<void> {
  const running = [...orchestrators.values()];
  configure({});
  await Promise.allSettled(running.map(async (orchestrator) => (await orchestrator).stop()));
}

/**
 * Starts a saga on the configured storage and waits until it has ended or is parked.
 *
 * @throws SagaError `SAGAZ_NO_STORAGE` in production when nothing is configured.
 */
export async function runOnce(
  definition: SagaDefinition,
  input: unknown,
  options: RunOptions = {},
): Promise<SagaResult<unknown>> {
  const { timeoutMs, signal, ...start } = options;
  const keepAlive = setInterval(() => {}, KEEP_ALIVE_MS);
  try {
    const orchestrator = await orchestratorOf(definition);
    const handle = await orchestrator.sagas.start(definition, input, start);
    const wait = { ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(signal ? { signal } : {}) };
    return await handle.result({ orParked: true, ...wait });
  } finally {
    clearInterval(keepAlive);
  }
}

/** The engine's own timers must not keep a script alive that has nothing left to run; a run in progress does. */
const KEEP_ALIVE_MS = 60_000;

/** One worker a definition: it is registered when it is first run, and one that is never run costs nothing. */
function orchestratorOf(definition: SagaDefinition): Promise<SagaOrchestrator> {
  const key = `${definition.name}@${definition.version}#${definition.graphHash}`;
  let orchestrator = orchestrators.get(key);
  if (!orchestrator) {
    orchestrator = open(definition);
    orchestrators.set(key, orchestrator);
    orchestrator.catch(() => orchestrators.delete(key));
  }
  return orchestrator;
}

async function open(definition: SagaDefinition): Promise<SagaOrchestrator> {
  const { log } = configuration;
  const opened = await sharedStorage();
  const orchestrator = new SagaOrchestrator({
    storage: opened,
    sagas: [definition],
    clock: unobtrusiveClock,
    ...(log ? { log } : {}),
  });
  await orchestrator.start();
  return orchestrator;
}

/** One storage for all; one that could not be opened is tried again by the next run. */
function sharedStorage(): Promise<SagaStorage> {
  if (storage) return storage;
  const opening = openStorage();
  storage = opening;
  opening.catch(() => {
    if (storage === opening) storage = undefined;
  });
  return opening;
}

async function openStorage(): Promise<SagaStorage> {
  if (configuration.storage) return configuration.storage;
  const url = process.env["SAGAZ_STORAGE_URL"];
  if (url === undefined && process.env["NODE_ENV"] === "production") throw new SagaError("SAGAZ_NO_STORAGE");
  return defaultStorage(url);
}
