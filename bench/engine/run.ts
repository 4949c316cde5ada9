import type { Bench, Candidate } from "./bench.ts";
import { measureCeiling } from "./ceiling.ts";
import { measureHistory } from "./history.ts";
import { hostSystem, type SystemHost } from "./system-host.ts";
import { measureIdle } from "./idle.ts";
import { describeMachine } from "../machine.ts";
import type { Plan } from "./plan.ts";
import { cautionsOf, computeRatios } from "./ratios.ts";
import { measureRecovery } from "./recovery.ts";
import { measureRedis } from "./redis-journal.ts";
import { finish, type Finished } from "../report.ts";
import { Samples } from "../samples.ts";
import { startBenchServer, type BenchServer } from "../server.ts";
import { measureThroughput } from "./throughput.ts";

/** Measures everything a plan asks for on one server, and stops all it started. */
export async function runEngineBench(plan: Plan, progress: (what: string) => void): Promise<Finished> {
  const startedAt = performance.now();
  progress("starting PostgreSQL");
  const server = await startBenchServer();
  const hosts = plan.systems.map((name) => hostSystem(name));
  try {
    const candidates = await Promise.all(hosts.map((host) => prepare(host, server)));
    const bench: Bench = { plan, server, candidates, samples: new Samples(), progress };
    await measureCeiling(bench);
    await measureThroughput(bench);
    await measureHistory(bench);
    if (plan.redis) await measureRedis(bench);
    await measureWaits(bench);
    return conclude(bench, Math.round((performance.now() - startedAt) / 1000));
  } finally {
    await Promise.all(hosts.map((host) => host.kill()));
    await server.stop();
  }
}

async function prepare(host: SystemHost, { postgres }: BenchServer): Promise<Candidate> {
  const description = await host.call("describe");
  const template = await postgres.createTemplate(`template-${host.name}`, (url) => host.call("install", url));
  return { description, host, template };
}

async function measureWaits(bench: Bench): Promise<void> {
  const waits = bench.candidates.flatMap((candidate) => [
    () => measureIdle(bench, candidate),
    () => measureRecovery(bench, candidate),
  ]);
  bench.progress("recovery after kill -9, and an idle worker's queries");
  if (bench.plan.waitsTogether) await Promise.all(waits.map((wait) => wait()));
  else for (const wait of waits) await wait();
}

function conclude({ plan, server, candidates, samples }: Bench, seconds: number): Finished {
  const rows = samples.rows();
  const ratios = computeRatios(rows);
  const parts = {
    benchmark: "engine",
    plan: plan.name,
    seconds,
    machine: describeMachine(server),
    systems: candidates.map(({ description: { name, tuning } }) => ({ name, tuning })),
    legend:
      "in flight is the number of sagas, for the ceiling the rows in a batch, on Redis the sagas in one.",
    rows,
    cautions: cautionsOf(rows, ratios),
  };
  return finish(parts, ratios);
}
