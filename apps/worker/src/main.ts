import { pino, type BaseLogger } from "pino";
import { collectDefaultMetrics, Registry } from "prom-client";
import {
  createBroker,
  createStorage,
  isSagaError,
  OutboxWorker,
  type MessageOutlet,
  type SagaLogger,
} from "sagaz";
import { HttpOutlet } from "sagaz/http";
import { serveEndpoints, type Endpoints, type Subject } from "./endpoints.ts";
import { measureOutbox } from "./metrics.ts";
import { MeteredBroker } from "./metered-broker.ts";
import { readSettings, SettingsError, usage, type Settings } from "./settings.ts";

/** Exit status for settings that cannot be used (sysexits.h: EX_CONFIG). */
const MISUSE = 78;
/** Exit status when the time to stop was not enough, or was cut short. */
const CUT_OFF = 1;

async function run(settings: Settings): Promise<void> {
  const logger = pino({ level: settings.logLevel });
  const log = toLog(logger);
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const onNotice = (notice: string) => log.warn(`sagaz-worker: ${notice}`);
  const storage = await createStorage(settings.storageUrl, { onNotice });
  const broker = new MeteredBroker(await openOutlet(settings), registry);
  const { workerName, batchMax, leaseMs, attemptsMax, delivery, slotWalBytesMax, blockKeyTopics } = settings;
  const worker = new OutboxWorker({
    storage,
    broker,
    workerName,
    batchMax,
    leaseMs,
    attemptsMax,
    delivery,
    slotWalBytesMax,
    onPoison: (topic) => (blockKeyTopics.includes(topic) ? "block-key" : "dead-letter"),
    log,
  });
  measureOutbox({ registry, storage, worker, broker });
  const endpoints = await serve({ registry, health: () => worker.health() }, settings);
  log.info("sagaz-worker: health and metrics are served", { host: settings.httpHost, port: endpoints.port });
  const stopping = onSignal(async (signal) => {
    log.info("sagaz-worker: stopping", { signal });
    setTimeout(() => process.exit(CUT_OFF), settings.stopMs).unref();
    await worker.stop();
    await endpoints.close();
    log.info("sagaz-worker: stopped", { ...worker.counts });
  });
  await startWithPatience(worker, { log, isStopping: () => stopping.begun });
}

/** @throws SettingsError when nothing can be served there: the port is taken, or the host is another one's. */
async function serve(
  subject: Subject,
  { httpHost: host, httpPort: port }: Pick<Settings, "httpHost" | "httpPort">,
): Promise<Endpoints> {
  try {
    return await serveEndpoints(subject, { host, port });
  } catch (error) {
    const why = (error as Error).message;
    throw new SettingsError(`SAGAZ_HTTP_HOST and SAGAZ_HTTP_PORT name no place to serve health at: ${why}.`);
  }
}

/** A broker, or what posts to URLs, with a broker beside it or none. */
async function openOutlet({ brokerUrl, httpDestinations }: Settings): Promise<MessageOutlet> {
  const broker = brokerUrl === "" ? undefined : await createBroker(brokerUrl);
  const origins = Object.entries(httpDestinations);
  if (broker && origins.length === 0) return broker;
  const destinations = Object.fromEntries(origins.map(([origin, headers]) => [origin, { headers }]));
  return new HttpOutlet({ destinations, ...(broker ? { broker } : {}) });
}

/** A database that is not there yet is waited for; whatever else is wrong ends the process, for it will stay wrong. */
async function startWithPatience(
  worker: OutboxWorker,
  { log, isStopping }: { readonly log: SagaLogger; readonly isStopping: () => boolean },
): Promise<void> {
  for (let delayMs = 500; !isStopping(); delayMs = Math.min(delayMs * 2, 30_000)) {
    try {
      await worker.start();
      log.info("sagaz-worker: started");
      return;
    } catch (error) {
      if (isStopping()) return;
      if (!isSagaError(error) || !error.retryable) throw error;
      log.warn("sagaz-worker: cannot start yet", { error: error.message, againInMs: delayMs });
      await new Promise((resolve) => setTimeout(resolve, delayMs));
    }
  }
}

/** Stops at the first signal; the second one ends the process at once. */
function onSignal(stop: (signal: string) => Promise<void>): { readonly begun: boolean } {
  const stopping = { begun: false };
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (stopping.begun) process.exit(CUT_OFF);
      stopping.begun = true;
      stop(signal).then(
        () => process.exit(0),
        () => process.exit(CUT_OFF),
      );
    });
  }
  return stopping;
}

function toLog(logger: BaseLogger): SagaLogger {
  return {
    debug: (message, details) => logger.debug(details ?? {}, message),
    info: (message, details) => logger.info(details ?? {}, message),
    warn: (message, details) => logger.warn(details ?? {}, message),
    error: (message, details) => logger.error(details ?? {}, message),
  };
}

try {
  const settings = readSettings(process.argv.slice(2), process.env);
  if (settings === "help") console.log(usage());
  else await run(settings);
} catch (error) {
  console.error(error instanceof SettingsError || isSagaError(error) ? error.message : error);
  process.exit(error instanceof SettingsError || isSagaError(error) ? MISUSE : CUT_OFF);
}
