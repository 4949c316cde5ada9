import type { OutboxRow } from "./outbox-event.ts";

/** A message's headers: the attributes of CloudEvents 1.0 in Kafka's binding (`ce_id` …), and what links messages. */
export type Headers = Readonly<Record<string, string>>;

/** The headers of an event that was written at this time (milliseconds since 1970). */
export function toHeaders(event: OutboxRow, createdAt: number): Headers {
  const headers: Record<string, string> = {
    ce_specversion: "1.0",
    ce_id: event.eventId,
    ce_type: event.type,
    ce_source: event.source,
    ce_time: new Date(createdAt).toISOString(),
    "content-type": "application/json",
  };
  if (event.aggregateId !== null) headers["ce_subject"] = event.aggregateId;
  if (event.correlationId !== null) headers["correlation-id"] = event.correlationId;
  if (event.sagaId !== null) headers["saga-id"] = event.sagaId;
  if (event.traceparent !== null) headers["traceparent"] = event.traceparent;
  if (event.headers !== null) Object.assign(headers, JSON.parse(event.headers));
  return headers;
}
