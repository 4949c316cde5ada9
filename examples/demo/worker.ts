/**
 * A worker: runs the sagas that wait in the database, beside any number of others. Nothing is lost when it is killed:
 * what it had in flight is taken over once its lease has run out.
 */
import pg from "pg";
import { SagaOrchestrator } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { orderSaga } from "./order-saga.ts";
import { openShop } from "./shop.ts";

const connectionString = process.env["DATABASE_URL"];
const pool = new pg.Pool({ connectionString });
const shopPool = new pg.Pool({ connectionString });

const orchestrator = new SagaOrchestrator({
  storage: new PostgreSQLStorage({ pool }),
  sagas: [orderSaga(openShop(shopPool))],
  workerName: `worker ${process.pid}`,
  leaseMs: 2_000,
});

let stopping = false;

async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  await orchestrator.stop();
  await Promise.all([pool.end(), shopPool.end()]);
  if (process.connected) process.disconnect();
}

process.once("SIGTERM", () => void stop());
process.once("disconnect", () => void stop()); // whoever started it is gone
await orchestrator.start();
process.send?.("ready");
