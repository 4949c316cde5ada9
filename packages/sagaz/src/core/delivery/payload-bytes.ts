/**
 * With so many bytes of payloads in hand a relay reads no more: large events are read, and published, a few at a time. A batch
 * is larger by one event at most. Three batches are in memory at a time: one is read, one with the broker, one being noted.
 */
export const BATCH_BYTES_MAX = 16 << 20;

/** The size of their payloads; of a text, its characters. */
export function payloadBytes(events: Iterable<{ readonly payload: string | Uint8Array }>): number {
  let bytes = 0;
  for (const { payload } of events) bytes += payload.length;
  return bytes;
}
