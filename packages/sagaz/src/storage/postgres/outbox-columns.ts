import type { OutboxRow } from "../../ports/outbox.ts";
import { ColumnsWriter } from "./binary-arrays.ts";
import type { Statement } from "./connection.ts";
import { toArrayText, withLiterals } from "./literals.ts";
import type { Literal } from "./literals.ts";
import type { PendingLook } from "./pending-start.ts";
import type { Sql } from "./render-sql.ts";

/** An `outbox_columns`. */
export function outboxColumns(events: readonly OutboxRow[]): Buffer {
  return new ColumnsWriter(events, 14)
    .int4s(({ shard }) => shard)
    .texts(({ eventId }) => eventId)
    .texts(({ topic }) => topic)
    .texts(({ key }) => key)
    .texts(({ type }) => type)
    .texts(({ source }) => source)
    .texts(({ aggregateType }) => aggregateType)
    .texts(({ aggregateId }) => aggregateId)
    .texts(({ correlationId }) => correlationId)
    .texts(({ sagaId }) => sagaId)
    .texts(({ traceparent }) => traceparent)
    .texts(({ headers }) => headers)
    .texts(textOf)
    .texts(bytesOf)
    .end();
}

/** The same as plain parameters, which any driver can send. */
export function toParameters(event: OutboxRow): readonly Literal[] {
  return [...toFields(event), textOf(event), bytesOf(event)];
}

/** All but the payload. */
function toFields(event: OutboxRow): readonly Literal[] {
  const { shard, eventId, topic, key, type, source, aggregateType, aggregateId } = event;
  const { correlationId, sagaId, traceparent, headers } = event;
  const ids = [aggregateType, aggregateId, correlationId, sagaId, traceparent];
  return [shard, eventId, topic, key, type, source, ...ids, headers];
}

function textOf({ payload }: OutboxRow): string | null {
  return typeof payload === "string" ? payload : null;
}

function bytesOf({ payload }: OutboxRow): string | null {
  return typeof payload === "string" ? null : Buffer.from(payload).toString("base64");
}

/** How events are added. */
export interface Adding {
  /** Null for the database's time. */
  readonly now: string | null;
  /** Null for not at all. */
  readonly holdMs: number | null;
  /** Of what is held. */
  readonly look?: PendingLook | undefined;
}

/** The statement that adds events in a transaction of whomever. Those that are held are answered. */
export function toInsert(
  { addEvent, addHeldEvent, addEvents }: Sql,
  events: readonly OutboxRow[],
  { now, holdMs, look }: Adding,
): Required<Statement> {
  const [first, second] = events;
  const start = [look?.after ?? null, look?.decided.life ?? null];
  if (!first || second) {
    return { text: addEvents, values: [now, holdMs, ...start, toJsonColumns(events)] };
  }
  const values = [toArrayText(toFields(first)), textOf(first), bytesOf(first)];
  if (holdMs === null) return { text: addEvent, values: [now, ...values] };
  return { text: addHeldEvent, values: [now, holdMs, ...start, ...values] };
}

/** An `outbox_columns` as JSON. */
function toJsonColumns(events: readonly OutboxRow[]): string {
  return JSON.stringify({
    shard: events.map(({ shard }) => shard),
    event_id: events.map(({ eventId }) => eventId),
    topic: events.map(({ topic }) => topic),
    key: events.map(({ key }) => key),
    type: events.map(({ type }) => type),
    source: events.map(({ source }) => source),
    aggregate_type: events.map(({ aggregateType }) => aggregateType),
    aggregate_id: events.map(({ aggregateId }) => aggregateId),
    correlation_id: events.map(({ correlationId }) => correlationId),
    saga_id: events.map(({ sagaId }) => sagaId),
    traceparent: events.map(({ traceparent }) => traceparent),
    headers: events.map(({ headers }) => headers),
    payload: events.map(textOf),
    payload_bytes: events.map(bytesOf),
  });
}

/** The same as one text, for a connection that takes several statements at once. */
export function toText(sql: Sql, events: readonly OutboxRow[], how: Adding): string {
  const { text, values } = toInsert(sql, events, how);
  return withLiterals(text, values as readonly Literal[]);
}
