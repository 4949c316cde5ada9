import { must } from "../../../core/must.ts";
import { OUTBOX_SHARDS, shardOf } from "../../../core/delivery/shard.ts";
import type { StreamedEvent } from "../../../ports/event-stream.ts";
import type { Relation } from "./pgoutput.ts";

/** Columns of the outbox that make a message; the log may have them in any order, and more beside them. */
const COLUMNS = [
  "id",
  "created_at",
  "event_id",
  "topic",
  "partition_key",
  "event_type",
  "source",
  "aggregate_id",
  "correlation_id",
  "saga_id",
  "traceparent",
  "headers",
  "payload",
  "payload_bytes",
] as const;

type Column = (typeof COLUMNS)[number];

/** Turns rows of the outbox, as the log has them, into events. */
export class RowReader {
  #relation: Relation | undefined;
  #places: readonly number[] = [];
  #time = { text: "", ms: 0 };

  read(relation: Relation, values: readonly (string | null)[], position: number): StreamedEvent {
    if (relation !== this.#relation) this.#learn(relation);
    const of = (column: Column) => values[this.#places[COLUMNS.indexOf(column)] ?? -1] ?? null;
    const key = String(of("partition_key"));
    const bytes = of("payload_bytes");
    return {
      position,
      id: Number(of("id")),
      createdAt: this.#toMs(String(of("created_at"))),
      attempts: 0,
      waitMs: 0,
      shard: shardOf(key, OUTBOX_SHARDS),
      eventId: String(of("event_id")),
      topic: String(of("topic")),
      key,
      type: String(of("event_type")),
      source: String(of("source")),
      aggregateType: null, // no message has it
      aggregateId: of("aggregate_id"),
      correlationId: of("correlation_id"),
      sagaId: of("saga_id"),
      traceparent: of("traceparent"),
      headers: of("headers"),
      payload: bytes === null ? String(of("payload")) : Buffer.from(bytes.slice(2), "hex"),
    };
  }

  #learn(relation: Relation): void {
    this.#relation = relation;
    this.#places = COLUMNS.map((column) => relation.columns.indexOf(column));
    must(!this.#places.includes(-1), "the log has all columns of the outbox that a message is made of");
  }

  /** Neighbours were written together more often than not. */
  #toMs(text: string): number {
    if (text !== this.#time.text) this.#time = { text, ms: toMilliseconds(text) };
    return this.#time.ms;
  }
}

/** From `2026-11-27 05:54:11.123456+00`, rounded down. */
function toMilliseconds(text: string): number {
  const [, date, time, fraction = ""] =
    /^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d+))?\+00$/.exec(text) ?? [];
  must(date !== undefined && time !== undefined, "a time of the log is in UTC");
  return Date.parse(`${date}T${time}.${fraction.padEnd(3, "0").slice(0, 3)}Z`);
}
