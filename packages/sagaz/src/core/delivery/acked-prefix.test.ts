import fc from "fast-check";
import { expect, test } from "vitest";
import { AckedPrefix } from "./acked-prefix.ts";

function handOver(prefix: AckedPrefix<object, number>, count: number): readonly object[] {
  return Array.from({ length: count }, (_, n) => {
    const message = {};
    prefix.take(message, n + 1);
    return message;
  });
}

test("the place is the last one up to which everything is acknowledged", () => {
  const prefix = new AckedPrefix<object, number>(0);
  const [first, second, third] = handOver(prefix, 4) as [object, object, object];
  expect(prefix.ack(third)).toBe(true);
  expect(prefix.place).toBe(0);
  expect(prefix.ack(first)).toBe(true);
  expect(prefix.place).toBe(1);
  expect(prefix.ack(first)).toBe(false);
  expect(prefix.ack(second)).toBe(true);
  expect(prefix.place).toBe(3);
  expect(prefix.ack({})).toBe(false);
  expect(prefix.unacked).toBe(1);
});

test("in whatever order thousands are acknowledged, the place is before the first that is not", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2_500 }), fc.integer({ min: 1, max: 2_499 }), (count, step) => {
      const prefix = new AckedPrefix<object, number>(0);
      const messages = handOver(prefix, 2_500);
      const acked = new Set<number>();
      for (let n = 0, at = 0; n < count; n++, at = (at + step) % 2_500) {
        prefix.ack(messages[at]!);
        acked.add(at);
      }
      let expected = 0;
      while (acked.has(expected)) expected += 1;
      expect(prefix.place).toBe(expected);
      expect(prefix.unacked).toBe(2_500 - acked.size);
    }),
    { numRuns: 50 },
  );
});
