import path from "node:path";
import type { Callable } from "../answer-calls.ts";
import { Hosted } from "../hosted.ts";
import { describeMachine } from "../machine.ts";
import { finish, type Finished } from "../report.ts";
import { Samples } from "../samples.ts";
import { startBenchServer, type BenchServer } from "../server.ts";
import type { Bench, Candidate, RunningBroker } from "./bench.ts";
import { brokers } from "./brokers.ts";
import { measureCallers } from "./callers.ts";
import { measureCaptures } from "./captures.ts";
import { measureCdc } from "./cdc.ts";
import { debeziumTuning } from "./debezium.ts";
import type { Plan } from "./plan.ts";
import { cautionsOf, computeRatios } from "./ratios.ts";
import type { RelayCalls } from "./relaying.ts";
import { measureRelays } from "./relays.ts";
import type { SagazCalls } from "./sagaz-host.ts";

const legend =
  "in flight is the number of events or messages in a batch, for transactions their clients, for latency the events a second.";

/** Measures everything a plan asks for on one PostgreSQL, and stops all it started. */
export async function runDeliveryBench(plan: Plan, progress: (what: string) => void): Promise<Finished> {
  const startedAt = performance.now();
  progress("starting servers");
  const server = await startBenchServer();
  const ours = new Hosted<SagazCalls>({ name: "sagaz", file: hostIn("sagaz-host.ts") });
  const peer = new Hosted<RelayCalls>({ name: "graphile-worker", file: hostIn("graphile-host.ts") });
  const running: RunningBroker[] = [];
  try {
    const missing = await startBrokers(plan, running);
    const [sagaz, graphile] = await Promise.all([prepare(ours, server), prepare(peer, server)]);
    const bench: Bench = {
      plan,
      server,
      sagaz,
      graphile,
      brokers: running,
      samples: new Samples(),
      progress,
    };
    await measureRelays(bench);
    await measureCallers(bench);
    await measureCdc(bench);
    missing.push(...(await measureCaptures(bench)));
    return conclude(bench, missing, Math.round((performance.now() - startedAt) / 1000));
  } finally {
    await Promise.all([ours.kill(), peer.kill()]);
    await Promise.all(running.map((broker) => broker.server.stop()));
    await server.stop();
  }
}

function hostIn(file: string): string {
  return path.join(import.meta.dirname, file);
}

/** Starts the brokers of the plan, and tells which are not to be had. */
async function startBrokers({ parts }: Plan, running: RunningBroker[]): Promise<string[]> {
  const missing: string[] = [];
  for (const broker of brokers) {
    if (!parts.includes(broker.name)) continue;
    const server = await broker.launch();
    if ("missing" in server) {
      missing.push(`${broker.name} was not measured: ${server.missing}.`);
      continue;
    }
    running.push({ ...broker, server });
    await broker.empty(server.url);
  }
  return missing;
}

async function prepare<Calls extends RelayCalls & Callable<Calls>>(
  host: Hosted<Calls>,
  { postgres }: BenchServer,
): Promise<Candidate<Calls>> {
  const calls: Hosted<RelayCalls> = host;
  const description = await calls.call("describe");
  const template = await postgres.createTemplate(`template-${host.name}`, (url) =>
    calls.call("install", url),
  );
  return { description, host, template };
}

function conclude(
  { plan, server, sagaz, graphile, samples }: Bench,
  missing: readonly string[],
  seconds: number,
): Finished {
  const rows = samples.rows();
  const ratios = computeRatios(rows);
  const parts = {
    benchmark: "delivery",
    plan: plan.name,
    seconds,
    machine: describeMachine(server),
    systems: [sagaz.description, graphile.description, ...others],
    legend,
    rows,
    cautions: [...missing, ...cautionsOf(rows, ratios)],
  };
  return finish(parts, ratios);
}

/** The other columns. */
const others = [
  { name: "sagaz-add", tuning: "the event is added in the caller's own transaction, not with its commit" },
  { name: "sagaz-aged", tuning: "the same, with a history in its tables" },
  { name: "sagaz-silent", tuning: "sagas of the same three steps, none of which publishes" },
  {
    name: "adapter",
    tuning: "our adapter for the broker, without a relay: batches of 1,000, one after another",
  },
  {
    name: "driver",
    tuning: "the broker's driver without anything of ours, likewise; all acknowledgements awaited",
  },
  { name: "debezium", tuning: debeziumTuning },
  { name: "postgresql", tuning: "the same business transactions without an event" },
];
