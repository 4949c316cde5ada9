import { expect, test } from "vitest";
import { nothingBroken } from "../ledger.ts";
import { auditDelivery } from "./delivery-audit.ts";
import { DeliveryTown, scenarioMsMax } from "./delivery-town.ts";
import { useServersToBreak } from "./servers.ts";

/** For so long the broker stays away: an outage must cost time only. */
const brokerAwayMs = 60_000;

const servers = useServersToBreak();

test("PostgreSQL is restarted, and killed, in the middle", { timeout: scenarioMsMax }, async ({ skip }) => {
  await using town = await DeliveryTown.open(servers, skip);
  await town.startConsumers();
  const relays = await Promise.all(["a", "b"].map((name) => town.relay(name, { leaseMs: 1_500 }).ready()));
  let outages = 0;
  for (const isKilled of [false, true, false, true]) {
    await town.inTheMiddle(async () => {
      if (isKilled) await servers.database.kill();
      await servers.database.restart();
    });
    outages += 1;
  }
  await town.allArrive();

  const findings = await auditDelivery(town);
  expect(findings).toEqual(nothingBroken(findings));
  const { broken } = await town.report("database away", { outages });
  expect(broken).toBeGreaterThan(0);
  for (const relay of relays)
    expect(relay.output).toMatch(/noting what was sent failed|outbox cannot be read/);
  expect(town.crashed()).toEqual([]);
});

test("Redis is restarted, killed, and away for a while", { timeout: scenarioMsMax }, async ({ skip }) => {
  await using town = await DeliveryTown.open(servers, skip);
  await town.startConsumers();
  const relays = await Promise.all(["a", "b"].map((name) => town.relay(name).ready()));
  const broker = servers.broker(skip);
  await town.inTheMiddle(() => broker.restart());
  await town.inTheMiddle(async () => {
    await broker.kill();
    await broker.restart();
  });
  await town.inTheMiddle(() => broker.kill());
  const backAt = performance.now() + brokerAwayMs;
  await town.producers.write({ transactions: 300 });
  await town.until("it has been away for long", async () => performance.now() > backAt);
  await broker.restart();
  await town.allArrive();

  const findings = await auditDelivery(town);
  expect(findings).toEqual(nothingBroken(findings));
  const counts = await Promise.all(relays.map((relay) => town.stopAndCount(relay)));
  const outages = counts.reduce((sum, { outages: met = 0 }) => sum + met, 0);
  await town.report("broker away", { "batches that met it": outages });
  expect(outages).toBeGreaterThan(3);
  expect(town.crashed()).toEqual([]);
});
