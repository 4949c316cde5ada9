import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { runSql } from "../../../../../tools/servers/postgres-databases.ts";
import { logicalSettings, startPostgres } from "../../../../../tools/servers/postgres.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import type { BrokerMessage } from "../../ports/broker.ts";
import { silentLog } from "../../ports/log.ts";
import { PostgreSQLStorage } from "../../storage/postgres/index.ts";
import { Outbox } from "./outbox.ts";
import { OutboxWorker } from "./outbox-worker.ts";

const patience = { withinMs: 60_000 };

/** A broker that writes down what it took. */
class Ledger extends InMemoryBroker {
  readonly taken: string[] = [];

  override async publish(messages: readonly BrokerMessage[]): Promise<readonly undefined[]> {
    for (const { key, payload } of messages) this.taken.push(`${key}/${String(JSON.parse(String(payload)))}`);
    return messages.map(() => undefined);
  }
}

/** A primary that commits nothing that its standby does not have, and a reader of its log. */
async function open(synchronousCommit: string) {
  const settings = { ...logicalSettings, track_functions: "pl", synchronous_commit: synchronousCommit };
  const primary = await startPostgres({ own: true, settings });
  onTestFinished(() => primary.stop());
  const standby = await startPostgres({ own: true, settings, standbyOf: primary });
  onTestFinished(() => standby.stop());
  await runSql(
    primary.url,
    "alter system set synchronous_standby_names = 'standby'",
    "select pg_reload_conf()",
  );
  const isSync = "select from pg_stat_replication where application_name = 'standby' and sync_state = 'sync'";
  await waitUntil("it is synchronous", async () => (await runSql(primary.url, isSync))[0]?.rowCount === 1);
  const address = { host: "127.0.0.1", port: primary.port, user: "sagaz", database: "postgres" };
  const pool = new pg.Pool({ ...address, max: 20 });
  pool.on("error", () => {}); // its server is killed
  const storage = new PostgreSQLStorage({ pool, writeTimeoutMs: 2_000 });
  await storage.start();
  const broker = new Ledger();
  const worker = new OutboxWorker({ storage, broker, delivery: "cdc", leaseMs: 2_000, log: silentLog });
  await worker.start();
  onTestFinished(async () => {
    await worker.stop();
    await storage.stop();
    await pool.end();
  });
  const reads = () => waitUntil("it reads the log", () => worker.delivery.mode === "cdc", patience);
  await reads();
  const outbox = new Outbox({ storage });
  const write = (key: string, payload: number) =>
    outbox.transaction(pool, (_, add) => add({ topic: "t", type: "e", key, payload }));
  const failOver = () => void (pool.options.port = standby.port);
  return { primary, standby, pool, broker, worker, reads, write, failOver };
}

test.for(["on", "remote_apply"])(
  "with a synchronous standby (synchronous_commit = %s) no event goes out that it does not have, and after its promotion none is lost",
  async (synchronousCommit) => {
    const { primary, standby, pool, broker, worker, reads, write, failOver } = await open(synchronousCommit);
    for (let n = 1; n <= 20; n++) await write(`k${n % 3}`, n);
    await waitUntil("they have arrived", () => broker.taken.length === 20, patience);
    const takenBefore = [...broker.taken];

    // The standby gets no more: a commit is in the log, and nobody knows of it.
    await runSql(standby.url, "alter system set primary_conninfo = ''", "select pg_reload_conf()");
    const isAlone = "select from pg_stat_replication where application_name = 'standby'";
    await waitUntil("it is cut off", async () => (await runSql(primary.url, isAlone))[0]?.rowCount === 0);
    const looks = async () => {
      const sql = "select calls from pg_stat_user_functions where funcname = 'look_at_streamed'";
      return Number((await runSql(primary.url, sql))[0]?.rows[0]?.["calls"] ?? 0);
    };
    const looksBefore = await looks();
    const lost = write("lost", 1).then(
      () => "committed",
      () => "in doubt",
    );
    await waitUntil(
      "the reader has it, and looks again and again",
      async () => (await looks()) > looksBefore + 3,
      patience,
    );
    expect(broker.taken).toEqual(takenBefore);

    await primary.kill();
    expect(await lost).toBe("in doubt");
    failOver();
    await runSql(standby.url, "select pg_promote()");
    await waitUntil(
      "it can be written to",
      () =>
        write("after", 1).then(
          () => true,
          () => false,
        ),
      patience,
    );
    await reads();
    expect(worker.delivery).toEqual({ mode: "cdc" });
    await write("after", 2);
    const pending = async () =>
      (await pool.query("select from sagaz.saga_outbox_pending limit 1")).rowCount === 0;
    await waitUntil("all is sent", pending, patience);
    expect(broker.taken).not.toContain("lost/1");
    const { rows } = await pool.query<{ name: string }>(
      "select partition_key || '/' || payload as name from sagaz.saga_outbox order by id",
    );
    expect([...new Set(broker.taken)].sort()).toEqual(rows.map(({ name }) => name).sort());
    const afters = broker.taken.filter((name) => name.startsWith("after/"));
    expect([...new Set(afters)]).toEqual(["after/1", "after/2"]);
  },
);
