/** A process that reads the outbox from the log, on the built library. Its broker is a table, which outlives a kill -9. */
import pg from "pg";
import { OutboxWorker, type BrokerMessage, type MessageBroker } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";

const url = String(process.argv[2]);
const pool = new pg.Pool({ connectionString: url, application_name: "reader", max: 10 });
const ledger = new pg.Pool({ connectionString: url, application_name: "ledger", max: 1 });

const broker: MessageBroker = {
  name: "ledger",
  start: async () => {},
  stop: async () => {},
  async publish(messages: readonly BrokerMessage[]) {
    const values = [messages.map(({ key }) => key), messages.map(({ headers }) => headers["ce_id"])];
    await ledger.query(
      `insert into ledger (key, event_id)
         select m.key, m.id from unnest($1::text[], $2::text[]) with ordinality m(key, id, n) order by m.n`,
      values,
    );
    return messages.map(() => undefined);
  },
  subscribe: () => Promise.reject(new Error("Nothing comes back.")),
  health: async () => ({ isUp: true }),
};

const worker = new OutboxWorker({
  storage: new PostgreSQLStorage({ pool }),
  broker,
  delivery: "cdc",
  leaseMs: 1_000,
});

process.once("disconnect", () => process.exit(1)); // the test is gone, in whatever way: so are we
await worker.start();
process.send?.("ready");
