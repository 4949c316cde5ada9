/** The saga exists if and only if your own transaction commits: there is no order without its saga, and no saga without. */
import pg from "pg";
import { ClassicSaga, SagaOrchestrator } from "sagaz";
import { startEmbeddedPostgres } from "sagaz/embedded";
import { PostgreSQLStorage } from "sagaz/postgres";
import { fromPg } from "sagaz/transactions";

const order = new ClassicSaga<{ readonly orderId: string }>({ name: "order" }).addStep("confirm", () => "ok");

const server = await startEmbeddedPostgres({ dataDir: ".sagaz/examples" });
const pool = new pg.Pool({ connectionString: server.url });
const storage = new PostgreSQLStorage({ pool });
const orchestrator = new SagaOrchestrator({ storage, sagas: [order] });
await orchestrator.start();

const client = await pool.connect();
await client.query("create table if not exists orders (saga_id uuid)");
for (const end of ["commit", "rollback"]) {
  await client.query("begin");
  const saga = await orchestrator.sagas.start(order, { orderId: "4711" }, { tx: fromPg(client) });
  await client.query("insert into orders values ($1)", [saga.id]);
  await client.query(end);
  const exists = (await orchestrator.sagas.find(saga.id)) !== undefined;
  console.log(
    `${end}: the saga ${exists ? `exists and is ${(await saga.result()).status}` : "does not exist"}`,
  );
}
client.release();

await orchestrator.stop();
await pool.end();
await server.stop();

/* prints:
commit: the saga exists and is completed
rollback: the saga does not exist
*/
