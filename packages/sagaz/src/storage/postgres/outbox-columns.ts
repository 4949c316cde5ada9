import type { OutboxRow } from "../../ports/outbox.ts";
import { ColumnsWriter } from "./binary-arrays.ts";
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
export function toParameters(event: OutboxRow): readonly (string | number | null)[] {
  const { shard, eventId, topic, key, type, source, aggregateType, aggregateId } = event;
  const { correlationId, sagaId, traceparent, headers } = event;
  const ids = [aggregateType, aggregateId, correlationId, sagaId, traceparent];
  return [shard, eventId, topic, key, type, source, ...ids, headers, textOf(event), bytesOf(event)];
}

function textOf({ payload }: OutboxRow): string | null {
  return typeof payload === "string" ? payload : null;
}

function bytesOf({ payload }: OutboxRow): string | null {
  return typeof payload === "string" ? null : Buffer.from(payload).toString("base64");
}

/** The statement that adds so many events: a time, for how long they are held (or null), then their parameters. */
export function toInsert({ addEventsHead, addEventsTail }: Sql, count: number): string {
  const rows = Array.from({ length: count }, (_, row) => toValues(row * columnCasts.length));
  return `${addEventsHead} values ${rows.join(", ")} ${addEventsTail}`;
}

/** Types of the columns in the order of {@link toParameters}; the last one comes as base64. */
const columnCasts = ["smallint", ...Array.from({ length: 12 }, () => "text"), "bytes"];

function toValues(first: number): string {
  const values = columnCasts.map((cast, column) => {
    const parameter = `$${first + column + 3}`; // the first ones are the time and the hold
    return cast === "bytes" ? `decode(${parameter}::text, 'base64')` : `${parameter}::${cast}`;
  });
  return `(coalesce($1::timestamptz, clock_timestamp()), ${values.join(", ")})`;
}
