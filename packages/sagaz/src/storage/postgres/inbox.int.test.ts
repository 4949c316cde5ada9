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

test("a handler whose statement waits for a lock for ever fails in time, and lets the others of its batch go on", async () => {
  const { storage, pool } = await open();
  await pool.query("create table stock (left_over integer); insert into stock values (1)");
  const holder = await pool.connect();
  await holder.query("begin; update stock set left_over = 0");
  const inbox = new ConsumerInbox({ storage, consumerName: "billing", handlerTimeoutMs: 100 });
  const results = await inbox.processBatch(
    [toMessage("e-1"), toMessage("e-2")],
    async (_, { tx, message }) => {
      if (message.eventId === "e-2") await tx("update stock set left_over = 2");
    },
  );
  expect(results).toMatchObject([
    { status: "processed", isDuplicate: false },
    { status: "failed", error: { code: "SAGAZ_HANDLER_TIMEOUT" } },
  ]);
  await holder.query("commit");
  holder.release();
});

test.each(["rollback", "commit", "select 1; rollback"])(
  "a handler that ends the transaction (%s) has failed, and is not noted as done",
  async (end) => {
    const { storage, pool } = await open();
    await pool.query("create table stock (left_over integer)");
    const inbox = new ConsumerInbox({ storage, consumerName: "billing" });
    const handling = inbox.processIdempotent(toMessage("e-1"), async (_, { tx }) => {
      await tx(end).catch(() => {});
      await tx("insert into stock values (1)").catch(() => {});
    });
    await expect(handling).rejects.toThrow("ended the transaction");
    expect((await pool.query("select from stock")).rowCount).toBe(0);
  },
);

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
