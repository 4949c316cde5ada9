import { need } from "../../core/must.ts";
import type { PendingEvent } from "../../ports/outbox.ts";
import { BinaryRows } from "./binary-rows.ts";

const columns = 18;

/** Events as the queries that take them bring them; their payloads share the memory of the answer. */
export function toEvents(answer: Buffer): readonly PendingEvent[] {
  const rows = new BinaryRows(answer, columns);
  const events: PendingEvent[] = [];
  while (rows.next()) events.push(toEvent(rows));
  return events;
}

/** In the order of the columns. */
function toEvent(rows: BinaryRows): PendingEvent {
  return {
    id: rows.int(),
    waitMs: rows.int(),
    attempts: rows.int(),
    createdAt: rows.int(),
    shard: rows.int(),
    eventId: given(rows.text()),
    topic: given(rows.text()),
    key: given(rows.text()),
    type: given(rows.text()),
    source: given(rows.text()),
    aggregateType: rows.text(),
    aggregateId: rows.text(),
    correlationId: rows.text(),
    sagaId: rows.text(),
    traceparent: rows.text(),
    headers: rows.text(),
    payload: toPayload(rows.bytes(), rows.bytes()),
  };
}

/** JSON as the bytes of its text, or bytes of whatever kind: for a message it is one. */
function toPayload(json: Buffer | null, bytes: Buffer | null): Buffer {
  return given(json ?? bytes);
}

function given<T>(value: T | null): T {
  return need(value ?? undefined, "an event has what every event has");
}
