import { expect, test } from "vitest";
import { InFlight } from "./in-flight.ts";

const mb = 1024 * 1024;

/** Who has entered, in order. */
async function entered(inFlight: InFlight, sizes: readonly number[]): Promise<number[]> {
  const order: number[] = [];
  for (const [n, bytes] of sizes.entries()) {
    const waiting = inFlight.enter(bytes);
    if (waiting) void waiting.then(() => order.push(n));
    else order.push(n);
  }
  await Promise.resolve();
  return order;
}

test("1,000 messages are under way at a time, and the others follow in their order", async () => {
  const inFlight = new InFlight();
  const order = await entered(
    inFlight,
    Array.from({ length: 1_003 }, () => 1),
  );
  expect(order).toHaveLength(1_000);
  inFlight.leave(1);
  inFlight.leave(1);
  await Promise.resolve();
  expect(order.slice(1_000)).toEqual([1_000, 1_001]);
});

test("16 MB are under way at a time; nobody overtakes, and what is larger goes alone", async () => {
  const inFlight = new InFlight();
  const order = await entered(inFlight, [10 * mb, 5 * mb, 20 * mb, 1]);
  expect(order).toEqual([0, 1]);
  inFlight.leave(10 * mb);
  await Promise.resolve();
  expect(order).toEqual([0, 1]);
  inFlight.leave(5 * mb);
  await Promise.resolve();
  expect(order).toEqual([0, 1, 2]);
  inFlight.leave(20 * mb);
  await Promise.resolve();
  expect(order).toEqual([0, 1, 2, 3]);
});
