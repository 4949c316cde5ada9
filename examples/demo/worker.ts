/**
 * A worker: runs the sagas that wait in the database, beside any number of others. Nothing is lost when it is killed:
 * what it had in flight is taken over once its lease has run out.
 */
import { SagaOrchestrator } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { orderSaga } from "./order-saga.ts";
import { openShop } from "./shop.ts";
import { openPool } from "./sql.ts";

const url = process.env["DATABASE_URL"];
const pool = openPool(url);
const shopPool = openPool(url);

const orchestrator = new SagaOrchestrator({
  storage: new PostgreSQLStorage({ pool }),
  sagas: [orderSaga(openShop(shopPool))],
  workerName: `worker ${process.pid}`,
  leaseMs: 2_000,
});

async function stop(): Promise<void> {
  await orchestrator.stop();
  await Promise.all([pool.end(), shopPool.end()]);
  process.exit(0);
}

process.once("SIGTERM", () => void stop());
process.once("disconnect", () => process.exit(1)); // whoever started it is gone
await orchestrator.start();
process.send?.("ready");
