import * as kafka from "@platformatic/kafka";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { BrokerMessage } from "../../ports/broker.ts";
import { Lane, type Batch } from "./lane.ts";
import { toOutgoing } from "./outgoing.ts";
import { PublishCall } from "./publish-call.ts";
import { toRecordsBatch } from "./records-batch.ts";
import { lengthBytes, writeLength } from "./varint.ts";

const now = 1_795_770_000_123n;
const identity = { producerId: 77n, epoch: 3 };

function toBatch(messages: readonly BrokerMessage[]): Batch {
  const call = new PublishCall(messages.length, Infinity);
  const lane = new Lane("t", 0);
  messages.forEach((message, at) => lane.push(toOutgoing(message, { at, call })));
  const batch = lane.next(identity, Infinity);
  if (!batch) throw new Error("there is no batch");
  return batch;
}

/** What the driver makes of the same. */
function byDriver(messages: readonly BrokerMessage[]): Buffer {
  const sequences = new kafka.NumericMap();
  sequences.set("t:0", 0);
  const options = { producerId: 77n, producerEpoch: 3, sequences };
  const toText = (texts: Readonly<Record<string, string>>) =>
    new Map(Object.entries(texts).map(([name, text]) => [Buffer.from(name), Buffer.from(text)]));
  const records = messages.map(({ key, headers, payload }) => ({
    topic: "t",
    partition: 0,
    timestamp: now,
    key: Buffer.from(key),
    value: Buffer.from(payload as string),
    headers: toText(headers),
  }));
  return kafka.createRecordsBatch(records, options).buffer;
}

const text = fc.oneof(fc.string({ unit: "binary", maxLength: 80 }), fc.string({ maxLength: 80 }));
const payload = fc.oneof(text, fc.uint8Array({ maxLength: 300 }));
const headers = fc.dictionary(fc.constantFrom("ce_id", "ce_type", "größe", ""), text);
const message = fc.record({ topic: fc.constant("t"), key: text, headers, payload });

test("any messages are the bytes that the driver makes of them", () => {
  const some = fc.array(message, { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(some, (messages) => {
      const bytes = toRecordsBatch(toBatch(messages), now, kafka.crc32c);
      expect(bytes.equals(byDriver(messages))).toBe(true);
    }),
  );
});

test("so are ten thousand, whose numbers take more bytes, and large ones", () => {
  const one = (size: number): BrokerMessage => ({
    topic: "t",
    key: "k",
    headers: {},
    payload: "x".repeat(size),
  });
  const many = Array.from({ length: 10_000 }, (_, n) => one(n % 130));
  expect(toRecordsBatch(toBatch(many), now, kafka.crc32c).equals(byDriver(many))).toBe(true);
  for (const size of [8_100, 8_192, 1_048_576]) {
    const large = [one(size), one(size)];
    expect(toRecordsBatch(toBatch(large), now, kafka.crc32c).equals(byDriver(large))).toBe(true);
  }
});

test("a batch takes no more bytes than were counted, and its first message exactly those", () => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 100 }), (messages) => {
      const [first] = messages;
      if (!first) return;
      const alone = toBatch([first]);
      expect(toRecordsBatch(alone, now, kafka.crc32c)).toHaveLength(alone.bytes);
      const all = toBatch(messages);
      expect(toRecordsBatch(all, now, kafka.crc32c).length).toBeLessThanOrEqual(all.bytes);
    }),
  );
});

test("a message that is changed before it is sent is not sent as something between the two", () => {
  const payload = { topic: "t", key: "k", headers: { a: "1" } as Record<string, string>, payload: "p" };
  const batch = toBatch([payload]);
  payload.headers["b"] = "2";
  expect(() => toRecordsBatch(batch, now, kafka.crc32c)).toThrow("not changed while it is published");
});

test.each([0, 63, 64, 8_191, 8_192, 1_048_575, 1_048_576, 2 ** 29])(
  "length %i takes the bytes that are counted for it",
  (length) => {
    const bytes = Buffer.alloc(8);
    expect(writeLength(bytes, length, 1)).toBe(1 + lengthBytes(length));
    expect(kafka.Reader.from(bytes.subarray(1)).readVarInt()).toBe(length);
  },
);
