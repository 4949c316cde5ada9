import { Redis } from "ioredis";
import { expect, inject, onTestFinished, test } from "vitest";
import { removeAll } from "../../../../../tests/engine/redis-keys.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { RedisBroker } from "../../brokers/redis/index.ts";
import { ClassicSaga, ConsumerInbox, InboxWorker, OutboxWorker, SagaOrchestrator } from "../../index.ts";
import { silentLog } from "../../ports/log.ts";
import { RedisStorage } from "./index.ts";

type Skip = (reason: string) => never;

async function open(skip: Skip) {
  const server = inject("redis");
  if ("missing" in server) return skip(server.missing);
  const redis = new Redis(server.url);
  const name = `delivery-${crypto.randomUUID()}`;
  const storage = new RedisStorage({ client: redis, name });
  await storage.start();
  const broker = new RedisBroker({ client: redis, prefix: `{${name}:0}:` });
  await broker.start();
  onTestFinished(async () => {
    await broker.stop();
    await storage.stop();
    await removeAll(redis, name);
    redis.disconnect();
  });
  return { storage, broker };
}

interface Alive {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Started now, and stopped when the test has finished. */
async function run<One extends Alive>(one: One): Promise<One> {
  await one.start();
  onTestFinished(() => one.stop());
  return one;
}

test("what steps publish is relayed in order, handled once, and answered by what the handlers publish", async ({
  skip,
}) => {
  const { storage, broker } = await open(skip);
  const log = silentLog;
  const order = new ClassicSaga({ name: "order", sequential: true })
    .addStep("place", (ctx) =>
      ctx.publish({ topic: "orders", key: "k", type: "order.placed", payload: ctx.input }),
    )
    .addStep("pay", (ctx) => ctx.publish({ topic: "orders", type: "order.paid", payload: ctx.input }));
  const handled: unknown[] = [];
  const answers: unknown[] = [];
  const worker = { storage, broker, log };
  await run(
    new InboxWorker({
      ...worker,
      consumerName: "shipping",
      topics: ["orders"],
      handle: (payload, { message, publish }) => {
        handled.push(`${message.eventType} ${JSON.stringify(payload)}`);
        publish({ topic: "shipments", type: "shipped", payload });
      },
    }),
  );
  await run(
    new InboxWorker({
      ...worker,
      consumerName: "answers",
      topics: ["shipments"],
      handle: (payload) => void answers.push(payload),
    }),
  );
  await run(new OutboxWorker({ ...worker, leaseMs: 2_000 }));
  const orchestrator = await run(new SagaOrchestrator({ storage, sagas: [order], log }));
  const handles = [];
  for (let n = 0; n < 50; n++) handles.push(await orchestrator.sagas.start(order, { n }));
  await run(new OutboxWorker({ ...worker, leaseMs: 2_000 })); // shares the shards with the first
  for (const handle of handles) expect((await handle.result()).status).toBe("completed");
  await waitUntil("all are answered", () => answers.length >= 100, { withinMs: 30_000 });
  expect(handled).toHaveLength(100);
  expect(answers).toHaveLength(100);
  await waitUntil("nothing waits", async () => (await storage.outbox.backlog()).pending === 0);
});

test("a handler that fails leaves no note and no event; one that is redelivered meanwhile waits", async ({
  skip,
}) => {
  const { storage } = await open(skip);
  const inbox = new ConsumerInbox({ storage, consumerName: "billing" });
  const message = { eventId: "e-1", sourceTopic: "orders", eventType: "order.placed", payload: {} };
  const event = { topic: "bills", type: "billed", payload: {} };
  const failing = inbox.processIdempotent(message, (_, { publish }) => {
    publish(event);
    throw new Error("no");
  });
  await expect(failing).rejects.toMatchObject({ code: "SAGAZ_HANDLER_FAILED" });
  expect((await storage.outbox.backlog()).pending).toBe(0);
  let runs = 0;
  const both = [1, 2].map(() =>
    inbox.processIdempotent(message, async (_, { publish }) => {
      publish(event);
      return ++runs;
    }),
  );
  const results = await Promise.all(both);
  expect(results.filter(({ isDuplicate }) => isDuplicate)).toHaveLength(1);
  expect([runs, ...results.map(({ result }) => result)]).toEqual([1, 1, 1]);
  expect((await storage.outbox.backlog()).pending).toBe(1);
  const sql = inbox.processIdempotent({ ...message, eventId: "e-2" }, (_, { tx }) => tx("select 1"));
  await expect(sql).rejects.toMatchObject({ code: "SAGAZ_CANNOT" });
});

test("who loses the lock on a message writes nothing: another one has done it meanwhile", async ({
  skip,
}) => {
  const { storage } = await open(skip);
  const request = {
    consumerName: "billing",
    messages: [{ eventId: "e-1", sourceTopic: "orders", eventType: "order.placed" }],
    idleMsMax: 60_000,
  };
  const server = inject("redis");
  const redis = new Redis("url" in server ? server.url : "");
  onTestFinished(() => redis.disconnect());
  const late = storage.inbox.process(request, async () => {
    // As if this process had been frozen for longer than its lock lives.
    for (const key of await redis.keys("{delivery-*}:lock:*:e-1")) await redis.del(key);
    await storage.inbox.process(request, async () => ['"first"']);
    return ['"late"'];
  });
  await expect(late).rejects.toMatchObject({ code: "SAGAZ_STORAGE_UNAVAILABLE" });
  const never = () => Promise.reject(new Error("it was done"));
  expect(await storage.inbox.process(request, never)).toEqual([{ isDuplicate: true, result: '"first"' }]);
});
