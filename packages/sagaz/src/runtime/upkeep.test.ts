import { expect, test } from "vitest";
import { SagaError } from "../core/errors.ts";
import { Stage } from "../../../../tests/engine/stage.ts";

const HOUR_MS = 3_600_000;

/** The first call fails as in an outage; counts the calls. */
function failingFirst<Answer>(call: () => Promise<Answer>) {
  const counted = { calls: 0 };
  const instead = async () => {
    counted.calls += 1;
    if (counted.calls === 1) throw new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "a test says no" });
    return call();
  };
  return { counted, instead };
}

test("maintenance comes about once an hour; one that fails is logged, and the next one comes all the same", async () => {
  await using stage = await Stage.open();
  const { upkeep } = stage.storage;
  const { counted, instead } = failingFirst(upkeep.maintain.bind(upkeep));
  upkeep.maintain = instead;
  const process = await stage.process();
  await stage.clock.advance(2.5 * HOUR_MS);
  expect(counted.calls).toBe(2);
  const warnings = process.logged.filter(({ message }) => message.includes("maintenance failed"));
  expect(warnings).toHaveLength(1);
});

test("a sweep that fails is logged, and a later one takes over from the dead", async () => {
  await using stage = await Stage.open();
  const { leases } = stage.storage;
  const { counted, instead } = failingFirst(leases.fenceExpired.bind(leases));
  leases.fenceExpired = instead;
  const process = await stage.processWith({ sagas: [], leaseMs: 5_000 });
  const dead = await stage.processWith({ sagas: [], leaseMs: 5_000 });
  dead.kill();
  await stage.clock.advance(60_000);
  expect(counted.calls).toBeGreaterThan(1);
  expect(process.logged.map(({ message }) => message)).toContain(
    "sagaz: the sweep failed; the next one will do",
  );
});
