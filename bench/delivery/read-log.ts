import pg from "pg";
import { createBroker, OutboxWorker, type MessageBroker } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { waitUntil } from "../../tools/servers/wait-until.ts";
import { Meter } from "./meter.ts";
import { mustBeEmpty } from "./must-be-empty.ts";
import { batchSize } from "./plan.ts";
import { withCpu, type Relayed, type RelayTask } from "./relaying.ts";
import { noopBroker, tappedBroker } from "./tapped-broker.ts";

/** A worker that reads the log until it is stopped. */
export interface LogReader {
  readonly worker: OutboxWorker;
  stop(): Promise<void>;
}

async function startReader(url: string, broker: MessageBroker): Promise<LogReader> {
  const pool = new pg.Pool({ connectionString: url, max: 10 });
  const worker = new OutboxWorker({ storage: new PostgreSQLStorage({ pool }), broker, delivery: "cdc" });
  await worker.start();
  return {
    worker,
    async stop() {
      await worker.stop();
      await pool.end();
    },
  };
}

/** Makes the slot: what is committed from now on comes by the log. */
export async function makeSlot(url: string): Promise<void> {
  const reader = await startReader(url, noopBroker);
  await untilItReads(reader);
  await reader.stop();
}

/** Sends all that waits in the log. */
export async function readLog({ url, target, events }: RelayTask): Promise<Relayed> {
  const meter = new Meter({ expected: events, lot: batchSize });
  const broker = target.kind === "noop" ? noopBroker : await createBroker(target.url);
  const [, nodeCpuMs] = await withCpu(async () => {
    const reader = await startReader(
      url,
      tappedBroker(broker, ({ length }) => meter.note(length)),
    );
    await meter.done;
    await reader.stop();
  });
  await mustBeEmpty(url, "sagaz.saga_outbox_pending");
  return { perSecond: meter.perSecond(), nodeCpuMs };
}

/** Sends what comes by the log to a broker; resolves when the log is read. */
export async function followLog(url: string, broker: string): Promise<LogReader> {
  const reader = await startReader(url, await createBroker(broker));
  await untilItReads(reader);
  return reader;
}

/** Whose reader was killed waits for its lease to run out. */
function untilItReads({ worker }: LogReader): Promise<unknown> {
  return waitUntil("the log is read", () => worker.delivery.mode === "cdc", { withinMs: 30_000 });
}
