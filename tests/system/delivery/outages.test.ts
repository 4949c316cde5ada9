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
  const writing = town.producers.write({ transactions: 1_000 });
  let outages = 0;
  for (const isKilled of [false, true, false, true]) {
    const before = town.raw.firsts.size;
    await town.until("some have come", async () => town.raw.firsts.size > before + 150, 5);
    if (isKilled) await servers.database.kill();
    await servers.database.restart();
    outages += 1;
  }
  await writing;
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
  const writing = town.producers.write({ transactions: 900 });
  const broker = servers.broker(skip);
  const some = async () => {
    const before = town.raw.firsts.size;
    await town.until("some have come", async () => town.raw.firsts.size > before + 150, 5);
  };
  await some();
  await broker.restart();
  await some();
  await broker.kill();
  await broker.restart();
  await some();
  await broker.kill();
  const backAt = performance.now() + brokerAwayMs;
  await town.until("it has been away for long", async () => performance.now() > backAt);
  await broker.restart();
  await writing;
  await town.allArrive();

  const findings = await auditDelivery(town);
  expect(findings).toEqual(nothingBroken(findings));
  const counts = await Promise.all(relays.map((relay) => town.stopAndCount(relay)));
  const outages = counts.reduce((sum, { outages: met = 0 }) => sum + met, 0);
  await town.report("broker away", { "batches that met it": outages });
  expect(outages).toBeGreaterThan(3);
  expect(town.crashed()).toEqual([]);
});
