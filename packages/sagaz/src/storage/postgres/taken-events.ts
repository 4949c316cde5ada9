import { need } from "../../core/must.ts";
import type { PendingEvent } from "../../ports/outbox.ts";
import { BinaryRows } from "./binary-rows.ts";

const columns = 19;

/** What a query that takes events has answered. */
export interface Answer {
  /** Their payloads share the memory of what came. */
  readonly events: readonly PendingEvent[];
  /** Of their payloads, as the server counts: by this it bounds what it answers. */
  readonly bytes: number;
}

export function toAnswer(pieces: readonly Buffer[]): Answer {
  const rows = new BinaryRows(pieces, columns);
  const events: PendingEvent[] = [];
  let sum = 0;
  while (rows.next()) sum += readEvent(rows, events);
  return { events, bytes: sum };
}

/** Reads the columns in their order. Answers how large its payload is. */
function readEvent(rows: BinaryRows, events: PendingEvent[]): number {
  const [id, waitMs, attempts, bytes] = [rows.int(), rows.int(), rows.int(), rows.int()];
  events.push({
    id,
    waitMs,
    attempts,
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
  });
  return bytes;
}

/** JSON as the bytes of its text, or bytes of whatever kind: for a message it is one. */
function toPayload(json: Buffer | null, bytes: Buffer | null): Buffer {
  return given(json ?? bytes);
}

function given<T>(value: T | null): T {
  return need(value ?? undefined, "an event has what every event has");
}
