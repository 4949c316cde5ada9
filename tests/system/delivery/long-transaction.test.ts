import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { nothingBroken } from "../ledger.ts";
import { auditDelivery } from "./delivery-audit.ts";
import { DeliveryTown, scenarioMsMax } from "./delivery-town.ts";
import { useServers } from "./servers.ts";

const servers = useServers();

test(
  "somebody holds a snapshot while many events go through: what is sent is not read again and again",
  { timeout: scenarioMsMax },
  async ({ skip }) => {
    await using town = await DeliveryTown.open(servers, skip, ["billing"]);
    const somebody = new pg.Client(town.url);
    await somebody.connect();
    onTestFinished(() => somebody.end());
    await somebody.query("begin isolation level repeatable read");
    await somebody.query("select count(*) from town.facts");
    await town.producers.write({ transactions: 1_150, eventsEach: 20 });
    await town.startConsumers();
    await town.relay("relay", { batchMax: 50, leaseMs: 5_000 }).ready();
    await town.allArrive();

    const findings = await auditDelivery(town);
    expect(findings).toEqual(nothingBroken(findings));
    const seen = async () => ({
      read: await town.count(
        "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'saga_outbox_pending_pkey'",
      ),
      dead: await town.count(
        "select n_dead_tup from pg_stat_user_tables where relname = 'saga_outbox_pending'",
      ),
    });
    const sent = await town.count("select count(*) from town.facts");
    // The server's statistics lag behind. That they say so means that nothing could be cleared away ...
    await town.until("the statistics have come", async () => (await seen()).dead > sent * 0.9);
    const { events, read } = await town.report("snapshot held", await seen());
    // ... and yet what was sent was not walked over again for each batch.
    expect(events).toBeGreaterThanOrEqual(20_000);
    expect(read / events).toBeLessThan(10);
    await somebody.query("rollback");
  },
);
