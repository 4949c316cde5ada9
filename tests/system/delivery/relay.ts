/** A process that relays events, on the built library. What it is to do comes as JSON in its first argument. */
import pg from "pg";
import { OutboxWorker } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { MoodyBroker, type Moods } from "./moody-broker.ts";
import { openBroker } from "./open-broker.ts";
import { startWithPatience } from "./start-with-patience.ts";

/** What a relay's process is told. */
export interface RelayOptions {
  readonly name: string;
  readonly databaseUrl: string;
  readonly brokerUrl: string;
  readonly leaseMs?: number;
  readonly batchMax?: number;
  readonly moods?: Moods;
}

const {
  name,
  databaseUrl,
  brokerUrl,
  leaseMs = 500,
  batchMax = 50,
  moods,
} = JSON.parse(process.argv[2] ?? "{}") as RelayOptions;

const pool = new pg.Pool({ connectionString: databaseUrl, application_name: name });
const broker = await openBroker(brokerUrl);
const worker = new OutboxWorker({
  storage: new PostgreSQLStorage({ pool, writeTimeoutMs: 1_000, connectTimeoutMs: 1_000 }),
  broker: moods === undefined ? broker : new MoodyBroker(broker, moods),
  workerName: name,
  leaseMs,
  batchMax,
});

async function stop(): Promise<void> {
  await worker.stop();
  await pool.end();
  process.send?.(worker.counts, () => process.exit(0));
}

process.once("SIGTERM", () => void stop());
process.once("disconnect", () => process.exit(1)); // the test is gone, in whatever way: so are we
await startWithPatience(worker);
process.send?.("ready");
