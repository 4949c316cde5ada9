import type { Callable } from "../answer-calls.ts";
import type { Hosted } from "../hosted.ts";
import type { Samples } from "../samples.ts";
import type { BenchServer } from "../server.ts";
import type { BrokerServer, MeasuredBroker } from "./brokers.ts";
import type { Plan } from "./plan.ts";
import type { RelayCalls, Relaying } from "./relaying.ts";
import type { SagazCalls } from "./sagaz-host.ts";

/** One relay ready to be measured. */
export interface Candidate<Calls extends RelayCalls & Callable<Calls>> {
  readonly description: Pick<Relaying, "name" | "tuning">;
  /** The process that runs it, the same for all rounds: what warms up stays warm. */
  readonly host: Hosted<Calls>;
  /** The database that parts get a copy of. */
  readonly template: string;
}

/** A broker that runs. */
export interface RunningBroker extends MeasuredBroker {
  readonly server: BrokerServer;
}

/** A run of the benchmark: what all measures share. */
export interface Bench {
  readonly plan: Plan;
  readonly server: BenchServer;
  readonly sagaz: Candidate<SagazCalls>;
  readonly graphile: Candidate<RelayCalls>;
  /** Those of the plan that are to be had. */
  readonly brokers: readonly RunningBroker[];
  readonly samples: Samples;
  /** Tells whoever waits what is being done. */
  readonly progress: (what: string) => void;
}
