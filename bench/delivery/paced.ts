import { setTimeout as delay } from "node:timers/promises";
import { randomUUID } from "node:crypto";
import pg from "pg";
import { createBroker, OptimisticPublisher, Outbox, OutboxWorker, type MessageBroker } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { newEvent } from "./events.ts";
import { machineMs } from "./machine-ms.ts";
import { pacePerSecond } from "./plan.ts";
import { toRunner, withStorage } from "./sagaz-relay.ts";
import { noopBroker, tappedBroker } from "./tapped-broker.ts";

/** When something happened to an event, by {@link machineMs}. */
export type Times = readonly (readonly [eventId: string, atMs: number])[];

/** Commits an event at a time, 200 a second, and tells when each had been committed. */
export function writePaced(url: string, forMs: number): Promise<Times> {
  return withStorage(url, ({ storage, pool }) => {
    const outbox = new Outbox({ storage, source: "/bench" });
    return atPace(forMs, async (n) => {
      const client = await pool.connect();
      const id = randomUUID();
      await client.query("BEGIN");
      await outbox.add(toRunner(client), { ...newEvent(n), id });
      await client.query("COMMIT");
      const at = machineMs();
      client.release();
      return [id, at];
    });
  });
}

/** The same in transactions whose events are sent right after the commit; also tells when each was published. */
export function publishPaced(
  url: string,
  forMs: number,
): Promise<{ readonly committed: Times; readonly published: Times }> {
  return withStorage(url, async ({ storage, pool }) => {
    const published: [string, number][] = [];
    const publisher = new OptimisticPublisher({ storage, broker: noting(published) });
    await publisher.start();
    const outbox = new Outbox({ storage, source: "/bench", publisher });
    const committed = await atPace(forMs, async (n) => {
      const id = randomUUID();
      await outbox.transaction(pool, (_, add) => add({ ...newEvent(n), id }));
      return [id, machineMs()];
    });
    await publisher.stop();
    return { committed, published };
  });
}

/** Hands a message at a time to our adapter at the same pace, without a database, and tells when each was handed to it. */
export async function handPaced(url: string, forMs: number): Promise<Times> {
  const broker = await createBroker(url);
  await broker.start();
  const handed = await atPace(forMs, async (n) => {
    const id = randomUUID();
    const { topic, key, payload } = newEvent(n);
    const at = machineMs();
    await broker.publish([{ topic, key, headers: { ce_id: id }, payload: JSON.stringify(payload) }]);
    return [id, at];
  });
  await broker.stop();
  return handed;
}

/** Does something 200 times a second, whether or not what went before has ended. */
async function atPace(forMs: number, commit: (n: number) => Promise<Times[number]>): Promise<Times> {
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
}

/** Nobody, which notes when it was told of each event. */
function noting(times: [string, number][]): MessageBroker {
  return tappedBroker(noopBroker, (messages) => {
    const at = machineMs();
    for (const { headers } of messages) times.push([headers["ce_id"] ?? "", at]);
  });
}

/** Relays to nobody until it is stopped and all is published, and tells when each event was published. */
export async function watch(url: string): Promise<{ stop(): Promise<Times> }> {
  const times: [string, number][] = [];
  const broker = noting(times);
  const pool = new pg.Pool({ connectionString: url, max: 10 });
  const storage = new PostgreSQLStorage({ pool });
  const worker = new OutboxWorker({ storage, broker });
  await worker.start();
  return {
    async stop() {
      while ((await storage.outbox.backlog()).pending > 0) await delay(10);
      await worker.stop();
      await pool.end();
      return times;
    },
  };
}
