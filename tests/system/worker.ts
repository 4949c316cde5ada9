/** A worker process of the system tests, on the built library. What it is to do comes as JSON in its first argument. */
import pg from "pg";
import { ClassicSaga, SagaOrchestrator } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { orderSaga } from "./order-saga.ts";
import { Shop } from "./shop.ts";
import type { WorkerOptions } from "./worker-process.ts";

const {
  name,
  engineUrl,
  shopUrl,
  leaseMs = 1_000,
  sagasInFlightMax = 1_000,
} = JSON.parse(process.argv[2] ?? "{}") as WorkerOptions;

/** Its step kills the process, as a native crash would. */
const deadly = new ClassicSaga({ name: "deadly" }).addStep("boom", () =>
  process.kill(process.pid, "SIGKILL"),
);

const shop = new Shop(shopUrl ?? engineUrl, name);
const pool = new pg.Pool({ connectionString: engineUrl, application_name: `${name} engine`, max: 12 });
const orchestrator = new SagaOrchestrator({
  storage: new PostgreSQLStorage({ pool, writeTimeoutMs: 2_000, connectTimeoutMs: 1_000 }),
  sagas: [orderSaga(shop), deadly],
  workerName: name,
  leaseMs,
  sagasInFlightMax,
  stopMs: 300,
});

async function stop(): Promise<void> {
  await orchestrator.stop();
  await Promise.all([pool.end(), shop.end()]);
  process.exit(0);
}

process.once("SIGTERM", () => void stop());
process.once("disconnect", () => process.exit(1)); // the test is gone, in whatever way: so are we
await orchestrator.start();
process.send?.("ready");
