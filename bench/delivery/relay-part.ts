import { runSql } from "../../tools/servers/postgres-databases.ts";
import { mark, since } from "../counters.ts";
import type { Bench, Candidate } from "./bench.ts";
import { batchSize } from "./plan.ts";
import type { RelayCalls, Target } from "./relaying.ts";

/** A relay's part in a round. */
export interface RelayPart {
  readonly candidate: Candidate<RelayCalls>;
  /** Its column of the report. */
  readonly system: string;
  readonly target: Target;
  /** The database, empty of what waits. */
  readonly url: string;
}

/** Begins of the names of measures of a relay to a target. */
function measureOf(target: Target): string {
  return `relay_${target.kind === "noop" ? "noop" : target.name}`;
}

/** Fills a backlog, then times how it is relayed, and what that costs. */
export async function timeRelay(bench: Bench, { candidate, system, target, url }: RelayPart): Promise<void> {
  const { plan, server, samples } = bench;
  const { host } = candidate;
  await host.call("fill", url, plan.backlog);
  await runSql(url, "ANALYZE");
  const from = await mark(server);
  const { perSecond, nodeCpuMs } = await host.call("relay", { url, target, events: plan.backlog });
  const { walBytes, postgresCpuMs } = await since(server, from);
  const add = (measure: string, unit: string, value: number | undefined) => {
    const subject = { measure: `${measureOf(target)}_${measure}`, inFlight: batchSize, system, unit };
    samples.add(subject, value);
  };
  const cpuEach = (ms: number | undefined) => (ms === undefined ? undefined : (ms * 1000) / plan.backlog);
  add("per_s", "1/s", perSecond);
  add("node_cpu_per_event", "µs", cpuEach(nodeCpuMs));
  add("postgres_cpu_per_event", "µs", cpuEach(postgresCpuMs));
  add("wal_bytes_per_event", "B", walBytes / plan.backlog);
}
