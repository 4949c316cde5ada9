import pg from "pg";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { answering, HttpDestination } from "../../../../../tools/servers/http-destination.ts";
import type { Posted } from "../../../../../tools/servers/http-destination.ts";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { HttpInlet, HttpOutlet } from "../../brokers/http/index.ts";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { fail } from "../../core/decide/outcome.ts";
import { saga } from "../../core/definition/builder.ts";
import { unchecked } from "../../core/definition/standard-schema.ts";
import { isSagaError } from "../../core/errors.ts";
import type { ReplyMessage } from "../../core/participant/messages.ts";
import { silentLog } from "../../ports/log.ts";
import { PostgreSQLStorage } from "../../storage/postgres/index.ts";
import { participantRules, toTitle } from "../../testing/index.ts";
import type { OpenParticipant } from "../../testing/index.ts";
import { DeadLetters } from "../delivery/dead-letters.ts";
import { OptimisticPublisher } from "../delivery/optimistic-publisher.ts";
import { Outbox } from "../delivery/outbox.ts";
import { OutboxWorker } from "../delivery/outbox-worker.ts";
import type { OutboxWorkerOptions } from "../delivery/outbox-worker.ts";
import { SagaOrchestrator } from "../orchestrator.ts";
import { Participant } from "./participant.ts";
import type { CommandContext, Commands } from "./participant-commands.ts";

const log = silentLog;

async function openDatabase() {
  const { url } = await createDatabase(inject("postgresUrl"), { name: "over_http" });
  const pool = new pg.Pool({ connectionString: url, max: 20 });
  onTestFinished(() => pool.end());
  return { pool, storage: new PostgreSQLStorage({ pool }) };
}

async function openDestination(...answer: Parameters<typeof HttpDestination.open>) {
  const destination = await HttpDestination.open(...answer);
  onTestFinished(() => destination.kill());
  return destination;
}

const to = ({ origin }: HttpDestination) => ({ [origin]: { headers: { authorization: "Bearer secret" } } });

const tables = `
  create table shelf (sku text primary key, left_over integer not null check (left_over >= 0));
  create table effects (effect text, direction text);
  insert into shelf values ('a', 1000)`;

type Taken = CommandContext<{ sku: string }>;

const commands: Commands = {
  reserve: {
    do: async ({ tx, command, payload: { sku } }: Taken) => {
      await tx("insert into effects values ($1, 'do')", [command.effect]);
      const rows = await tx("update shelf set left_over = left_over - 1 where sku = $1 returning sku", [sku]);
      if (rows.length === 0) throw fail(`there is no "${sku}"`);
      return { sku };
    },
    undo: async ({ tx, command, result: { sku } }: Taken & { result: { sku: string } }) => {
      await tx("insert into effects values ($1, 'undo')", [command.effect]);
      await tx("update shelf set left_over = left_over + 1 where sku = $1", [sku]);
    },
  },
};

/** A service without a broker: it is asked at a URL, and answers to one. */
async function startService({ replies, own = commands }: { replies: HttpDestination; own?: Commands }) {
  const { pool, storage } = await openDatabase();
  await pool.query(tables);
  const server = await openDestination();
  const start = async () => {
    const inlet = new HttpInlet();
    const participant = new Participant({ storage, broker: inlet, name: "inventory", commands: own, log });
    const outlet = new HttpOutlet({ destinations: to(replies) });
    const relay = new OutboxWorker({ storage, broker: outlet, log });
    await participant.start();
    await relay.start();
    server.answer = async ({ headers, body }, response) => {
      const answer = await inlet.receive("inventory-commands", { headers, body });
      response.writeHead(answer.status, answer.headers).end(answer.body);
    };
    return async () => {
      await participant.stop();
      await relay.stop();
    };
  };
  let stop = await start();
  onTestFinished(() => stop());
  const crash = async () => {
    await server.kill();
    await stop();
    stop = await start();
    await server.start();
  };
  const count = async (effect: string, direction: string) =>
    (await pool.query("select from effects where effect = $1 and direction = $2", [effect, direction]))
      .rowCount ?? 0;
  return { pool, storage, server, count, crash, topic: `${server.origin}/commands` };
}

