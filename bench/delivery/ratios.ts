import { divide, judge, missedOf, type Pick, type Ratio, type Rule } from "../ratio.ts";
import type { Row } from "../samples.ts";
import { brokers } from "./brokers.ts";
import { batchSize, clients, inboxBatch, pacePerSecond } from "./plan.ts";

const relayed = (pick: Pick, target: string, system: string) =>
  pick(`relay_${target}_per_s`, batchSize, system);

/** What a relay to a broker cannot exceed: its client by itself, the faster way; or the relay without a broker. */
function limitOf(pick: Pick, broker: string): number | undefined {
  const alone = ["adapter", "driver"].map((through) => pick(`alone_${broker}_per_s`, batchSize, through));
  const noop = relayed(pick, "noop", "sagaz");
  if (noop === undefined || alone.includes(undefined)) return undefined;
  return Math.min(noop, Math.max(...alone.map(Number)));
}

/** What our reader may have published and not noted, as its documentation says: no crash sends more of it twice. */
const inFlightMax = 4_000;

const rules: readonly Rule[] = [
  {
    name: "relay_noop_vs_graphile",
    compute: (pick) => divide(relayed(pick, "noop", "sagaz"), relayed(pick, "noop", "graphile-worker")),
    bound: { atLeast: 2 },
  },
  {
    name: "relay_redis_vs_graphile",
    compute: (pick) => divide(relayed(pick, "redis", "sagaz"), relayed(pick, "redis", "graphile-worker")),
    bound: { atLeast: 2.5 },
  },
  ...brokers.map(({ name }): Rule => ({
    name: `relay_${name}_vs_limit`,
    compute: (pick) => divide(relayed(pick, name, "sagaz"), limitOf(pick, name)),
    bound: { atLeast: 0.7 },
  })),
  {
    name: "cdc_redis_vs_limit",
    compute: (pick) => divide(pick("cdc_redis_per_s", batchSize, "sagaz"), limitOf(pick, "redis")),
    bound: { atLeast: 0.7 },
  },
  {
    name: "cdc_kafka_vs_debezium",
    compute: (pick) =>
      divide(
        pick("log_to_kafka_per_s", batchSize, "sagaz"),
        pick("log_to_kafka_per_s", batchSize, "debezium"),
      ),
    bound: { atLeast: 1.2 },
  },
  {
    name: "cdc_kafka_p50_ms",
    compute: (pick) => pick("commit_to_consumed_p50", pacePerSecond, "sagaz"),
    bound: { below: 8 },
  },
  {
    name: "cdc_kafka_p99_ms",
    compute: (pick) => pick("commit_to_consumed_p99", pacePerSecond, "sagaz"),
    bound: { below: 20 },
  },
  {
    name: "cdc_kill_lost",
    compute: (pick) => pick("kill_lost", batchSize, "sagaz"),
    bound: { atMost: 0 },
  },
  {
    name: "cdc_kill_twice",
    compute: (pick) => pick("kill_twice", batchSize, "sagaz"),
    bound: { atMost: inFlightMax },
  },
  {
    name: "producer_vs_plain",
    compute: (pick) =>
      divide(pick("transactions_per_s", clients, "sagaz"), pick("transactions_per_s", clients, "postgresql")),
    bound: { atLeast: 0.55 },
  },
  {
    name: "producer_add_vs_plain",
    compute: (pick) =>
      divide(
        pick("transactions_per_s", clients, "sagaz-add"),
        pick("transactions_per_s", clients, "postgresql"),
      ),
    bound: { atLeast: 0.4 },
  },
  {
    name: "steps_publishing_vs_silent",
    compute: (pick) =>
      divide(pick("sagas_per_s", clients, "sagaz"), pick("sagas_per_s", clients, "sagaz-silent")),
    bound: { atLeast: 0.7 },
  },
  {
    name: "optimistic_p50_ms",
    compute: (pick) => pick("optimistic_p50", pacePerSecond, "sagaz"),
    bound: { below: 3 },
  },
  {
    name: "optimistic_p99_ms",
    compute: (pick) => pick("optimistic_p99", pacePerSecond, "sagaz"),
    bound: { below: 10 },
  },
  {
    name: "notify_p50_ms",
    compute: (pick) => pick("commit_to_published_p50", pacePerSecond, "sagaz"),
    bound: { below: 10 },
  },
  {
    name: "notify_p99_ms",
    compute: (pick) => pick("commit_to_published_p99", pacePerSecond, "sagaz"),
    bound: { below: 30 },
  },
  {
    name: "inbox_check_ms",
    compute: (pick) => pick("inbox_check_p50", 1, "sagaz"),
    bound: { below: 1 },
  },
  {
    name: "inbox_batch_per_s",
    compute: (pick) => pick("inbox_messages_per_s", inboxBatch, "sagaz"),
    bound: { atLeast: 30_000 },
  },
  {
    name: "inbox_batch_vs_insert",
    compute: (pick) =>
      divide(
        pick("inbox_messages_per_s", inboxBatch, "sagaz"),
        pick("inbox_messages_per_s", inboxBatch, "postgresql"),
      ),
    bound: { atLeast: 0.6 },
  },
  {
    name: "relay_history_vs_fresh",
    compute: (pick) => divide(relayed(pick, "noop", "sagaz-aged"), relayed(pick, "noop", "sagaz")),
    bound: { atLeast: 0.9 },
  },
  {
    name: "bookkeeping_wal_bytes",
    compute: (pick) => pick("relay_noop_wal_bytes_per_event", batchSize, "sagaz"),
    bound: { atMost: 300 },
  },
];

/** The figures of a run, from its medians; a figure whose measures were not taken is left out. */
export function computeRatios(rows: readonly Row[]): Ratio[] {
  return judge(rules, rows);
}

/** A relay without a broker that swings more than this between rounds says that somebody else used the machine. */
const steadyMax = 1.5;

/** What a reader must know before believing the figures. */
export function cautionsOf(rows: readonly Row[], ratios: readonly Ratio[]): string[] {
  const cautions: string[] = [];
  const steady = rows.find(({ measure, system }) => measure === "relay_noop_per_s" && system === "sagaz");
  if (steady !== undefined && steady.max / steady.min > steadyMax) {
    const swing = (steady.max / steady.min).toFixed(1);
    cautions.push(
      `The relay without a broker swung by a factor of ${swing} between rounds: the machine was not quiet.`,
    );
  }
  return [...cautions, ...missedOf(ratios)];
}
