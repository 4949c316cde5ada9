import type { BrokerMessage } from "../../ports/broker.ts";
import type { PublishCall, Sent } from "./publish-call.ts";

/**
 * A message as it goes over the wire: the driver takes it as it is. What is changed in the caller's message after the call
 * does not change it.
 */
export interface Outgoing extends Sent {
  readonly call: PublishCall;
  /** What it takes in a batch, if it is the first of it; others take up to {@link placeBytes} more. */
  readonly bytes: number;
  readonly key: Buffer;
  readonly value: Buffer;
  readonly headers: Map<Buffer, Buffer>;
  /** -1 until it is known. */
  partition: number;
  /** When it is sent: the same for all of a batch. */
  timestamp: bigint;
}

/** What a batch takes besides its messages. */
export const batchBytes = 61;
/** What its number in the batch may take, of a million messages, besides the one byte that is counted. */
export const placeBytes = 2;

export function toOutgoing(message: BrokerMessage, at: number, call: PublishCall): Outgoing {
  const { topic, key: keyText, payload } = message;
  const key = Buffer.from(keyText);
  const value = typeof payload === "string" ? Buffer.from(payload) : Buffer.from(payload); // a copy
  const headers = new Map<Buffer, Buffer>();
  let bytes = 3 + withLength(key) + withLength(value); // attributes, and its time and number in the batch
  for (const name of Object.keys(message.headers)) {
    const [header, text] = [Buffer.from(name), Buffer.from(message.headers[name] ?? "")];
    headers.set(header, text);
    bytes += withLength(header) + withLength(text);
  }
  bytes += lengthBytes(headers.size);
  bytes += lengthBytes(bytes);
  return { topic, keyText, at, call, bytes, key, value, headers, partition: -1, timestamp: 0n };
}

function withLength({ length }: Buffer): number {
  return lengthBytes(length) + length;
}

/** Lengths are zigzag varints: 7 bits a byte, one of them for the sign. */
function lengthBytes(length: number): number {
  let bytes = 1;
  for (let rest = length >>> 6; rest > 0; rest >>>= 7) bytes += 1;
  return bytes;
}