const open: OpenParticipant = async () => {
  const inlet = new HttpInlet();
  await inlet.start();
  const replies = await openDestination(async ({ path, headers, body }, response) => {
    const answer = await inlet.receive(`${replies.origin}${path}`, { headers, body });
    response.writeHead(answer.status, answer.headers).end(answer.body);
  });
  const service = await startService({ replies });
  const outlet = new HttpOutlet({ destinations: to(service.server) });
  await outlet.start();
  return {
    broker: outlet,
    replies: inlet,
    topic: service.topic,
    replyTopic: async () => `${replies.origin}/replies/${crypto.randomUUID()}`,
    succeeds: { command: "reserve", payload: { sku: "a" } },
    fails: { command: "reserve", payload: { sku: "nothing" } },
    effects: async (effect) => ({
      done: await service.count(effect, "do"),
      undone: await service.count(effect, "undo"),
    }),
    crash: service.crash,
    close: async () => {
      await outlet.stop();
      await inlet.stop();
    },
  };
};

describe("the contract, over HTTP and on PostgreSQL", () => {
  for (const rule of participantRules) test(toTitle(rule, []), () => rule.check(open));
});

interface Order {
  readonly sku: string;
  readonly cents: number;
}

const orderOf = (topic: string, more: { readonly replyTimeoutMs?: number } = {}) =>
  saga("order", { input: unchecked<Order>() })
    .command("reserve", {
      topic,
      payload: (ctx) => ({ sku: ctx.input.sku }),
      undo: () => null,
      ...more,
    })
    .step("charge", {
      after: ["reserve"],
      do: (ctx) => {
        if (ctx.input.cents > 100) throw fail("card declined");
      },
    })
    .build();

type OrderSaga = ReturnType<typeof orderOf>;

/** A server that takes replies and hands them in, as an application does in its own framework. */
async function takeReplies() {
  const server = await openDestination(answering(503));
  const handTo = ({ sagas }: SagaOrchestrator) => {
    server.answer = async ({ body }, response) => {
      try {
        await sagas.reply(JSON.parse(body));
        response.writeHead(204).end();
      } catch (error) {
        const isFinal = isSagaError(error) && !error.retryable;
        response.writeHead(isFinal ? 422 : 503).end(String(error));
      }
    };
  };
  return { server, handTo, url: `${server.origin}/replies` };
}

async function startOrders(
  order: OrderSaga,
  {
    replies,
    inventory,
    timeoutMs = 2_000,
    ...options
  }: {
    replies: Awaited<ReturnType<typeof takeReplies>>;
    inventory: HttpDestination;
    timeoutMs?: number;
  } & Partial<OutboxWorkerOptions>,
) {
  const { pool, storage } = await openDatabase();
  const orchestrator = new SagaOrchestrator({ storage, sagas: [order], replies: { url: replies.url }, log });
  const outlet = new HttpOutlet({ destinations: to(inventory), timeoutMs });
  const relay = new OutboxWorker({ storage, broker: outlet, log, leaseMs: 1_000, ...options });
  await orchestrator.start();
  replies.handTo(orchestrator);
  await relay.start();
  onTestFinished(async () => {
    await orchestrator.stop();
    await relay.stop();
  });
  return { pool, storage, orchestrator, relay, sagas: orchestrator.sagas };
}

