import type { OutboxRow, PendingEvent } from "../../ports/outbox.ts";

/** An event as it is kept: JSON, with bytes in base64. */
export function toEventText({ payload, ...event }: OutboxRow): string {
  if (typeof payload === "string") return JSON.stringify({ ...event, payload });
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("base64");
  return JSON.stringify({ ...event, bytes });
}

/** The event of a text. */
export function fromEventText(text: string): OutboxRow {
  const { bytes, ...event } = JSON.parse(text) as OutboxRow & { readonly bytes?: string };
  return bytes === undefined ? event : { ...event, payload: new Uint8Array(Buffer.from(bytes, "base64")) };
}

/** The same behind its key, for scripts to find it without reading JSON. */
export function toPendingText(event: OutboxRow): string {
  return `${Buffer.byteLength(event.key)} ${event.key}${toEventText(event)}`;
}

/** A pending event as the script answers it. */
export type PendingAnswer = readonly [
  id: string,
  at: string,
  attempts: string,
  waitMs: number,
  event: string,
];

/** A pending event. */
export function fromPending([id, at, attempts, waitMs, event]: PendingAnswer): PendingEvent {
  return {
    ...fromEventText(event),
    id: Number(id),
    createdAt: Number(at),
    attempts: Number(attempts),
    waitMs,
  };
}
