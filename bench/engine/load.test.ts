import { expect, onTestFinished, test, vi } from "vitest";
import { drive } from "./load.ts";
import type { Ending, Order, Session } from "./system.ts";
import { charge, NoCarrier, refund, release, reserve, ship } from "./work.ts";

/** The saga without any durability: what the load must accept. */
async function runInMemory(order: Order): Promise<Ending> {
  const reservation = await reserve(order);
  const payment = await charge(order);
  try {
    await ship(order);
    return "completed";
  } catch (error) {
    if (!(error instanceof NoCarrier)) throw error;
    await refund(payment);
    await release(reservation);
    return "compensated";
  }
}

function sessionOf(run: (order: Order) => Promise<Ending>): Session {
  return { run, close: async () => {} };
}

test.each([false, true])("keeps exactly so many sagas in flight (third step fails: %s)", async (fails) => {
  let now = 0;
  let most = 0;
  const session = sessionOf(async (order) => {
    now += 1;
    most = Math.max(most, now);
    const ending = await runInMemory(order);
    await new Promise((resolve) => setImmediate(resolve));
    now -= 1;
    return ending;
  });
  // Each look at the clock takes a tenth of a millisecond, however the machine is loaded.
  let time = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => (time += 0.1));
  onTestFinished(() => clock.mockRestore());
  const result = await drive(session, { inFlight: 7, forMs: 20, fails });
  expect(most).toBe(7);
  expect(result.sagas).toBeGreaterThan(7);
  expect(result.p99Ms).toBeGreaterThanOrEqual(result.p50Ms);
});

test("refuses a figure for sagas that skip or repeat a step", async () => {
  const lazy = sessionOf(async () => "completed");
  await expect(drive(lazy, { inFlight: 1, forMs: 0, fails: false })).rejects.toThrow(/0 actions/);
  const eager = sessionOf(async (order) => {
    await reserve(order);
    return runInMemory(order);
  });
  await expect(drive(eager, { inFlight: 1, forMs: 0, fails: false })).rejects.toThrow(/4 actions/);
});

test("refuses a figure for sagas that end in another way", async () => {
  const session = sessionOf(async (order) => runInMemory({ ...order, fails: true }));
  await expect(drive(session, { inFlight: 1, forMs: 0, fails: false })).rejects.toThrow(
    /ended as compensated/,
  );
});
