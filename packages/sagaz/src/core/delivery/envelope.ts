import { OUTBOX_SHARDS, shardOf } from "./shard.ts";
import type { OutboxRow } from "./outbox-event.ts";

/** A message's headers: the attributes of CloudEvents 1.0 in Kafka's binding (`ce_id` …), and what links messages. */
export type Headers = Readonly<Record<string, string>>;

/** What a message carries, as far as an envelope is concerned. */
export interface Enveloped {
  readonly topic: string;
  readonly key: string;
  readonly headers: Headers;
  readonly payload: string | Uint8Array;
}

/** The headers of an event that was written at this time (milliseconds since 1970). */
export function toHeaders(event: OutboxRow, createdAt: number): Headers {
  const headers: Record<string, string> = {
    ce_specversion: "1.0",
    ce_id: event.eventId,
    ce_type: event.type,
    ce_source: event.source,
    ce_time: toTime(createdAt),
    "content-type": "application/json",
  };
  if (event.aggregateId !== null) headers["ce_subject"] = event.aggregateId;
  if (event.correlationId !== null) headers["correlation-id"] = event.correlationId;
  if (event.sagaId !== null) headers["saga-id"] = event.sagaId;
  if (event.traceparent !== null) headers["traceparent"] = event.traceparent;
  if (event.headers !== null) Object.assign(headers, JSON.parse(event.headers));
  return headers;
}

let written = { at: Number.NaN, text: "" };

/** Neighbours were written together more often than not: their time is put into words once. */
function toTime(at: number): string {
  if (at !== written.at) written = { at, text: new Date(at).toISOString() };
  return written.text;
}

/** Headers that have a column of their own. */
const COLUMNS = new Set([
  "ce_specversion",
  "ce_id",
  "ce_type",
  "ce_source",
  "ce_time",
  "ce_subject",
  "correlation-id",
  "saga-id",
  "traceparent",
]);

/**
 * The event that a message carries, as its outbox had it but for its aggregate's type, and when it was written. What a
 * message of somebody else's lacks is empty.
 */
export function fromMessage(message: Enveloped): {
  readonly event: OutboxRow;
  readonly createdAt: number | undefined;
} {
  const { topic, key, headers, payload } = message;
  const others = Object.entries(headers).filter(([name]) => !COLUMNS.has(name));
  const find = (name: string) => headers[name] ?? null;
  const event: OutboxRow = {
    eventId: find("ce_id") ?? "",
    topic,
    key,
    shard: shardOf(key, OUTBOX_SHARDS),
    type: find("ce_type") ?? "",
    source: find("ce_source") ?? "",
    aggregateType: null,
    aggregateId: find("ce_subject"),
    correlationId: find("correlation-id"),
    sagaId: find("saga-id"),
    traceparent: find("traceparent"),
    headers: others.length === 0 ? null : JSON.stringify(Object.fromEntries(others)),
    payload,
  };
  return { event, createdAt: writtenAt(headers) };
}

/** Which flow a message belongs to, by its own word. An empty one names none: else all that have it would be one flow. */
export function correlationOf(headers: Headers): string | undefined {
  const id = headers["correlation-id"];
  return id === "" ? undefined : id;
}

/** Years of four digits: a database need not know others. */
const TIMES = { first: Date.parse("0001-01-01T00:00:00Z"), last: Date.parse("9999-12-31T23:59:59Z") };

/** When an event was written, by its own word, in milliseconds since 1970; undefined when that says nothing. */
export function writtenAt(headers: Headers): number | undefined {
  const at = Date.parse(headers["ce_time"] ?? "");
  return at >= TIMES.first && at <= TIMES.last ? at : undefined;
}
