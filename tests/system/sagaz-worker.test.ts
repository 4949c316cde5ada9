import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import path from "node:path";
import { Redis } from "ioredis";
import pg from "pg";
import { Outbox } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { fromPg } from "sagaz/transactions";
import { afterAll, beforeAll, expect, inject, onTestFinished, test, type TestContext } from "vitest";
import { answering, HttpDestination } from "../../tools/servers/http-destination.ts";
import { createDatabase, runSql } from "../../tools/servers/postgres-databases.ts";
import { findRedis, startRedis } from "../../tools/servers/redis.ts";
import type { TestBroker } from "../../tools/servers/scratch-broker.ts";
import { waitUntil } from "../../tools/servers/wait-until.ts";

const program = path.join(import.meta.dirname, "../../apps/worker/bin/sagaz-worker.js");
const password = "open-sesame";

let redis: TestBroker | undefined;
let missing = "";
beforeAll(async () => {
  const found = await findRedis({ own: true });
  if ("missing" in found) missing = found.missing;
  else redis = await startRedis(found, { password });
}, 60_000);
afterAll(() => redis?.stop());

/** A database with an outbox, and what it takes to add to it. */
async function openShop() {
  const { url } = await createDatabase(inject("postgresUrl"), { name: "worker" });
  const pool = new pg.Pool({ connectionString: url, max: 8 });
  const storage = new PostgreSQLStorage({ pool });
  await storage.start();
  onTestFinished(async () => {
    await storage.stop();
    await pool.end();
  });
  const outbox = new Outbox({ storage, source: "shop" });
  const place = async (topic: string, ...orders: string[]) => {
    const events = orders.map((key) => ({ topic, type: "order.placed", key, payload: { order: key } }));
    const client = await pool.connect();
    await client.query("begin");
    await outbox.add(fromPg(client), events);
    await client.query("commit");
    client.release();
  };
  return { url, place };
}

/** `sagaz-worker` in a process of its own. */
class Worker {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #output = "";

