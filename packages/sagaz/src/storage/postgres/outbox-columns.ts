import type { OutboxRow } from "../../ports/outbox.ts";
import { ColumnsWriter } from "./binary-arrays.ts";

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
