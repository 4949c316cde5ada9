import type { BrokerMessage, ReceivedMessage } from "../../ports/broker.ts";

/** An entry of a stream as Redis answers it. */
export type Entry = readonly [id: Buffer, fields: readonly Buffer[]];

/** What is kept of a message: its key, its headers as JSON, its payload. */
export type Kept = readonly [key: string, headers: string, payload: string | Buffer];

const names = ["key", "headers", "payload"].map((name) => Buffer.from(name));

/** What is kept of a message. */
export function toKept({ key, headers, payload }: BrokerMessage): Kept {
  const bytes =
    typeof payload === "string"
      ? payload
      : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return [key, JSON.stringify(headers), bytes];
}

/** How many bytes that are. */
export function bytesOf([key, headers, payload]: Kept): number {
  return Buffer.byteLength(key) + Buffer.byteLength(headers) + Buffer.byteLength(payload);
}

/** The message of an entry. What somebody else has put into the stream comes as well as it can. */
export function fromFields(topic: string, fields: readonly Buffer[]): ReceivedMessage {
  const [key, headers, payload] = names.map((name, n) =>
    fields[2 * n]?.equals(name) ? fields[2 * n + 1] : undefined,
  );
  return {
    topic,
    key: key?.toString() ?? "",
    headers: toHeaders(headers?.toString() ?? ""),
    payload: payload ?? Buffer.alloc(0),
  };
}

function toHeaders(json: string): Record<string, string> {
  try {
    return JSON.parse(json) as Record<string, string>;
  } catch {
    return {};
  }
}
