import { expect, test } from "vitest";
import { nothingBroken } from "../ledger.ts";
import { auditDelivery } from "./delivery-audit.ts";
import { DeliveryTown, scenarioMsMax } from "./delivery-town.ts";
import { useServers } from "./servers.ts";

const servers = useServers();

test(
  "relays die in the middle of a backlog, one after the other",
  { timeout: scenarioMsMax },
  async ({ skip }) => {
    await using town = await DeliveryTown.open(servers, skip);
    await town.producers.write({ transactions: 1_300 });
    await town.startConsumers();
    const kills = 7;
    for (let n = 1; n <= kills; n += 1) {
      const relay = town.relay(`relay ${n}`);
      await town.inTheMiddle(() => relay.kill());
    }
    await town.relay("the last").ready();
    await town.allArrive();

    const findings = await auditDelivery(town);
    expect(findings).toEqual(nothingBroken(findings));
    const {
      events,
      copies,
      takeovers,
      overtaken,
      "rolled back": rolledBack,
    } = await town.report("relays killed", { kills });
    expect(events).toBeGreaterThan(2_000);
    // It was killed between publishing and noting it, and others went on; some transactions gave up, or committed late.
    for (const seen of [copies, overtaken, rolledBack]) expect(seen).toBeGreaterThan(0);
    expect(takeovers).toBe(kills);
    expect(town.crashed()).toEqual([]);
  },
);

test("five relays share the keys, and come and go", { timeout: scenarioMsMax }, async ({ skip }) => {
  await using town = await DeliveryTown.open(servers, skip);
  await town.startConsumers();
  const relays = ["a", "b", "c", "d", "e"].map((name) => town.relay(name));
  await Promise.all(relays.map((relay) => relay.ready()));
  await town.until("each of the five has shards", async () => (await town.owners()) === 5);
  let [kills, stops] = [0, 0];
  for (let n = 0; n < 6; n += 1) {
    const leaving = relays.shift()!;
    await town.inTheMiddle(async () => {
      if (n % 2 === 0) {
        await leaving.kill();
        kills += 1;
      } else {
        expect(await leaving.stop()).toBe(0);
        stops += 1;
      }
      relays.push(await town.relay(`relay ${n}`).ready());
    });
  }
  await town.allArrive();

  const findings = await auditDelivery(town);
  expect(findings).toEqual(nothingBroken(findings));
  const { takeovers } = await town.report("relays come and go", { kills, stops });
  expect(takeovers).toBeGreaterThanOrEqual(kills - 1); // the last one may not be missed yet
  expect(town.crashed()).toEqual([]);
});

test("relays are frozen beyond their lease, and thawed", { timeout: scenarioMsMax }, async ({ skip }) => {
  await using town = await DeliveryTown.open(servers, skip);
  await town.startConsumers();
  await town.producers.write({ transactions: 400 });
  let freezes = 0;
  let late = 0;
  for (; freezes < 2; freezes += 1) {
    const line = await town.line("broker");
    const before = town.raw.firsts.size;
    const zombie = town.relay(`zombie ${freezes}`, { brokerUrl: line.through(town.brokerUrl) });
    await town.until("it publishes", async () => town.raw.firsts.size > before + 50, 5);
    // What it has sent last is on its way, and it will not hear what became of it.
    line.blackHole("toServer");
    await town.raw.isQuiet();
    zombie.freeze();
    const writing = town.producers.write({ transactions: 150 });
    const takeovers = await town.takeovers();
    const heir = await town.relay(`heir ${freezes}`, { leaseMs: 4_000 }).ready();
    await town.until("somebody else has its shards", async () => (await town.takeovers()) > takeovers);
    await writing;
    await town.until("the heir has published all", async () => (await town.pending()) === 0);
    const copies = await town.copies();
    line.heal();
    zombie.thaw();
    await town.until("the zombie is back under a new epoch", () => town.isRelaying(`zombie ${freezes}`));
    late += (await town.copies()) - copies;
    expect(await zombie.stop()).toBe(0);
    expect(await heir.stop()).toBe(0);
    await town.producers.write({ transactions: 150 });
  }
  await town.relay("the last").ready();
  await town.allArrive();

  const findings = await auditDelivery(town);
  expect(findings).toEqual(nothingBroken(findings));
  await town.report("relays frozen", { freezes, "sent late": late });
  expect(late).toBeGreaterThan(0);
  expect(town.crashed()).toEqual([]);
});
