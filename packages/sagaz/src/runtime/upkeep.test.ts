import { expect, test } from "vitest";
import { SagaError } from "../core/errors.ts";
import { Stage } from "../../../../tests/engine/stage.ts";

const HOUR_MS = 3_600_000;

test("maintenance comes about once an hour; one that fails is logged, and the next one comes all the same", async () => {
  await using stage = await Stage.open();
  const { upkeep } = stage.storage;
  const maintain = upkeep.maintain.bind(upkeep);
  let calls = 0;
  upkeep.maintain = async () => {
    calls += 1;
    if (calls === 1) throw new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "a test says no" });
    return maintain();
  };
  const process = await stage.process();
  await stage.clock.advance(2.5 * HOUR_MS);
  expect(calls).toBe(2);
  const warnings = process.logged.filter(({ message }) => message.includes("maintenance failed"));
  expect(warnings).toHaveLength(1);
});

test("a sweep that fails is logged, and a later one takes over from the dead", async () => {
  await using stage = await Stage.open();
  const { leases } = stage.storage;
  const fenceExpired = leases.fenceExpired.bind(leases);
  let calls = 0;
  leases.fenceExpired = async () => {
    calls += 1;
    if (calls === 1) throw new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "a test says no" });
    return fenceExpired();
  };
  const process = await stage.processWith({ sagas: [], leaseMs: 5_000 });
  const dead = await stage.processWith({ sagas: [], leaseMs: 5_000 });
  dead.kill();
  await stage.clock.advance(60_000);
  expect(calls).toBeGreaterThan(1);
  expect(process.logged.map(({ message }) => message)).toContain(
    "sagaz: the sweep failed; the next one will do",
  );
});