/** Trouble in turn: of every so many requests each kind meets one. */
function troubled(server: HttpDestination): { readonly met: Record<string, number> } {
  const { answer } = server;
  const met = { "cut before": 0, "cut after": 0, "503": 0, well: 0 };
  let n = 0;
  const note = (what: keyof typeof met) => void (met[what] += 1);
  server.answer = async (posted, response) => {
    n += 1;
    if (n % 8 === 1) return (note("cut before"), response.destroy());
    if (n % 8 === 3) return (note("503"), answering(503, { "retry-after": "0" })(posted, response));
    if (n % 8 === 5) {
      // It is taken, and nobody hears of that.
      note("cut after");
      const deaf = { writeHead: () => deaf, end: () => response.destroy() } as unknown as typeof response;
      return answer(posted, deaf);
    }
    note("well");
    return answer(posted, response);
  };
  return { met };
}

test("sixty orders through lost requests, lost answers, 503s and servers that die: each is done once, or undone", async () => {
  const replies = await takeReplies();
  const { pool, server, topic } = await startService({ replies: replies.server });
  const order = orderOf(topic);
  const { sagas } = await startOrders(order, { replies, inventory: server });
  const toInventory = troubled(server);
  const back = troubled(replies.server);
  const orders = Array.from({ length: 60 }, (_, n) => ({ sku: "a", cents: n % 4 === 0 ? 1_000 : 1 }));
  const handles = await Promise.all(orders.map((one) => sagas.start(order, one)));
  const results = Promise.all(handles.map((handle) => handle.result()));
  for (const dying of [server, replies.server, server]) {
    const before = dying.posted.length;
    await waitUntil("some have come", () => dying.posted.length > before + 5, { withinMs: 30_000 });
    await dying.kill();
    await dying.start();
  }
  const statuses = (await results).map(({ status }) => status);
  expect(statuses.filter((status) => status === "completed")).toHaveLength(45);
  expect(statuses.filter((status) => status === "compensated")).toHaveLength(15);
  expect((await pool.query("select left_over from shelf")).rows).toEqual([{ left_over: 955 }]);
  const effects = await pool.query(
    "select direction, count(*)::integer, count(distinct effect)::integer as of from effects group by 1 order by 1",
  );
  expect(effects.rows).toEqual([
    { direction: "do", count: 60, of: 60 },
    { direction: "undo", count: 15, of: 15 },
  ]);
  for (const { met } of [toInventory, back]) expect(Math.min(...Object.values(met))).toBeGreaterThan(3);
  expect(server.posted[0]?.headers).toMatchObject({
    authorization: "Bearer secret",
    "ce-type": "sagaz.command.v1",
  });
}, 120_000);

test("a relay that is fenced between the request and its note asks again, under the same id, and it is done once", async () => {
  const replies = await takeReplies();
  const { server, topic, count } = await startService({ replies: replies.server });
  const order = orderOf(topic);
  const { pool, sagas } = await startOrders(order, { replies, inventory: server });
  const { answer } = server;
  server.answer = async (posted, response) => {
    server.answer = answer;
    await pool.query(
      "select sagaz.fence_worker(w.epoch, true, null) from sagaz.saga_workers w where w.relays",
    );
    return answer(posted, response);
  };
  const { id, result } = await sagas.start(order, { sku: "a", cents: 1 });
  expect(await result()).toMatchObject({ status: "completed" });
  await waitUntil("it has come again", () => server.posted.length === 2);
  const ids = server.posted.map(({ headers }) => headers["ce-id"]);
  expect(ids[0]).toBe(ids[1]);
  expect(await count(`${id}/reserve`, "do")).toBe(1);
});

test("an answer that is slower than the relay is patient: the command comes again, and is done once", async () => {
  const replies = await takeReplies();
  const { server, topic, count } = await startService({ replies: replies.server });
  const order = orderOf(topic);
  const { sagas } = await startOrders(order, { replies, inventory: server, timeoutMs: 100 });
  const { answer } = server;
  server.answer = async (posted, response) => {
    await waitUntil("it has come twice", () => server.posted.length > 1);
    return answer(posted, response);
  };
  const { id, result } = await sagas.start(order, { sku: "a", cents: 1 });
  expect(await result()).toMatchObject({ status: "completed" });
  expect(await count(`${id}/reserve`, "do")).toBe(1);
});

