import { randomUUID } from "node:crypto";
import type { BrokerMessage, ReceivedMessage } from "../../ports/broker.ts";
import type { AmqpDelivery, AmqpPublishOptions } from "./amqp.ts";

/** The key travels as a header of this name. */
const keyHeader = "sagaz-key";

/** Limits of the protocol, and of the driver for all headers together. */
const shortTextBytesMax = 255;
const headersBytesMax = 65_536;

/** A message as the driver takes it. */
export interface Outgoing {
  readonly topic: string;
  readonly content: Uint8Array;
  readonly options: AmqpPublishOptions;
}

/** Its AMQP message id is that of the event, so that consumers in any language can drop what comes twice. */
export function toOutgoing({ topic, key, headers, payload }: BrokerMessage): Outgoing {
  const content = typeof payload === "string" ? Buffer.from(payload) : toBuffer(payload);
  const eventId = headers["ce_id"] ?? "";
  const options = {
    messageId: eventId !== "" && isShort(eventId) ? eventId : randomUUID(),
    headers: { ...headers, [keyHeader]: key },
    persistent: true,
    mandatory: true,
  };
  return { topic, content, options };
}

/** Why the protocol has no room for a message; undefined if it has. */
export function whyUnfit({ topic, options: { headers } }: Outgoing): string | undefined {
  if (!isShort(topic)) return `its topic is longer than ${shortTextBytesMax} bytes`;
  const names = Object.keys(headers);
  if (!names.every(isShort)) return `the name of a header is longer than ${shortTextBytesMax} bytes`;
  const bytes = Object.entries(headers).reduce(
    (sum, [name, value]) => sum + 6 + Buffer.byteLength(name) + Buffer.byteLength(value),
    4,
  );
  return bytes > headersBytesMax ? `its headers take more than ${headersBytesMax} bytes` : undefined;
}

function isShort(text: string): boolean {
  return Buffer.byteLength(text) <= shortTextBytesMax;
}

/** The same memory: nothing is copied. */
function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Others may publish into our queues as well: what they send besides texts is made text, as far as that can be. */
export function fromDelivery(topic: string, { content, properties }: AmqpDelivery): ReceivedMessage {
  const headers: Record<string, string> = {};
  let key = "";
  for (const [name, value] of Object.entries(properties.headers ?? {})) {
    if (name === keyHeader) key = String(value);
    else if (isPlain(value) && name !== "x-delivery-count") headers[name.toLowerCase()] = String(value);
  }
  return { topic, key, headers, payload: content };
}

function isPlain(value: unknown): value is string | number | bigint | boolean {
  return ["string", "number", "bigint", "boolean"].includes(typeof value);
}
