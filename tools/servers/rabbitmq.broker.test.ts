import { askServer } from "./ask-server.ts";
import { testLauncher } from "./broker-rules.ts";
import { findRabbitMQ, rabbitMQUrlVariable, startRabbitMQ } from "./rabbitmq.ts";
import type { TestBroker } from "./scratch-broker.ts";

/*
 * AMQP 0-9-1 by hand: a client need not wait for answers before it says the next thing, so that all that it has to
 * say fits into one request.
 */
const queue = "kept";

function toFrame(type: number, channel: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(7);
  head.writeUInt8(type, 0);
  head.writeUInt16BE(channel, 1);
  head.writeUInt32BE(payload.length, 3);
  return Buffer.concat([head, payload, Buffer.from([0xce])]);
}

function toMethod(channel: number, [group, method]: [number, number], ...args: Buffer[]): Buffer {
  return toFrame(1, channel, Buffer.concat([Buffer.from([0, group, 0, method]), ...args]));
}

const bytes = (...values: number[]) => Buffer.from(values);
const shortText = (text: string) => Buffer.concat([bytes(text.length), Buffer.from(text)]);
const longText = (text: string) => Buffer.concat([bytes(0, 0, 0, text.length), Buffer.from(text)]);

const header = Buffer.from("AMQP\0\0\x09\x01", "latin1");

const login = Buffer.concat([
  header,
  toMethod(0, [10, 11], longText(""), shortText("PLAIN"), longText("\0guest\0guest"), shortText("en_US")),
  toMethod(0, [10, 31], bytes(0, 8, 0, 2, 0, 0, 0, 0)), // 8 channels, frames of 128 KiB, no heartbeat
  toMethod(0, [10, 40], shortText("/"), shortText(""), bytes(0)),
  toMethod(1, [20, 10], shortText("")),
]);

const publish = Buffer.concat([
  toMethod(1, [85, 10], bytes(0)), // confirms
  toMethod(1, [50, 10], bytes(0, 0), shortText(queue), bytes(2), longText("")), // durable
  toMethod(1, [60, 40], bytes(0, 0), shortText(""), shortText(queue), bytes(0)),
  toFrame(2, 1, bytes(0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0x10, 0, 2)), // 3 bytes, persistent
  toFrame(3, 1, Buffer.from("yes")),
]);

/** Looks and does not take: without an acknowledgement the message goes back when the connection ends. */
const get = toMethod(1, [60, 70], bytes(0, 0), shortText(queue), bytes(0));

const acknowledged = "\x01\0\x01\0\0\0\x0d\0\x3c\0\x50";
const delivered = "\x03\0\x01\0\0\0\x03yes";

async function hears(broker: TestBroker, request: Buffer, answer: string): Promise<boolean> {
  return (await askServer(broker.port, request, answer)) !== undefined;
}

testLauncher("RabbitMQ", {
  file: "rabbitmq.ts",
  find: findRabbitMQ,
  start: startRabbitMQ,
  variable: rabbitMQUrlVariable,
  answers: (broker) => hears(broker, header, "AMQPLAIN"),
  put: (broker) => hears(broker, Buffer.concat([login, publish]), acknowledged),
  has: (broker) => hears(broker, Buffer.concat([login, get]), delivered),
});