test("a refused command is a dead letter for the record: its saga hears of it, asks again, and it is done once", async () => {
  const replies = await takeReplies();
  const { server, topic, count } = await startService({ replies: replies.server });
  const order = orderOf(topic);
  const started = await startOrders(order, { replies, inventory: server, attemptsMax: 1 });
  const { sagas, storage } = started;
  const { answer } = server;
  server.answer = answering(400, {}, "not like this");
  const { id, result } = await sagas.start(order, { sku: "a", cents: 1 });
  const letters = new DeadLetters({ storage });
  const [letter] = await waitUntil("it is given up", async () => {
    const page = await letters.list();
    return page.letters.length > 0 && page.letters;
  });
  server.answer = answer;
  expect(letter).toMatchObject({ code: "SAGAZ_MESSAGE_REFUSED", event: { sagaId: id }, redrivenBy: "saga" });
  expect(letter?.error).toContain("400: not like this");
  expect(await letters.redrive([letter!.id], { actor: "ann" })).toEqual([]);
  expect(await result()).toMatchObject({ status: "completed" });
  expect(await count(`${id}/reserve`, "do")).toBe(1);
});

test("a reply twice, one for an old round, one that nobody waits for, and what is none", async () => {
  const replies = await takeReplies();
  const { server, topic } = await startService({ replies: replies.server });
  const order = orderOf(topic);
  const { sagas } = await startOrders(order, { replies, inventory: server });
  const { id, result } = await sagas.start(order, { sku: "a", cents: 1 });
  expect(await result()).toMatchObject({ status: "completed" });
  const [reply] = replies.server.posted as [Posted];
  const send = async (more: Partial<ReplyMessage> | string) => {
    const body = typeof more === "string" ? more : JSON.stringify({ ...JSON.parse(reply.body), ...more });
    return (await fetch(replies.url, { method: "POST", body })).status;
  };
  expect(await send({})).toBe(204);
  expect(await send({})).toBe(204);
  expect(await send({ outcome: "failed", result: undefined, error: { message: "no" } })).toBe(204);
  expect(await send({ round: 7 })).toBe(422);
  expect(await send({ step: "charge" })).toBe(422);
  expect(await send({ sagaId: crypto.randomUUID() })).toBe(422);
  expect(await send('{"outcome":"done"}')).toBe(422);
  expect(await sagas.get(id)).toMatchObject({ status: "completed" });
});

test("a handler that keeps throwing: the reply says that nobody knows, and the request is answered", async () => {
  const replies = await takeReplies();
  const own: Commands = { reserve: { do: () => Promise.reject(new Error("it cannot")) } };
  const { server, topic } = await startService({ replies: replies.server, own });
  const order = saga("order")
    .command("reserve", { topic, payload: () => null, retry: { maxAttempts: 1 }, onUnknown: "park" })
    .build();
  const { sagas } = await startOrders(order as unknown as OrderSaga, { replies, inventory: server });
  const { id } = await sagas.start(order, null);
  await waitUntil("it is parked", async () => (await sagas.get(id)).status === "parked", {
    withinMs: 30_000,
  });
  expect(JSON.parse(replies.server.posted[0]?.body ?? "")).toMatchObject({ outcome: "unknown" });
});

const dropSlot = `select pg_drop_replication_slot(slot_name) from pg_replication_slots
  where database = current_database() and not active`;

