import type { TestDatabase } from "../../tools/servers/postgres-databases.ts";
import { mark } from "../counters.ts";
import { quantile } from "../quantile.ts";
import type { Bench } from "./bench.ts";
import { toLatencies } from "./latencies.ts";
import { clients, inboxBatch, pacePerSecond, paceWarmMs } from "./plan.ts";

/** What is not a relay's throughput: producers, latency, and the inbox. */
export async function measureCallers(bench: Bench): Promise<void> {
  const { plan } = bench;
  const parts = {
    producer: measureProducer,
    steps: measureSteps,
    notify: measureNotify,
    optimistic: measureOptimistic,
    inbox: measureInbox,
  };
  for (const [part, measure] of Object.entries(parts)) {
    if (!plan.parts.includes(part)) continue;
    for (let round = 0; round < plan.rounds; round += 1) {
      bench.progress(`round ${round + 1}/${plan.rounds}: ${part}`);
      await withDatabase(bench, (database) => measure(bench, database));
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

/** Business transactions without an event, and with one in two ways. */
async function measureProducer(
  { plan, server, sagaz, samples }: Bench,
  { url }: TestDatabase,
): Promise<void> {
  const { warmMs, partMs: forMs } = plan;
  await mark(server);
  const { plain, added, withCommit } = await sagaz.host.call("produce", { url, warmMs, forMs });
  const subject = { measure: "transactions_per_s", inFlight: clients, unit: "1/s" };
  samples.add({ ...subject, system: "postgresql" }, plain);
  samples.add({ ...subject, system: "sagaz" }, withCommit);
  samples.add({ ...subject, system: "sagaz-add" }, added);
}

/** Sagas whose steps publish nothing, and of which one publishes an event. */
async function measureSteps({ plan, server, sagaz, samples }: Bench, { url }: TestDatabase): Promise<void> {
  const { warmMs, partMs: forMs } = plan;
  await mark(server);
  const { silent, publishing } = await sagaz.host.call("publishFromSteps", { url, warmMs, forMs });
  const subject = { measure: "sagas_per_s", inFlight: clients, unit: "1/s" };
  samples.add({ ...subject, system: "sagaz" }, publishing);
  samples.add({ ...subject, system: "sagaz-silent" }, silent);
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

/** The producer sends by itself; the relay beside it is the safety net, and is not to have anything to do. */
async function measureOptimistic(
  { plan, server, sagaz, samples }: Bench,
  { url }: TestDatabase,
): Promise<void> {
  const producer = sagaz.host.again();
  try {
    await sagaz.host.call("watch", url);
    await producer.call("publishPaced", url, paceWarmMs);
    await mark(server);
    const { committed, published } = await producer.call("publishPaced", url, plan.paceMs);
    const relayed = await sagaz.host.call("unwatch");
    const latencies = toLatencies(committed, [...published, ...relayed]);
    const subject = { inFlight: pacePerSecond, system: "sagaz", unit: "ms" };
    samples.add({ ...subject, measure: "optimistic_p50" }, quantile(latencies, 0.5));
    samples.add({ ...subject, measure: "optimistic_p99" }, quantile(latencies, 0.99));
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
  const subject = { measure: "inbox_messages_per_s", inFlight: inboxBatch, unit: "1/s" };
  samples.add({ ...subject, system: "sagaz" }, await sagaz.host.call("processBatches", url, plan.partMs));
  await sagaz.host.call("insertBatches", url, plan.warmMs);
  await mark(server);
  samples.add({ ...subject, system: "postgresql" }, await sagaz.host.call("insertBatches", url, plan.partMs));
}
