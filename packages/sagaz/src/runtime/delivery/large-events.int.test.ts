import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { BATCH_BYTES_MAX, payloadBytes } from "../../core/delivery/payload-bytes.ts";
import type { BrokerMessage } from "../../ports/broker.ts";
import { silentLog } from "../../ports/log.ts";
import { PostgreSQLStorage } from "../../storage/postgres/index.ts";
import { Outbox } from "./outbox.ts";
import { OutboxWorker } from "./outbox-worker.ts";

const eventBytes = 1_000_000;
const events = 40;

/** Keeps the ids of what it is given, and how much that is at a time. */
class Scales extends InMemoryBroker {
  readonly ids: string[] = [];
  readonly batches: number[] = [];

  override publish(messages: readonly BrokerMessage[]) {
    this.ids.push(...messages.map(({ headers }) => String(headers["ce_id"])));
    this.batches.push(payloadBytes(messages));
    return super.publish(messages);
  }
}

test.each(["relay", "cdc"] as const)(
  "a backlog of large events goes out in order, no more at a time than there is room for: %s",
  { timeout: 120_000 },
  async (delivery) => {
    const { url } = await createDatabase(inject("postgresUrl"), { name: "large" });
    const pool = new pg.Pool({ connectionString: url, max: 10 });
    const storage = new PostgreSQLStorage({ pool });
    await storage.start();
    onTestFinished(async () => {
      await storage.stop();
      if (delivery === "cdc")
        await pool.query(
          "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()",
        );
      await pool.end();
    });
    const outbox = new Outbox({ storage });
    const ids = Array.from({ length: events }, (_, n) => `event ${n}`);
    const payload = "x".repeat(eventBytes);
    for (const id of ids) {
      await outbox.transaction(pool, async (_, add) => add({ topic: "t", type: "e", key: "k", id, payload }));
    }
    const broker = new Scales();
    const worker = new OutboxWorker({ storage, broker, delivery, log: silentLog });
    await worker.start();
    onTestFinished(() => worker.stop());
    await waitUntil("all are sent", () => broker.ids.length >= events, { withinMs: 60_000 });
    expect(broker.ids).toEqual(ids);
    expect(Math.max(...broker.batches)).toBeLessThan(BATCH_BYTES_MAX + 2 * eventBytes);
    expect(Math.max(...broker.batches)).toBeGreaterThan(BATCH_BYTES_MAX / 2);
  },
);
