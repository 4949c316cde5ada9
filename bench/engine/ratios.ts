import { divide, judge, missedOf, type Ratio, type Rule } from "../ratio.ts";
import type { Row } from "../samples.ts";
import { historyMeasure, leaseMs, recovery, redisBatch } from "./plan.ts";

const rules: readonly Rule[] = [
  {
    name: "sagas64_vs_dbos",
    compute: (pick) => divide(pick("sagas_per_s", 64, "sagaz"), pick("sagas_per_s", 64, "dbos")),
    bound: { atLeast: 18 },
  },
  {
    name: "sagas256_vs_pgboss",
    compute: (pick) => divide(pick("sagas_per_s", 256, "sagaz"), pick("sagas_per_s", 256, "pg-boss")),
    bound: { atLeast: 4 },
  },
  {
    name: "failing64_vs_pgboss",
    compute: (pick) =>
      divide(pick("failing_sagas_per_s", 64, "sagaz"), pick("failing_sagas_per_s", 64, "pg-boss")),
    bound: { atLeast: 4 },
  },
  {
    name: "rows_vs_ceiling",
    compute: (pick) =>
      divide(pick("journal_rows_per_s", 256, "sagaz"), pick("ceiling_rows_per_s", 100, "postgresql")),
    bound: { atLeast: 0.45 },
  },
  {
    name: "redis_rows_vs_rpush",
    compute: (pick) =>
      divide(
        pick("redis_rows_per_s", redisBatch.sagas, "sagaz"),
        pick("redis_rows_per_s", redisBatch.sagas, "redis"),
      ),
    bound: { atLeast: 0.35 },
  },
  {
    name: "p50_vs_dbos",
    compute: (pick) => divide(pick("p50", 1, "sagaz"), pick("p50", 1, "dbos")),
    bound: { atMost: 0.33 },
  },
  {
    name: "commits_per_saga",
    compute: (pick) => pick("commits_per_saga", 64, "sagaz"),
    bound: { below: 0.3 },
  },
  {
    name: "wal_bytes_per_saga",
    compute: (pick) => pick("wal_bytes_per_saga", 64, "sagaz"),
    bound: { below: 3000 },
  },
  {
    name: "history_vs_empty",
    compute: (pick) =>
      divide(pick(historyMeasure(1_000_000), 64, "sagaz"), pick(historyMeasure(0), 64, "sagaz")),
    bound: { atLeast: 0.9 },
  },
  {
    name: "recovery_s",
    compute: (pick) => pick("recovery", recovery.sagas, "sagaz"),
    bound: { atMost: leaseMs / 1000 + 4 },
  },
  {
    name: "recorded_steps_rerun",
    compute: (pick) => pick("recorded_steps_rerun", recovery.sagas, "sagaz"),
    bound: { atMost: 0 },
  },
  {
    name: "idle_queries_per_s",
    compute: (pick) => pick("idle_queries_per_s", 0, "sagaz"),
    bound: { below: 1 },
  },
];

/** The figures of a run, from its medians; a figure whose measures were not taken is left out. */
export function computeRatios(rows: readonly Row[]): Ratio[] {
  return judge(rules, rows);
}

/** A ceiling that swings more than this between rounds says that somebody else used the machine. */
const steadyMax = 1.5;

/** What a reader must know before believing the figures. */
export function cautionsOf(rows: readonly Row[], ratios: readonly Ratio[]): string[] {
  const cautions: string[] = [];
  const ceiling = rows.find((row) => row.measure === "ceiling_rows_per_s" && row.inFlight === 100);
  if (ceiling !== undefined && ceiling.max / ceiling.min > steadyMax) {
    const swing = (ceiling.max / ceiling.min).toFixed(1);
    cautions.push(
      `The database's own ceiling swung by a factor of ${swing} between rounds: the machine was not quiet.`,
    );
  }
  const share = ratios.find(({ name }) => name === "rows_vs_ceiling");
  if (share !== undefined && !share.isReached) {
    cautions.push(
      `This run did not reach its ceiling figure: the journal wrote ${share.value} of what batched inserts reach, ` +
        `not ${share.floor}.`,
    );
  }
  return [...cautions, ...missedOf(ratios)];
}
