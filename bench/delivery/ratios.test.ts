import { expect, test } from "vitest";
import type { Row } from "../samples.ts";
import { cautionsOf, computeRatios } from "./ratios.ts";

function row(measure: string, inFlight: number, system: string, median: number, spread = 1): Row {
  return { measure, inFlight, system, unit: "", median, min: median, max: median * spread, rounds: 3 };
}

const complete: readonly Row[] = [
  row("relay_noop_per_s", 1000, "sagaz", 60_000),
  row("relay_noop_per_s", 1000, "graphile-worker", 20_000),
  row("relay_noop_per_s", 1000, "sagaz-aged", 57_000),
  row("relay_noop_wal_bytes_per_event", 1000, "sagaz", 150),
  row("relay_redis_per_s", 1000, "sagaz", 40_000),
  row("relay_redis_per_s", 1000, "graphile-worker", 10_000),
  row("alone_redis_per_s", 1000, "adapter", 80_000),
  row("alone_redis_per_s", 1000, "driver", 40_000),
  row("cdc_redis_per_s", 1000, "sagaz", 45_000),
  row("relay_nats_per_s", 1000, "sagaz", 30_000),
  row("alone_nats_per_s", 1000, "adapter", 30_000),
  row("alone_nats_per_s", 1000, "driver", 40_000),
  row("log_to_kafka_per_s", 1000, "sagaz", 75_000),
  row("log_to_kafka_per_s", 1000, "debezium", 50_000),
  row("commit_to_consumed_p50", 200, "sagaz", 6),
  row("commit_to_consumed_p99", 200, "sagaz", 15),
  row("commit_to_consumed_p50", 200, "debezium", 18),
  row("kill_lost", 1000, "sagaz", 0),
  row("kill_twice", 1000, "sagaz", 2_000),
  row("transactions_per_s", 16, "sagaz", 600),
  row("transactions_per_s", 16, "sagaz-add", 500),
  row("transactions_per_s", 16, "postgresql", 1000),
  row("sagas_per_s", 16, "sagaz", 800),
  row("sagas_per_s", 16, "sagaz-silent", 1000),
  row("optimistic_p50", 200, "sagaz", 1),
  row("optimistic_p99", 200, "sagaz", 5),
  row("commit_to_published_p50", 200, "sagaz", 4),
  row("commit_to_published_p99", 200, "sagaz", 12),
  row("inbox_check_p50", 1, "sagaz", 0.5),
  row("inbox_messages_per_s", 100, "sagaz", 45_000),
  row("inbox_messages_per_s", 100, "postgresql", 50_000),
];

test("a complete run gives one number for every figure", () => {
  const ratios = computeRatios(complete);
  expect(Object.fromEntries(ratios.map(({ name, value }) => [name, value]))).toEqual({
    relay_noop_vs_graphile: 3,
    relay_redis_vs_graphile: 4,
    // The adapter alone would be faster than the relay without a broker.
    relay_redis_vs_limit: 0.6667,
    // The driver alone is faster than the adapter.
    relay_nats_vs_limit: 0.75,
    cdc_redis_vs_limit: 0.75,
    cdc_kafka_vs_debezium: 1.5,
    cdc_kafka_p50_ms: 6,
    cdc_kafka_p99_ms: 15,
    cdc_kill_lost: 0,
    cdc_kill_twice: 2_000,
    producer_vs_plain: 0.6,
    producer_add_vs_plain: 0.5,
    steps_publishing_vs_silent: 0.8,
    optimistic_p50_ms: 1,
    optimistic_p99_ms: 5,
    notify_p50_ms: 4,
    notify_p99_ms: 12,
    inbox_check_ms: 0.5,
    inbox_batch_per_s: 45_000,
    inbox_batch_vs_insert: 0.9,
    relay_history_vs_fresh: 0.95,
    bookkeeping_wal_bytes: 150,
  });
  expect(ratios.filter(({ isReached }) => !isReached).map(({ name }) => name)).toEqual([
    "relay_redis_vs_limit",
  ]);
  expect(cautionsOf(complete, ratios)).toEqual(["Not reached: relay_redis_vs_limit."]);
});

test("a figure whose measures were not taken is left out, a limit that is half known too", () => {
  const rows = complete.filter(({ system }) => system !== "driver" && system !== "sagaz-aged");
  const names = computeRatios(rows).map(({ name }) => name);
  expect(names).not.toContain("relay_history_vs_fresh");
  expect(names).not.toContain("relay_redis_vs_limit");
  expect(names).toContain("relay_redis_vs_graphile");
});

test("a relay that swings between rounds is named as a machine that was not quiet", () => {
  const rows = [row("relay_noop_per_s", 1000, "sagaz", 20_000, 2)];
  expect(cautionsOf(rows, [])).toEqual([expect.stringContaining("factor of 2.0")]);
});
