import { expect, inject, onTestFinished, test } from "vitest";
import { startFaultProxy } from "../../tools/servers/fault-proxy.ts";
import { audit, nothingBroken } from "./ledger.ts";
import { Town } from "./town.ts";

test("lines to the database and to the participants break while sagas run: all end, nothing is done twice", async () => {
  await using town = await Town.open(inject("postgresUrl"));
  const [engineLine, shopLine] = [await startFaultProxy(town.url), await startFaultProxy(town.url)];
  onTestFinished(() => Promise.all([engineLine.stop(), shopLine.stop()]).then(() => {}));
  const lines = { engineUrl: engineLine.through(town.url), shopUrl: shopLine.through(town.url) };
  await Promise.all(["w1", "w2"].map((name) => town.worker({ name, leaseMs: 1_500, ...lines }).ready()));
  // Each meets the first request of its kind: what is placed then has them all.
  const onces = [
    () => engineLine.dropRepliesOnce("step_done"),
    () => shopLine.dropRepliesOnce("shop.ask"),
    () => engineLine.dropRequestsOnce("step_done"),
    () => shopLine.dropRequestsOnce("shop.undo"),
    () => engineLine.truncateAfter(20),
    () =>
      Promise.all([engineLine.dropRepliesOnce("saga_com"), shopLine.dropRepliesOnce("shop.undo")]).then(
        () => {},
      ),
  ];
  for (const fault of onces) {
    let hasHit = false;
    void fault().then(() => (hasHit = true));
    await town.place(25);
    await town.until(`fault ${onces.indexOf(fault)} has hit`, async () => hasHit);
  }
  for (const line of [engineLine, shopLine]) {
    const before = await town.ended();
    const placing = town.place(40);
    await town.until("some have ended", async () => (await town.ended()) > before + 3);
    line.reset();
    await placing;
  }

  // The engine's line goes dead for longer than the lease, with attempts under way; what was sent into it arrives when
  // it is too late.
  await town.place(30, (n) => (n % 15 === 0 ? "in confirm" : "in charge"));
  await town.until("every one of them waits", async () => (await town.waiting()) >= 30);
  engineLine.blackHole();
  const placing = town.place(20);
  await town.worker({ name: "w3", leaseMs: 20_000 }).ready();
  await town.until("both workers are fenced", async () => (await alive(town)) === 0);
  engineLine.heal();
  await placing;
  await town.until("both are back under new epochs", async () => (await alive(town)) === 2);
  await town.openGate();
  await town.allEnd();

  const findings = await audit(town);
  expect(findings).toEqual(nothingBroken(findings));
  expect(town.placed).toHaveLength(280);
  expect(town.deadWorkers()).toEqual([]);
});

function alive(town: Town): Promise<number> {
  return town.count(
    "select count(distinct worker_name) from sagaz.saga_workers where worker_name in ('w1', 'w2') and fenced_at is null",
  );
}
