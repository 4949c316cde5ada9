import { expect, test } from "vitest";
import { cautionsOf, computeRatios } from "./ratios.ts";
import type { Row } from "../samples.ts";

function row(measure: string, inFlight: number, system: string, median: number, spread = 1): Row {
  return { measure, inFlight, system, unit: "", median, min: median, max: median * spread, rounds: 3 };
}

const complete: readonly Row[] = [
  row("ceiling_rows_per_s", 100, "postgresql", 40_000),
  row("sagas_per_s", 64, "sagaz", 9000),
  row("sagas_per_s", 64, "dbos", 450),
  row("sagas_per_s", 256, "sagaz", 12_000),
  row("sagas_per_s", 256, "pg-boss", 1500),
  row("failing_sagas_per_s", 64, "sagaz", 4000),
  row("failing_sagas_per_s", 64, "pg-boss", 800),
  row("journal_rows_per_s", 256, "sagaz", 20_000),
  row("redis_rows_per_s", 100, "sagaz", 20_000),
  row("redis_rows_per_s", 100, "redis", 50_000),
  row("p50", 1, "sagaz", 2),
  row("p50", 1, "dbos", 8),
  row("commits_per_saga", 64, "sagaz", 0.1),
  row("wal_bytes_per_saga", 64, "sagaz", 2500),
  row("sagas_per_s_after_0", 64, "sagaz", 9000),
  row("sagas_per_s_after_1000000", 64, "sagaz", 8550),
  row("recovery", 500, "sagaz", 7.5),
  row("recorded_steps_rerun", 500, "sagaz", 0),
  row("idle_queries_per_s", 0, "sagaz", 0.6),
];

test("a complete run gives one number for every figure", () => {
  const ratios = computeRatios(complete);
  expect(Object.fromEntries(ratios.map(({ name, value }) => [name, value]))).toEqual({
    sagas64_vs_dbos: 20,
    sagas256_vs_pgboss: 8,
    failing64_vs_pgboss: 5,
    rows_vs_ceiling: 0.5,
    redis_rows_vs_rpush: 0.4,
    p50_vs_dbos: 0.25,
    commits_per_saga: 0.1,
    wal_bytes_per_saga: 2500,
    history_vs_empty: 0.95,
    recovery_s: 7.5,
    recorded_steps_rerun: 0,
    idle_queries_per_s: 0.6,
  });
  expect(ratios.every(({ isReached }) => isReached)).toBe(true);
  expect(cautionsOf(complete, ratios)).toEqual([]);
});

test("a figure whose measures were not taken is left out", () => {
  const rows = complete.filter(({ measure }) => measure !== "sagas_per_s_after_1000000");
  expect(computeRatios(rows).map(({ name }) => name)).not.toContain("history_vs_empty");
  expect(computeRatios([])).toEqual([]);
});

test("a recorded step that ran again misses its bound of none", () => {
  const rows = [row("recorded_steps_rerun", 500, "sagaz", 1)];
  expect(computeRatios(rows)).toEqual([
    { name: "recorded_steps_rerun", value: 1, floor: "≤ 0", isReached: false },
  ]);
});

test("a run that does not reach its ceiling figure says so", () => {
  const rows = complete.map((one) =>
    one.measure === "journal_rows_per_s" ? { ...one, median: 10_000 } : one,
  );
  const cautions = cautionsOf(rows, computeRatios(rows));
  expect(cautions.join("\n")).toContain("did not reach its ceiling figure");
  expect(cautions.join("\n")).toContain("Not reached: rows_vs_ceiling");
});

test("a ceiling that swings between rounds is named as a machine that was not quiet", () => {
  const rows = [row("ceiling_rows_per_s", 100, "postgresql", 20_000, 2)];
  expect(cautionsOf(rows, [])).toEqual([expect.stringContaining("factor of 2.0")]);
});
