import { expect, test } from "vitest";
import { nothingBroken } from "../ledger.ts";
import { auditDelivery } from "./delivery-audit.ts";
import { DeliveryTown, scenarioMsMax } from "./delivery-town.ts";
import { useServers } from "./servers.ts";

const servers = useServers();

/** The same, in an order of its own for each time. */
function shuffle<T>(all: readonly T[]): T[] {
  return all
    .map((one) => ({ one, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ one }) => one);
}

test(
  "old messages come again and again, in any order, and consumers are killed and frozen",
  { timeout: scenarioMsMax },
  async ({ skip }) => {
    await using town = await DeliveryTown.open(servers, skip);
    await town.startConsumers();
    const standIns = await Promise.all(
      ["a", "b"].map((name) => town.consumer("billing", { name: `billing ${name}` }).ready()),
    );
    await town.relay("relay").ready();
    let isWriting = true;
    const writing = town.producers.write({ transactions: 800 }).finally(() => (isWriting = false));
    let published = 0;
    for (let n = 0; n < 6; n += 1) {
      const before = town.raw.firsts.size;
      await town.until("some have come", async () => !isWriting || town.raw.firsts.size > before + 100);
      published += await town.raw.publishCopies((kept) =>
        shuffle([...kept.slice(-150), ...kept.slice(0, 50)]),
      );
    }
    // One of a name is frozen in the middle of its work, and one is killed: the last one has to do for them.
    const before = await town.count("select count(*) from town.effects");
    published += await town.raw.publishCopies(shuffle);
    await town.until(
      "they are at work",
      async () => !isWriting || (await town.count("select count(*) from town.effects")) > before,
    );
    for (const [n, one] of standIns.entries()) if (n === 0) await one.kill();
    standIns[1]!.freeze();
    await writing;
    await town.allArrive();
    await town.until("every consumer has had the copies", () => town.raw.isDrained());
    standIns[1]!.thaw();

    const findings = await auditDelivery(town);
    expect(findings).toEqual(nothingBroken(findings));
    await town.report("copies", { published });
    expect(published).toBeGreaterThan(1_000);
    expect(town.crashed()).toEqual([]);
  },
);
