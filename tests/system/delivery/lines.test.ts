import { expect, test } from "vitest";
import type { FaultProxy } from "../../../tools/servers/fault-proxy.ts";
import { nothingBroken } from "../ledger.ts";
import { auditDelivery } from "./delivery-audit.ts";
import { DeliveryTown, scenarioMsMax } from "./delivery-town.ts";
import { useServers } from "./servers.ts";

const servers = useServers();

/** What is done to a line. A black hole says nothing, and whoever talks into it has to find out by himself. */
const harms: readonly ((line: FaultProxy) => void)[] = [
  (line) => line.reset(),
  (line) => line.blackHole("toServer"),
  (line) => line.blackHole("toClient"),
  (line) => line.blackHole(),
];

test(
  "lines to the database and to the broker break, and fall silent",
  { timeout: scenarioMsMax },
  async ({ skip }) => {
    await using town = await DeliveryTown.open(servers, skip);
    const [relayToDatabase, consumerToDatabase] = [await town.line("database"), await town.line("database")];
    const [relayToBroker, consumerToBroker] = [await town.line("broker"), await town.line("broker")];
    const relay = town.relay("relay", {
      leaseMs: 1_500,
      databaseUrl: relayToDatabase.through(town.url),
      brokerUrl: relayToBroker.through(town.brokerUrl),
    });
    const consumer = town.consumer("billing", {
      databaseUrl: consumerToDatabase.through(town.url),
      brokerUrl: consumerToBroker.through(town.brokerUrl),
    });
    await Promise.all([relay.ready(), consumer.ready(), town.consumer("mailing").ready()]);
    let harmed = 0;
    for (const pair of [
      [relayToDatabase, consumerToDatabase],
      [relayToBroker, consumerToBroker],
    ]) {
      for (const harm of harms) {
        const harmLine = async (line: FaultProxy) => {
          const links = line.opened;
          harm(line);
          await town.until("a new connection is tried", async () => line.opened > links);
          line.heal();
          harmed += 1;
        };
        await town.inTheMiddle(() => Promise.all(pair.map(harmLine)));
      }
    }
    await town.allArrive();

    const findings = await auditDelivery(town);
    expect(findings).toEqual(nothingBroken(findings));
    expect(relay.output).toMatch(/outbox cannot be read|noting what was sent failed/);
    expect(relay.output).toMatch(/the broker takes no events/);
    expect(consumer.output).toMatch(/messages cannot be processed now/);
    const [{ outages = 0 }, { duplicates = 0 }] = [
      await town.stopAndCount(relay),
      await town.stopAndCount(consumer),
    ];
    await town.report("lines broken", { harmed, outages, duplicates });
    expect(duplicates).toBeGreaterThan(0); // what was handed over on a connection that broke came again
    expect(town.crashed()).toEqual([]);
  },
);
