import type { BrokerMessage } from "../../ports/broker.ts";
import type { PublishCall, Sent } from "./publish-call.ts";
import { tailBytes } from "./record.ts";
import { lengthBytes } from "./varint.ts";

/** A message on its way. It is the caller's own, who does not change it before it is answered. */
export interface Outgoing extends Sent {
  readonly call: PublishCall;
  readonly message: BrokerMessage;
  /** What it takes in a batch, if it is the first of it; others take up to {@link placeBytes} more. */
  readonly bytes: number;
  /** See `tailBytes`. */
  readonly tailBytes: number;
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
  { at, call }: { readonly at: number; readonly call: PublishCall },
): Outgoing {
  const tail = tailBytes(message);
  const record = fixedBytes + tail;
  const bytes = lengthBytes(record) + record;
  return {
    topic: message.topic,
    keyText: message.key,
    at,
    call,
    message,
    bytes,
    tailBytes: tail,
    partition: -1,
  };
}
