import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { ConsumerInbox } from "../../runtime/delivery/consumer-inbox.ts";
import { PostgreSQLStorage } from "./index.ts";

async function open() {
  const { url } = await createDatabase(inject("postgresUrl"), { name: "inbox" });
  const pool = new pg.Pool({ connectionString: url, max: 12 });
  const storage = new PostgreSQLStorage({ pool, writeTimeoutMs: 20_000 });
  await storage.start();
  onTestFinished(async () => {
    await storage.stop();
    await pool.end();
  });
  return { pool, storage };
}

const toMessage = (eventId: string) => ({ eventId, sourceTopic: "orders", eventType: "e", payload: null });

test("a consumer that stands still in the middle does not keep its messages from the others of its name", async () => {
  const { storage } = await open();
  const request = {
    consumerName: "billing",
    messages: [{ eventId: "e-1", sourceTopic: "orders", eventType: "e" }],
    idleMsMax: 300,
  };
  let [arrive, thaw] = [() => {}, () => {}];
  const isInside = new Promise<void>((resolve) => (arrive = resolve));
  const isThawed = new Promise<void>((resolve) => (thaw = resolve));
  // A process that is frozen, or whose machine is cut off: its transaction stays open, and nothing more comes.
  const frozen = storage.inbox.process(request, async () => {
    arrive();
    await isThawed;
    return ['"too late"'];
  });
  frozen.catch(() => {});
  await isInside;
  const answers = await storage.inbox.process({ ...request, idleMsMax: 30_000 }, async () => ['"done"']);
  expect(answers).toEqual([{ isDuplicate: false, result: '"done"' }]);
  thaw();
  await expect(frozen).rejects.toMatchObject({ code: "SAGAZ_STORAGE_UNAVAILABLE" });
});

test("a handler that fails because its connection does has not failed", async () => {
  const { storage } = await open();
  const inbox = new ConsumerInbox({ storage, consumerName: "billing" });
  // As when the server is shut down: the statement under way is told so, and the connection ends a moment later.
  const process = (eventId: string) =>
    inbox.processBatch([toMessage(eventId)], async (_, { tx }) => {
      await tx("select pg_terminate_backend(pg_backend_pid())");
    });
  await expect(process("e-1")).rejects.toMatchObject({ code: "SAGAZ_STORAGE_UNAVAILABLE" });
  const swallowed = inbox.processBatch([toMessage("e-2")], async (_, { tx }) => {
    await tx("select pg_terminate_backend(pg_backend_pid())").catch(() => {});
    throw new Error("the handler's own words");
  });
  await expect(swallowed).rejects.toMatchObject({ code: "SAGAZ_STORAGE_UNAVAILABLE" });
});
