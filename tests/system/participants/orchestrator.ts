/** A process that runs sagas which ask a participant, and sends their commands; on the built library. */
import { Redis } from "ioredis";
import pg from "pg";
import { fail, OutboxWorker, saga, SagaOrchestrator, unchecked } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { RedisBroker } from "sagaz/redis";

/** What the process is told. */
export interface OrchestratorProcessOptions {
  readonly name: string;
  readonly databaseUrl: string;
  readonly brokerUrl: string;
  readonly prefix: string;
  /** So many sagas are started, one after the other, each once: whoever runs after a crash begins where it is. */
  readonly sagas: number;
}

const replyTimeoutMs = 30_000;

/** Every third one goes back after its reservation. */
const order = saga("order", { input: unchecked<{ n: number }>() })
  .command("bolt", {
    topic: "python-inventory-commands",
    command: "reserve",
    payload: () => ({ sku: "bolt" }),
    undo: () => null,
    replyTimeoutMs, // nothing gets lost: to ask sooner would only make the queue longer
  })
  .command("nut", {
    topic: "python-inventory-commands",
    command: "reserve",
    payload: () => ({ sku: "nut" }),
    undo: () => null,
    replyTimeoutMs,
  })
  .step("charge", {
    after: ["bolt"],
    do: ({ input: { n } }) => {
      // At once for some, so that the other reservation is still under way.
      if (n % 3 === 0) throw fail("card declined");
    },
  })
  .build();

const { name, databaseUrl, brokerUrl, prefix, sagas } = JSON.parse(
  process.argv[2] ?? "{}",
) as OrchestratorProcessOptions;

const pool = new pg.Pool({ connectionString: databaseUrl, application_name: name, max: 12 });
const storage = new PostgreSQLStorage({ pool, writeTimeoutMs: 2_000, connectTimeoutMs: 1_000 });
const broker = () =>
  new RedisBroker({ client: new Redis(brokerUrl, { lazyConnect: true }), prefix, leaseMs: 1_000 });
const orchestrator = new SagaOrchestrator({
  storage,
  sagas: [order],
  workerName: name,
  leaseMs: 1_000,
  stopMs: 300,
  replies: { topic: "replies", broker: broker() },
});
const relay = new OutboxWorker({ storage, broker: broker(), workerName: `${name} relay`, leaseMs: 1_000 });

async function stop(): Promise<void> {
  await orchestrator.stop();
  await relay.stop();
  await pool.end();
  process.exit(0);
}

process.once("SIGTERM", () => void stop());
process.once("disconnect", () => process.exit(1)); // the test is gone, in whatever way: so are we
await orchestrator.start();
await relay.start();
process.send?.("ready");
for (let n = 0; n < sagas; n++) await orchestrator.sagas.start(order, { n }, { idempotencyKey: String(n) });
