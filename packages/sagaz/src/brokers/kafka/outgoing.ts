import type { BrokerMessage } from "../../ports/broker.ts";
import type { PublishCall, Sent } from "./publish-call.ts";
import type { RecordEncoder } from "./record-encoder.ts";
import { lengthBytes } from "./varint.ts";

/** A message as it goes over the wire. What is changed in the caller's message after the call does not change it. */
export interface Outgoing extends Sent {
  readonly call: PublishCall;
  /** What it takes in a batch, if it is the first of it; others take up to {@link placeBytes} more. */
  readonly bytes: number;
  readonly key: Buffer;
  /** See `EncodedRecord`. */
  readonly tail: Buffer;
  /** -1 until it is known. */
  partition: number;
}

/** What a batch takes besides its messages. */
export const batchBytes = 61;
/** What its number in the batch, and its own length, may take besides what is counted, of a million messages. */
export const placeBytes = 3;
/** Its attributes, and its time and number in the batch. */
const fixedBytes = 3;

/** Makes a message of a call ready to be sent. */
export function toOutgoing(
  message: BrokerMessage,
  { at, call, encoder }: { readonly at: number; readonly call: PublishCall; readonly encoder: RecordEncoder },
): Outgoing {
  const { key, tail } = encoder.encode(message);
  const record = fixedBytes + tail.length;
  const bytes = lengthBytes(record) + record;
  return { topic: message.topic, keyText: message.key, at, call, bytes, key, tail, partition: -1 };
}