  constructor(env: Record<string, string>) {
    this.#child = spawn(process.execPath, [program], {
      env: { PATH: process.env["PATH"], SAGAZ_HTTP_PORT: "0", SAGAZ_OUTBOX_LEASE_MS: "600", ...env },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (text) => (this.#output += String(text)));
    this.#exited = once(this.#child, "exit");
    onTestFinished(() => void this.#child.kill("SIGKILL"));
  }

  get output(): string {
    return this.#output;
  }

  async ended(): Promise<number | null> {
    await this.#exited;
    return this.#child.exitCode;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** What an endpoint answers, once it is served. */
  async get(endpoint: string): Promise<{ readonly status: number; readonly body: string }> {
    await waitUntil("it serves", () => Promise.resolve(/"port":(\d+)/.test(this.#output)));
    const port = /"port":(\d+)/.exec(this.#output)?.[1];
    const response = await fetch(`http://127.0.0.1:${port}${endpoint}`);
    return { status: response.status, body: await response.text() };
  }

  async isReady(): Promise<boolean> {
    return (await this.get("/health/ready")).status === 200;
  }

  /** The value of a metric, undefined when there is none. */
  async metric(name: string): Promise<number | undefined> {
    const { body } = await this.get("/metrics");
    const line = body.split("\n").find((one) => one.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.split(" ").at(-1));
  }
}

function brokerOf(context: TestContext): TestBroker {
  return redis ?? context.skip(missing);
}

test("posts without a broker, and says what takes nothing, without its credentials", async () => {
  const { url, place } = await openShop();
  await using destination = await HttpDestination.open(answering(503));
  const destinations = { [destination.origin]: { authorization: `Bearer ${password}` } };
  const worker = new Worker({
    SAGAZ_STORAGE_URL: url,
    SAGAZ_OUTBOX_HTTP_DESTINATIONS: JSON.stringify(destinations),
  });
  await waitUntil("it is ready", () => worker.isReady());
  await place(`${destination.origin}/orders`, "a", "b");
  await waitUntil("it was tried", async () => ((await worker.metric("outbox_outages_total")) ?? 0) > 0);
  const { status, body } = await worker.get("/health/ready");
  expect(status).toBe(200);
  expect(body).toContain(`${destination.origin}/orders takes nothing now: it answers 503`);
  destination.answer = answering(202);
  await waitUntil("both are out", async () => (await worker.metric("outbox_published_events_total")) === 2);
  expect(destination.posted.at(-1)?.headers).toMatchObject({
    authorization: `Bearer ${password}`,
    "ce-type": "order.placed",
  });
  worker.signal("SIGTERM");
  expect(await worker.ended()).toBe(0);
  expect(worker.output).not.toContain(password);
});

test("relays what was added before it came and while it runs, and says so", async (context) => {
  const broker = brokerOf(context);
  const { url, place } = await openShop();
  await place("orders", "a", "b", "a");
  const worker = new Worker({ SAGAZ_STORAGE_URL: url, SAGAZ_BROKER_URL: broker.url });
  await waitUntil("it is ready", () => worker.isReady());
  await place("orders", "c");
  await waitUntil("all are out", async () => (await worker.metric("outbox_published_events_total")) === 4);
  const client = new Redis(broker.url);
  expect(await client.xlen("sagaz:topic:orders")).toBe(4);
  client.disconnect();
  expect((await worker.get("/health/live")).status).toBe(200);
  expect((await worker.get("/")).status).toBe(404);
  expect(await worker.metric("outbox_publish_duration_seconds_count")).toBeGreaterThan(0);
  expect(await worker.metric("outbox_batch_size_sum")).toBe(4);
  expect(await worker.metric('outbox_events_by_state{state="claimed"}')).toBe(0);
  expect(await worker.metric("process_start_time_seconds")).toBeGreaterThan(0);
  const { body } = await worker.get("/metrics");
  const served = [...body.matchAll(/^# TYPE (outbox_\w+)/gm)].map(([, name]) => name);
  const page = readFileSync(path.join(import.meta.dirname, "../../docs/reference/metrics.md"), "utf8");
  const documented = [...page.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name);
  expect(new Set(served)).toEqual(new Set(documented));
  worker.signal("SIGTERM");
  expect(await worker.ended()).toBe(0);
  expect(worker.output).toContain('"sent":4');
  expect(worker.output).not.toContain(password);
});

test("is not ready while the broker is away, and goes on when it is back", async (context) => {
  const broker = brokerOf(context);
  const { url, place } = await openShop();
  const worker = new Worker({ SAGAZ_STORAGE_URL: url, SAGAZ_BROKER_URL: broker.url });
  await waitUntil("it is ready", () => worker.isReady());
  await broker.kill();
  await place("away", "a", "b");
  await waitUntil("it is not ready", async () => !(await worker.isReady()));
  expect((await worker.get("/health/live")).status).toBe(200);
  expect(await worker.metric("outbox_published_events_total")).toBe(0);
  await broker.restart();
  await waitUntil("all are out", async () => (await worker.metric("outbox_published_events_total")) === 2, {
    withinMs: 30_000,
  });
  await waitUntil("it is ready again", () => worker.isReady());
  expect(await worker.metric("outbox_outages_total")).toBeGreaterThan(0);
  worker.signal("SIGINT");
  expect(await worker.ended()).toBe(0);
});

test("logs what works less well than it could, such as a role that owns nothing", async (context) => {
  const { url, place } = await openShop();
  const role = `clerk_${process.pid}_${Date.now()}`;
  const all = ["tables", "sequences"].map((what) => `grant all on all ${what} in schema sagaz to ${role}`);
  await runSql(url, `create role ${role} login`, `grant usage on schema sagaz to ${role}`, ...all);
  onTestFinished(async () => void (await runSql(url, `drop owned by ${role}`, `drop role ${role}`)));
  const address = new URL(url);
  address.username = role;
  const worker = new Worker({ SAGAZ_STORAGE_URL: address.href, SAGAZ_BROKER_URL: brokerOf(context).url });
  await place("orders", "a");
  await waitUntil("it relays", async () => (await worker.metric("outbox_published_events_total")) === 1);
  expect(worker.output).toContain("does not own sagaz's tables");
  worker.signal("SIGTERM");
  expect(await worker.ended()).toBe(0);
});

test("waits for a database that is not there yet, without a word about its password", async () => {
  const worker = new Worker({
    SAGAZ_STORAGE_URL: `postgres://sagaz:${password}@127.0.0.1:1/none`,
    SAGAZ_BROKER_URL: "redis://127.0.0.1:1",
  });
  await waitUntil("it has tried", () => Promise.resolve(worker.output.includes("cannot start yet")));
  const { status, body } = await worker.get("/health/ready");
  expect([status, JSON.parse(body)]).toEqual([503, { status: "down", detail: "it is not started" }]);
  expect(await worker.metric("outbox_pending_events_total")).toBeUndefined();
  worker.signal("SIGTERM");
  expect(await worker.ended()).toBe(0);
  expect(worker.output).not.toContain(password);
});

test("ends with status 78 when its port is taken", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void taken.close());
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const env = {
    SAGAZ_STORAGE_URL: "redis://127.0.0.1:1",
    SAGAZ_BROKER_URL: "redis://127.0.0.1:1",
    SAGAZ_HTTP_PORT: String(port),
  };
  const worker = new Worker(env);
  expect(await worker.ended()).toBe(78);
  expect(worker.output).toMatch(/^SAGAZ_HTTP_HOST and SAGAZ_HTTP_PORT name no place .*EADDRINUSE.*\.\n$/);
});

test("ends with status 78 when a setting cannot be used", async () => {
  const worker = new Worker({ SAGAZ_STORAGE_URL: "oracle://x", SAGAZ_BROKER_URL: "redis://127.0.0.1:1" });
  expect(await worker.ended()).toBe(78);
  expect(worker.output).toContain("SAGAZ_UNKNOWN_STORAGE");
});
