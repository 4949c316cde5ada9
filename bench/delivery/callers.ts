import type { TestDatabase } from "../../tools/servers/postgres-databases.ts";
import { mark } from "../counters.ts";
import { quantile } from "../quantile.ts";
import type { Bench } from "./bench.ts";
import { toLatencies } from "./latencies.ts";
import { clients, inboxBatch, pacePerSecond } from "./plan.ts";

/** Writes latencies under {@link pacePerSecond} are warm after so long, in milliseconds. */
const paceWarmMs = 500;

/** What is not a relay's throughput: producers, latency, and the inbox. */
export async function measureCallers(bench: Bench): Promise<void> {
  const { plan } = bench;
  const parts = { producer: measureProducer, notify: measureNotify, inbox: measureInbox };
  for (const [part, measure] of Object.entries(parts)) {
    if (!plan.parts.includes(part)) continue;
    for (let round = 0; round < plan.rounds; round += 1) {
      bench.progress(`round ${round + 1}/${plan.rounds}: ${part}`);
      await withDatabase(bench, (database) => measure(bench, database, round));
    }
  }
}

async function withDatabase(
  { server, sagaz }: Bench,
  use: (database: TestDatabase) => Promise<void>,
): Promise<void> {
  const database = await server.postgres.createDatabase({ name: "callers", template: sagaz.template });
  await use(database);
  await database.drop();
}

/** Business transactions with an event and without, in turn. */
async function measureProducer(
  { plan, server, sagaz, samples }: Bench,
  { url }: TestDatabase,
  round: number,
): Promise<void> {
  for (const adds of round % 2 === 0 ? [false, true] : [true, false]) {
    await sagaz.host.call("produce", { url, adds, forMs: plan.warmMs });
    await mark(server);
    const value = await sagaz.host.call("produce", { url, adds, forMs: plan.partMs });
    const system = adds ? "sagaz" : "postgresql";
    samples.add({ measure: "transactions_per_s", inFlight: clients, system, unit: "1/s" }, value);
  }
}

/** Producer and relay in processes of their own: what wakes the relay is a notification. */
async function measureNotify({ plan, server, sagaz, samples }: Bench, { url }: TestDatabase): Promise<void> {
  const producer = sagaz.host.again();
  try {
    await sagaz.host.call("watch", url);
    await producer.call("writePaced", url, paceWarmMs);
    await mark(server);
    const committed = await producer.call("writePaced", url, plan.paceMs);
    const latencies = toLatencies(committed, await sagaz.host.call("unwatch"));
    const subject = { inFlight: pacePerSecond, system: "sagaz", unit: "ms" };
    samples.add({ ...subject, measure: "commit_to_published_p50" }, quantile(latencies, 0.5));
    samples.add({ ...subject, measure: "commit_to_published_p99" }, quantile(latencies, 0.99));
  } finally {
    await producer.kill();
  }
}

async function measureInbox({ plan, server, sagaz, samples }: Bench, { url }: TestDatabase): Promise<void> {
  await sagaz.host.call("checkDuplicates", url, plan.duplicates / 10);
  await mark(server);
  const checkMs = await sagaz.host.call("checkDuplicates", url, plan.duplicates);
  samples.add({ measure: "inbox_check_p50", inFlight: 1, system: "sagaz", unit: "ms" }, checkMs);
  await sagaz.host.call("processBatches", url, plan.warmMs);
  await mark(server);
  const perSecond = await sagaz.host.call("processBatches", url, plan.partMs);
  samples.add(
    { measure: "inbox_messages_per_s", inFlight: inboxBatch, system: "sagaz", unit: "1/s" },
    perSecond,
  );
}