describe("events for URLs on PostgreSQL", () => {
  async function openOutbox(options: Partial<OutboxWorkerOptions> = {}) {
    const { pool, storage } = await openDatabase();
    await storage.start();
    onTestFinished(async () => {
      await storage.stop();
      await pool.query(dropSlot);
    });
    const [hole, well] = [await openDestination(() => {}), await openDestination()];
    const memory = new InMemoryBroker();
    await memory.start();
    const got: string[] = [];
    const handle = (some: readonly { payload: Uint8Array }[]) =>
      void got.push(...some.map(({ payload }) => new TextDecoder().decode(payload)));
    await memory.subscribe({ group: "g", topics: ["orders"], unackedMax: 10_000, handle });
    const beside = new InMemoryBroker({ beside: memory });
    const broker = new HttpOutlet({
      destinations: { ...to(hole), ...to(well) },
      broker: beside,
      timeoutMs: 500,
    });
    const relay = new OutboxWorker({ storage, broker, log, leaseMs: 1_000, ...options });
    onTestFinished(() => relay.stop());
    const publisher = new OptimisticPublisher({
      storage,
      broker: new InMemoryBroker({ beside: memory }),
      log,
    });
    const writeBy = async (outbox: Outbox, ...ns: readonly number[]) =>
      outbox.transaction(pool, (_, add) => {
        for (const n of ns)
          for (const topic of [`${hole.origin}/`, `${well.origin}/`, "orders"])
            add({ topic, type: "t", key: "k", payload: n });
      });
    const write = (...ns: readonly number[]) => writeBy(new Outbox({ storage }), ...ns);
    const untilSent = () =>
      waitUntil("all is sent", async () => (await storage.outbox.backlog()).pending === 0, {
        withinMs: 30_000,
      });
    const posted = (destination: HttpDestination) => [...new Set(destination.posted.map(({ body }) => body))];
    return { pool, storage, hole, well, got, relay, publisher, write, writeBy, untilSent, posted };
  }

  test("from the log: what was there before and what comes, each way by itself, and a black hole holds up nothing", async () => {
    const { hole, well, got, relay, write, untilSent, posted } = await openOutbox({ delivery: "cdc" });
    await write(0, 1);
    await relay.start();
    // A slot is there when all transactions of the server have ended that ran when it was asked for, other files' too.
    await waitUntil("it reads the log", () => relay.delivery.mode === "cdc", { withinMs: 45_000 });
    await write(2, 3);
    const wanted = ["0", "1", "2", "3"];
    await waitUntil("the others are through", () => got.length === 4 && well.posted.length >= 4, {
      withinMs: 20_000,
    });
    expect([got, posted(well)]).toEqual([wanted, wanted]);
    expect(hole.posted.length).toBeGreaterThan(0);
    await waitUntil("health tells of it", async () => (await relay.health()).detail !== undefined);
    expect(await relay.health()).toMatchObject({ isUp: true });
    hole.answer = answering(202);
    await untilSent();
    expect(posted(hole)).toEqual(wanted);
    expect(relay.delivery.mode).toBe("cdc");
    expect(relay.counts).toMatchObject({ refused: 0, dead: 0 });
  });

  test("an optimistic publisher leaves them to the relays", async () => {
    const { relay, publisher, storage, writeBy, hole, well, untilSent, posted, got } = await openOutbox();
    hole.answer = answering(202);
    await relay.start();
    await publisher.start();
    onTestFinished(() => publisher.stop());
    await writeBy(new Outbox({ storage, publisher }), 1, 2);
    await untilSent();
    await waitUntil("the broker's are there", () => got.length === 2);
    expect([posted(hole), posted(well)]).toEqual([
      ["1", "2"],
      ["1", "2"],
    ]);
    expect(publisher.counts).toEqual({ sent: 2, released: 4 });
  });

  test("are refused under Debezium, which would lose them", async () => {
    const { pool, storage } = await openOutbox();
    // As set_delivery() does, but for the slot that it wants.
    await pool.query("update sagaz.saga_delivery set mode = 'debezium'");
    await pool.query("alter table sagaz.saga_outbox_pending enable trigger leave_to_debezium");
    const outbox = new Outbox({ storage });
    const adding = (topic: string) =>
      outbox.transaction(pool, (_, add) => add({ topic, type: "t", payload: {} }));
    await expect(adding("https://a.example.com/")).rejects.toThrow("nothing is sent by HTTP");
    await adding("orders");
  });
});
