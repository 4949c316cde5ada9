import { historyMeasure, leaseMs, recovery } from "./plan.ts";
import type { Row } from "./samples.ts";
import { readable } from "./samples.ts";

/** A figure that we hold ourselves to. */
export interface Ratio {
  readonly name: string;
  readonly value: number;
  /** What it must reach, as a person reads it. */
  readonly floor: string;
  readonly isReached: boolean;
}

type Pick = (measure: string, inFlight: number, system: string) => number | undefined;

interface Rule {
  readonly name: string;
  readonly compute: (pick: Pick) => number | undefined;
  readonly bound: { readonly atLeast: number } | { readonly atMost: number } | { readonly below: number };
}

const divide = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? undefined : a / b;

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
  const pick: Pick = (measure, inFlight, system) =>
    rows.find((row) => row.measure === measure && row.inFlight === inFlight && row.system === system)?.median;
  return rules.flatMap(({ name, compute, bound }) => {
    const value = compute(pick);
    return value === undefined ? [] : [{ name, value: readable(value), ...judge(value, bound) }];
  });
}

function judge(value: number, bound: Rule["bound"]): { floor: string; isReached: boolean } {
  if ("atLeast" in bound) return { floor: `≥ ${bound.atLeast}`, isReached: value >= bound.atLeast };
  if ("atMost" in bound) return { floor: `≤ ${bound.atMost}`, isReached: value <= bound.atMost };
  return { floor: `< ${bound.below}`, isReached: value < bound.below };
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
  const missed = ratios.filter(({ isReached }) => !isReached).map(({ name }) => name);
  if (missed.length > 0) cautions.push(`Not reached: ${missed.join(", ")}.`);
  return cautions;
}
