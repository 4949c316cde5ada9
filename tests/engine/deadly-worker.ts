import pg from "pg";
import { silentLog } from "../../packages/sagaz/src/ports/log.ts";
import { ClassicSaga } from "../../packages/sagaz/src/runtime/classic-saga.ts";
import { SagaOrchestrator } from "../../packages/sagaz/src/runtime/orchestrator.ts";
import { PostgreSQLStorage } from "../../packages/sagaz/src/storage/postgres/index.ts";

/** A worker process with a step that kills it, as a native crash would. Started by `outages.int.test.ts`. */
const deadly = new ClassicSaga({ name: "deadly" }).addStep("boom", () =>
  process.kill(process.pid, "SIGKILL"),
);
const harmless = new ClassicSaga({ name: "harmless" }).addStep("a", () => 1);
const pool = new pg.Pool({ connectionString: process.env["SAGAZ_TEST_URL"], max: 6 });
const storage = new PostgreSQLStorage({ pool, schema: process.env["SAGAZ_TEST_SCHEMA"] ?? "sagaz" });
await new SagaOrchestrator({ storage, sagas: [deadly, harmless], leaseMs: 1_000, log: silentLog }).start();
