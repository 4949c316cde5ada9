/** An event is published if and only if your own transaction commits: there is no event without its row, and no row without. */
import pg from "pg";
import { InMemoryBroker, Outbox, OutboxWorker } from "sagaz";
import { startEmbeddedPostgres } from "sagaz/embedded";
import { PostgreSQLStorage } from "sagaz/postgres";
import { fromPg } from "sagaz/transactions";

const server = await startEmbeddedPostgres({ dataDir: ".sagaz/examples" });
const pool = new pg.Pool({ connectionString: server.url });
const storage = new PostgreSQLStorage({ pool });
const broker = new InMemoryBroker();

// Moves events from the outbox to the broker, in this process or in another.
const worker = new OutboxWorker({ storage, broker });
await worker.start();

// Another service, connected to the same broker.
const accounting = new InMemoryBroker({ beside: broker });
await accounting.start();
const first = new Promise<string>((received) => {
  void accounting.subscribe({
    group: "accounting",
    topics: ["invoices"],
    unackedMax: 100,
    handle: ([message]) =>
      received(`${message?.headers["ce_type"]} ${String(Buffer.from(message?.payload ?? []))}`),
  });
});

const outbox = new Outbox({ storage, source: "billing" });
const client = await pool.connect();
await client.query("create table if not exists invoices (customer text, cents int)");
for (const [cents, end] of [
  [100, "rollback"],
  [200, "commit"],
] as const) {
  const invoice = { customer: "ann", cents };
  await client.query("begin");
  await client.query("insert into invoices values ($1, $2)", [invoice.customer, invoice.cents]);
  // Events of one key are published in order: had there been one before, it would come first.
  await outbox.add(fromPg(client), {
    topic: "invoices",
    type: "invoice.sent",
    key: invoice.customer,
    payload: invoice,
  });
  await client.query(end);
  console.log(`${end}: an invoice of ${cents} cents`);
}
client.release();
console.log(`accounting received ${await first}`);

await accounting.stop();
await worker.stop();
await pool.end();
await server.stop();

/* prints:
rollback: an invoice of 100 cents
commit: an invoice of 200 cents
accounting received invoice.sent {"customer":"ann","cents":200}
*/
