import { setTimeout as delay } from "node:timers/promises";
import { randomUUID } from "node:crypto";
import pg from "pg";
import { Outbox, OutboxWorker } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { newEvent } from "./events.ts";
import { pacePerSecond } from "./plan.ts";
import { toRunner, withStorage } from "./sagaz-relay.ts";
import { noopBroker, tappedBroker } from "./tapped-broker.ts";

/** When something happened to an event, in milliseconds of the machine's monotonic clock, which processes share. */
export type Times = readonly (readonly [eventId: string, atMs: number])[];

function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Commits an event at a time, 200 a second, and tells when each had been committed. */
export function writePaced(url: string, forMs: number): Promise<Times> {
  return withStorage(url, async ({ storage, pool }) => {
    const outbox = new Outbox({ storage, source: "/bench" });
    const commit = async (n: number): Promise<Times[number]> => {
      const client = await pool.connect();
      const id = randomUUID();
      await client.query("BEGIN");
      await outbox.add(toRunner(client), { ...newEvent(n), id });
      await client.query("COMMIT");
      const at = now();
      client.release();
      return [id, at];
    };
    const events = Math.round((forMs / 1000) * pacePerSecond);
    const startedAt = performance.now();
    const commits: Promise<Times[number]>[] = [];
    for (let n = 0; n < events; n += 1) {
      const dueMs = startedAt + (n * 1000) / pacePerSecond - performance.now();
      // The pace is what is measured at.
      if (dueMs > 0) await delay(dueMs);
      commits.push(commit(n));
    }
    return Promise.all(commits);
  });
}

/** Relays to nobody until it is stopped, and tells when each event was published. */
export async function watch(url: string): Promise<{ stop(): Promise<Times> }> {
  const times: [string, number][] = [];
  const broker = tappedBroker(noopBroker, (messages) => {
    const at = now();
    for (const { headers } of messages) times.push([headers["ce_id"] ?? "", at]);
  });
  const pool = new pg.Pool({ connectionString: url, max: 10 });
  const worker = new OutboxWorker({ storage: new PostgreSQLStorage({ pool }), broker });
  await worker.start();
  return {
    async stop() {
      await worker.stop();
      await pool.end();
      return times;
    },
  };
}
