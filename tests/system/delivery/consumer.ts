/** A process that consumes events, on the built library. What it is to do comes as JSON in its first argument. */
import pg from "pg";
import { InboxWorker, type InboxHandler } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { openBroker } from "./open-broker.ts";
import type { EventBody } from "./producers.ts";
import { startWithPatience } from "./start-with-patience.ts";

/** What a consumer's process is told. */
export interface ConsumerOptions {
  readonly name: string;
  readonly consumerName: string;
  readonly databaseUrl: string;
  readonly brokerUrl: string;
  readonly topic: string;
}

const { name, consumerName, databaseUrl, brokerUrl, topic } = JSON.parse(
  process.argv[2] ?? "{}",
) as ConsumerOptions;

const pool = new pg.Pool({ connectionString: databaseUrl, application_name: name });
const handle: InboxHandler<EventBody> = async ({ key, version }, { tx, message }) => {
  await tx("insert into town.effects (event_id, consumer, key, version) values ($1, $2, $3, $4)", [
    message.eventId,
    consumerName,
    key,
    version,
  ]);
};
const worker = new InboxWorker({
  storage: new PostgreSQLStorage({ pool, writeTimeoutMs: 1_000, connectTimeoutMs: 1_000 }),
  broker: await openBroker(brokerUrl),
  consumerName,
  topics: [topic],
  handlerTimeoutMs: 3_000,
  handle: handle as InboxHandler,
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
