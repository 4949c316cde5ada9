/** How much to measure. */
export interface Plan {
  readonly name: "full" | "quick";
  /** Rounds of the interleaved parts; a median of fewer than three would say little. */
  readonly rounds: number;
  /** Callers start sagas for this long in a timed part, in milliseconds. */
  readonly partMs: number;
  /** Each session begins with sagas for this long, so that connections and caches are warm. */
  readonly warmMs: number;
  /** Each system's process runs for this long before the first round, so that its code is compiled. */
  readonly compileMs: number;
  /** One batch size of the ceiling takes this long. */
  readonly ceilingMs: number;
  readonly idleRounds: number;
  readonly idleMs: number;
  readonly recoveryRounds: number;
  /** True measures idling and recovery of all systems at the same time: they mostly wait. */
  readonly waitsTogether: boolean;
  /** Finished sagas in the tables, one database for each number. */
  readonly histories: readonly number[];
  readonly systems: readonly string[];
  /** True measures journal rows on Redis as well. */
  readonly redis: boolean;
}

/** Sagas in flight in the throughput parts. */
export const levels: readonly number[] = [1, 16, 64, 256];

/** Sagas in flight where they fail, and where cost and history are compared. */
export const comparedLevel = 64;

/** Rows in a batch of the database's ceiling. */
export const ceilingBatches: readonly number[] = [1, 10, 100, 1000];

/** Journal rows on Redis: sagas in a batch, and batches under way at a time, as a busy process has them. */
export const redisBatch = { sagas: 100, atOnce: 2 };

/** The recovery measure: how many sagas, and how long their second step takes. */
export const recovery = { sagas: 500, chargeMs: 2000 };

/** How long ours leaves a silent worker its sagas, in the recovery measure. */
export const leaseMs = 5000;

/** The name of the measure with so many finished sagas in the tables. */
export const historyMeasure = (sagas: number): string => `sagas_per_s_after_${sagas}`;

/** Everything, with history: for `results.md`. */
export const fullPlan: Plan = {
  name: "full",
  rounds: 5,
  partMs: 2000,
  warmMs: 500,
  compileMs: 4000,
  ceilingMs: 1000,
  idleRounds: 3,
  idleMs: 10_000,
  recoveryRounds: 3,
  waitsTogether: false,
  histories: [100_000, 1_000_000],
  systems: ["sagaz", "dbos", "pg-boss", "pg-boss-gathered"],
  redis: true,
};

/** The same measures in under a minute, without history and without the peer that nobody runs as it is. */
export const quickPlan: Plan = {
  name: "quick",
  rounds: 3,
  partMs: 250,
  warmMs: 100,
  compileMs: 1500,
  ceilingMs: 200,
  idleRounds: 1,
  idleMs: 5000,
  recoveryRounds: 1,
  waitsTogether: true,
  histories: [],
  systems: ["sagaz", "dbos", "pg-boss"],
  redis: true,
};
