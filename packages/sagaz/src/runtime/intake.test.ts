import { expect, test } from "vitest";
import { SagaError } from "../core/errors.ts";
import type { ClaimedSaga } from "../ports/storage.ts";
import { InMemoryStorage } from "../storage/memory/index.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { Intake } from "./intake.ts";

/** An intake whose claims end when they are told to, and what it has logged. */
function open() {
  const clock = new FakeClock();
  const storage = new InMemoryStorage({ clock });
  const warnings: string[] = [];
  const log = {
    debug: () => {},
    info: () => {},
    error: () => {},
    warn: (text: string) => warnings.push(text),
  };
  const claims: ((error: SagaError) => void)[] = [];
  storage.leases.claim = () =>
    new Promise<readonly ClaimedSaga[]>((_, reject) => {
      claims.push(reject);
    });
  const intake = new Intake({
    storage,
    clock,
    log,
    epoch: () => 1,
    wanted: () => ({ limit: 10, definitions: [], tenants: undefined }) as never,
    beatMs: 1_000,
    onClaimed: () => {},
    taking: (work) => work(),
  });
  const fail = async () => {
    claims[0]?.(new SagaError("SAGAZ_STOPPED", { what: "storage" }));
    await clock.advance(1);
  };
  return { intake, warnings, fail };
}

test("a claim that fails is told, unless nothing more is claimed anyway", async () => {
  const running = open();
  running.intake.look();
  await running.fail();
  expect(running.warnings).toEqual(["sagaz: claiming work failed"]);
  const stopped = open();
  stopped.intake.look();
  stopped.intake.stop();
  await stopped.fail();
  expect(stopped.warnings).toEqual([]);
});
