import { expect, test } from "vitest";
import { nothingBroken } from "../ledger.ts";
import { auditDelivery } from "./delivery-audit.ts";
import { DeliveryTown, scenarioMsMax } from "./delivery-town.ts";
import { poisonType } from "./producers.ts";
import { useServers } from "./servers.ts";

const servers = useServers();
const moods = { away: 0.15, refuses: 0.15, poison: poisonType };

test(
  "a broker refuses and is away by chance, and some events are poison",
  { timeout: scenarioMsMax },
  async ({ skip }) => {
    await using town = await DeliveryTown.open(servers, skip);
    await town.startConsumers();
    await town.producers.write({ transactions: 300, poisonEvery: 41 });
    const relays = await Promise.all(["a", "b"].map((name) => town.relay(name, { moods }).ready()));
    await town.producers.write({ transactions: 300, poisonEvery: 41 });
    await town.allArrive();

    const findings = await auditDelivery(town);
    expect(findings).toEqual(nothingBroken(findings));
    const counts = await Promise.all(relays.map((relay) => town.stopAndCount(relay)));
    const sum = (what: "refused" | "outages" | "dead") =>
      counts.reduce((total, { [what]: n = 0 }) => total + n, 0);
    const [refused, outages, dead] = [sum("refused"), sum("outages"), sum("dead")];
    await town.report("moody broker", { refused, outages, dead });
    expect(dead).toBeGreaterThan(5);
    expect(refused).toBeGreaterThan(dead * 5);
    expect(outages).toBeGreaterThan(0);
    expect(town.crashed()).toEqual([]);
  },
);
