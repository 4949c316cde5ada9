import { compatibilityPartitioner } from "@platformatic/kafka";
import fc from "fast-check";
import { expect, test } from "vitest";
import { partitionOf } from "./partition-of.ts";

/** The hashes are those of Kafka's own `UtilsTest`. */
test.each([
  ["21", -973932308],
  ["foobar", -790332482],
  ["a-little-bit-long-string", -985981536],
  ["a-little-bit-longer-string", -1486304829],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
  ["abc", 479470107],
])("the key %s goes where Kafka's own clients send it", (key, hash) => {
  for (const partitions of [1, 3, 7, 1_000])
    expect(partitionOf(key, partitions)).toBe((hash & 0x7fffffff) % partitions);
});

test("any key goes where the driver's partitioner sends it, long ones too", () => {
  const key = fc.oneof(fc.string({ unit: "binary" }), fc.string({ minLength: 1_300, maxLength: 1_400 }));
  fc.assert(
    fc.property(key, fc.integer({ min: 1, max: 1_000 }), (text, partitions) => {
      const hash = Number(compatibilityPartitioner({ topic: "t" }, Buffer.from(text)));
      expect(partitionOf(text, partitions)).toBe(hash % partitions);
    }),
  );
});
