import type { SystemHost } from "./system-host.ts";
import type { Plan } from "./plan.ts";
import type { Samples } from "../samples.ts";
import type { BenchServer } from "../server.ts";
import type { Description } from "./system.ts";

/** One system ready to be measured. */
export interface Candidate {
  readonly description: Description;
  /** The process that runs its sessions, the same for all rounds: what warms up stays warm. */
  readonly host: SystemHost;
  /** The database that sessions get a copy of. */
  readonly template: string;
}

/** A run of the benchmark: what all measures share. */
export interface Bench {
  readonly plan: Plan;
  readonly server: BenchServer;
  readonly candidates: readonly Candidate[];
  readonly samples: Samples;
  /** Tells whoever waits what is being done. */
  readonly progress: (what: string) => void;
}

/** The candidates in an order that is another one every round, so that nobody always comes first. */
export function inTurn({ candidates }: Bench, round: number): Candidate[] {
  const first = round % candidates.length;
  return [...candidates.slice(first), ...candidates.slice(0, first)];
}
