import pg from "pg";
import { createBroker, Outbox, OutboxWorker, type MessageBroker, type SqlRunner } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { newEvent } from "./events.ts";
import { Meter } from "./meter.ts";
import { noopBroker, tappedBroker } from "./tapped-broker.ts";
import { mustBeEmpty } from "./must-be-empty.ts";
import { batchSize } from "./plan.ts";
import { withCpu, type Relaying, type RelayTask, type Target } from "./relaying.ts";

const poolSize = 10;

/** Ours, with the library's defaults. */
export const sagazRelay: Relaying = {
  name: "sagaz",
  tuning: `defaults; pool of ${poolSize}; events are added and published 1,000 at a time, of 10,000 keys in order`,
  install: (url) => withStorage(url, async () => {}),
  fill,
  relay,
};

/** Opens our storage for as long as it is used. */
export async function withStorage<T>(
  url: string,
  use: (parts: { storage: PostgreSQLStorage; pool: pg.Pool }) => Promise<T>,
): Promise<T> {
  const pool = new pg.Pool({ connectionString: url, max: poolSize });
  const storage = new PostgreSQLStorage({ pool });
  try {
    await storage.start();
    return await use({ storage, pool });
  } finally {
    await storage.stop();
    await pool.end();
  }
}

/** How our library runs statements on a connection of `pg`. */
export function toRunner(client: pg.ClientBase): SqlRunner {
  return async (sql, params = []) => (await client.query<Record<string, unknown>>(sql, [...params])).rows;
}

function fill(url: string, events: number): Promise<void> {
  return withStorage(url, async ({ storage, pool }) => {
    const outbox = new Outbox({ storage, source: "/bench" });
    const client = await pool.connect();
    for (let first = 0; first < events; first += batchSize) {
      const some = Array.from({ length: Math.min(batchSize, events - first) }, (_, n) => newEvent(first + n));
      await outbox.add(toRunner(client), some);
    }
    client.release();
  });
}

async function relay({ url, target, events }: RelayTask) {
  const meter = new Meter({ expected: events, lot: batchSize });
  const broker = tappedBroker(await openTarget(target), ({ length }) => meter.note(length));
  const pool = new pg.Pool({ connectionString: url, max: poolSize });
  const [, nodeCpuMs] = await withCpu(async () => {
    const worker = new OutboxWorker({ storage: new PostgreSQLStorage({ pool }), broker });
    await worker.start();
    await meter.done;
    await worker.stop();
  });
  await pool.end();
  await mustBeEmpty(url, "sagaz.saga_outbox_pending");
  return { perSecond: meter.perSecond(), nodeCpuMs };
}

async function openTarget(target: Target): Promise<MessageBroker> {
  return target.kind === "noop" ? noopBroker : createBroker(target.url);
}
