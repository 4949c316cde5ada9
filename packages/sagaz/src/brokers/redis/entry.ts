import type { BrokerMessage, ReceivedMessage } from "../../ports/broker.ts";

/** An entry of a stream as Redis answers it. */
export type Entry = readonly [id: Buffer, fields: readonly Buffer[]];

/** What is kept of a message: its key, its headers as JSON, its payload. */
export interface Kept {
  readonly parts: readonly [key: string, headers: string, payload: string | Uint8Array];
  /** How many bytes they take in a packet. */
  readonly bytes: number;
}

const names = ["key", "headers", "payload"].map((name) => Buffer.from(name));
/** Before each part stands how long it is. */
const lengthBytes = 4;

/** What is kept of a message. */
export function toKept({ key, headers, payload }: BrokerMessage): Kept {
  const parts = [key, JSON.stringify(headers), payload] as const;
  const bytes = parts.reduce((sum, part) => sum + lengthBytes + Buffer.byteLength(part), 0);
  return { parts, bytes };
}

/**
 * Messages in one piece, as the script that appends them takes it: each as an argument by itself the driver would put
 * together from small pieces, and make a copy of everything once more, at twice the cost.
 */
export function toPacket(messages: readonly Kept[]): Buffer {
  const packet = Buffer.allocUnsafe(messages.reduce((sum, { bytes }) => sum + bytes, 0));
  let at = 0;
  for (const { parts } of messages) for (const part of parts) at = write(packet, part, at);
  return packet;
}

function write(packet: Buffer, part: string | Uint8Array, at: number): number {
  const from = at + lengthBytes;
  if (typeof part !== "string") packet.set(part, from);
  const length = typeof part === "string" ? packet.write(part, from) : part.length;
  packet.writeUInt32BE(length, at);
  return from + length;
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

/** Texts, and what can be made one. */
function toHeaders(json: string): Record<string, string> {
  const found = parse(json);
  if (Object.values(found).every((value) => typeof value === "string"))
    return found as Record<string, string>;
  const plain = Object.entries(found).filter(([, value]) =>
    ["string", "number", "boolean"].includes(typeof value),
  );
  return Object.fromEntries(plain.map(([name, value]) => [name, String(value)]));
}

function parse(json: string): object {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
