import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import type { AppendEntry, EventRow, RowChange } from "sagaz";
import { RedisStorage } from "sagaz/redis";
import { findRedis, startRedis } from "../../tools/servers/redis.ts";
import type { Bench } from "./bench.ts";
import { redisBatch, type Plan } from "./plan.ts";

const definition = { sagaName: "order", version: 1, graphHash: "60bc0bad918e1584" };
const input =
  '"input":{"orderId":"2fc3b44f-b718-44d0-8010-524a6a4fa5e2","item":"espresso-machine","quantity":2,"amount":499.9}';
const identity = '"name":"order","version":1,"graphHash":"60bc0bad918e1584"';
const started = toEvent("saga_started", `{${identity},${input},"headers":{},"admitted":true}`);

/** What a saga of three steps writes, entry by entry, as the engine writes it. */
const story: readonly (readonly EventRow[])[] = [
  [started],
  [toEvent("step_done", '{"result":{"reservationId":"r-4711","item":"espresso-machine"}}', "reserve")],
  [toEvent("step_done", '{"result":{"paymentId":"p-4711","amount":499.9}}', "charge")],
  [toEvent("step_done", '{"result":{"tracking":"t-4711"}}', "ship"), toEvent("saga_completed", "{}")],
];

/** Writes a batch: of each saga what comes next in its story. */
type Write = (sagas: readonly Place[]) => Promise<unknown>;

/** What of the benchmark this takes. */
export interface RedisBench extends Pick<Bench, "samples" | "progress"> {
  readonly plan: Pick<Plan, "rounds" | "ceilingMs" | "compileMs">;
}

/** A saga, and how far it is. */
interface Place {
  readonly sagaId: string;
  readonly at: number;
}

/**
 * Journal rows a second on a Redis that syncs its file every second: by our appends, with everything that they check and index,
 * and by bare pipelined RPUSH of the same texts to the same lists.
 */
export async function measureRedis({ plan, samples, progress }: RedisBench): Promise<void> {
  const found = await findRedis({ own: true });
  if ("missing" in found) return progress(`Redis is left out: ${found.missing}`);
  // The file would be rewritten at any time, and that in some parts only.
  const server = await startRedis(found, { settings: { "auto-aof-rewrite-percentage": 0 } });
  const client = new Redis(server.url);
  const storage = new RedisStorage({ client });
  await storage.start();
  const ways: Way[] = [
    { system: "sagaz", prepare: () => byAppends(storage) },
    { system: "redis", prepare: async () => byPushes(client) },
  ];
  try {
    for (const way of ways) await measure(way, { client, forMs: plan.compileMs });
    for (let round = 0; round < plan.rounds; round += 1) {
      for (const way of ways) {
        progress(`round ${round + 1}/${plan.rounds}: journal rows on Redis, ${way.system}`);
        const figures = await measure(way, { client, forMs: plan.ceilingMs });
        const subject = { inFlight: redisBatch.sagas, system: way.system };
        for (const { value, ...figure } of figures) samples.add({ ...subject, ...figure }, value);
      }
      ways.reverse();
    }
  } finally {
    await storage.stop();
    client.disconnect();
    await server.stop();
  }
}

/** How rows are written. */
interface Way {
  readonly system: string;
  readonly prepare: () => Promise<Write>;
}

interface Figure {
  readonly measure: string;
  readonly unit: string;
  readonly value: number;
}

async function measure(
  { prepare }: Way,
  { client, forMs }: { readonly client: Redis; readonly forMs: number },
): Promise<readonly Figure[]> {
  await client.flushall();
  const write = await prepare();
  const [serverCpu, nodeCpu] = [await cpuOf(client), process.cpuUsage()];
  const { rows, seconds } = await writeFor(forMs, write);
  const { user, system } = process.cpuUsage(nodeCpu);
  const used = (await cpuOf(client)) - serverCpu;
  return [
    { measure: "redis_rows_per_s", unit: "1/s", value: rows / seconds },
    { measure: "node_cpu_per_redis_row", unit: "µs", value: (user + system) / rows },
    { measure: "redis_cpu_per_row", unit: "µs", value: (used * 1e6) / rows },
  ];
}

async function writeFor(
  forMs: number,
  write: Write,
): Promise<{ readonly rows: number; readonly seconds: number }> {
  const startedAt = performance.now();
  let rows = 0;
  const stream = async () => {
    let sagas = Array.from({ length: redisBatch.sagas }, begin);
    while (performance.now() - startedAt < forMs) {
      await write(sagas);
      for (const { at } of sagas) rows += eventsAt(at).length;
      sagas = sagas.map(({ sagaId, at }) => (at + 1 < story.length ? { sagaId, at: at + 1 } : begin()));
    }
  };
  await Promise.all(Array.from({ length: redisBatch.atOnce }, stream));
  return { rows, seconds: (performance.now() - startedAt) / 1000 };
}

/** By the storage, as a worker does. */
async function byAppends(storage: RedisStorage): Promise<Write> {
  const graph = "{}";
  const worker = { workerName: "bench", leaseMs: 600_000, definitions: [{ ...definition, graph }] };
  const { epoch } = await storage.leases.register(worker);
  return (sagas) => storage.journal.append({ epoch, entries: sagas.map(toEntry) });
}

/** By itself: the same texts at the end of the same lists, and nothing else. */
function byPushes(client: Redis): Write {
  return async (sagas) => {
    const pipeline = client.pipeline();
    const now = Date.now();
    for (const { sagaId, at } of sagas) {
      const texts = eventsAt(at).map(({ type, step, data }) => `${now} ${type}\0:${step ?? ""}\0${data}`);
      pipeline.rpush(`{sagaz:0}:journal:${sagaId}`, ...texts);
    }
    const answers = await pipeline.exec();
    if (answers?.length !== sagas.length) throw new Error("Not all was written.");
  };
}

const ended: RowChange = {
  status: "completed",
  waitingFor: null,
  parkedReason: null,
  paused: false,
  error: null,
  output: null,
  finished: true,
  release: { wakeAt: null, mailSeq: 0 },
};

function toEntry({ sagaId, at }: Place): AppendEntry {
  const events = eventsAt(at);
  const none = { spawns: [], mails: [], readMails: [], outbox: [] };
  const row = at === story.length - 1 ? ended : undefined;
  return { sagaId, firstSeq: at + 1, events, start: at === 0 ? toStart(sagaId) : undefined, row, ...none };
}

function toStart(sagaId: string): AppendEntry["start"] {
  return {
    sagaId,
    ...definition,
    tenantId: null,
    correlationId: null,
    owned: true,
    wakeAt: null,
    idempotencyKey: null,
    inputHash: null,
    attributes: null,
    parentId: null,
    started,
  };
}

/** A new saga; its id begins with the time. */
function begin(): Place {
  const time = Date.now().toString(16).padStart(12, "0");
  return { sagaId: `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`, at: 0 };
}

function eventsAt(at: number): readonly EventRow[] {
  return story[at] ?? [];
}

function toEvent(type: string, data: string, step: string | null = null): EventRow {
  return { type, step, data };
}

/** Seconds that the server has computed. */
async function cpuOf(client: Redis): Promise<number> {
  const info = await client.info("cpu");
  const seconds = (name: string) => Number(new RegExp(`used_cpu_${name}:([\\d.]+)`).exec(info)?.[1]);
  return seconds("user") + seconds("sys");
}
