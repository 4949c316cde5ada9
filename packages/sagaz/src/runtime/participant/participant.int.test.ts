import pg from "pg";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { saga } from "../../core/definition/builder.ts";
import { fail } from "../../core/decide/outcome.ts";
import { unchecked } from "../../core/definition/standard-schema.ts";
import { silentLog } from "../../ports/log.ts";
import { PostgreSQLStorage } from "../../storage/postgres/index.ts";
import { participantRules, toTitle } from "../../testing/index.ts";
import type { OpenParticipant } from "../../testing/index.ts";
import { OutboxWorker } from "../delivery/outbox-worker.ts";
import { SagaOrchestrator } from "../orchestrator.ts";
import { Participant } from "./participant.ts";
import type { CommandContext, Commands } from "./participant-commands.ts";

const log = silentLog;

async function openDatabase() {
  const { url } = await createDatabase(inject("postgresUrl"), { name: "participant" });
  const pool = new pg.Pool({ connectionString: url, max: 20 });
  return { pool, storage: new PostgreSQLStorage({ pool }) };
}

const tables = `
  create table shelf (sku text primary key, left_over integer not null check (left_over >= 0));
  create table effects (effect text, direction text);
  insert into shelf values ('a', 1000), ('last', 1)`;

type Taken = CommandContext<{ sku: string }>;

/** Reserves by SQL, so that what is taken back and what is kept is the database's word. */
const commands: Commands = {
  reserve: {
    do: async ({ tx, command, payload: { sku }, publish }: Taken) => {
      await tx("insert into effects values ($1, 'do')", [command.effect]);
      publish({ topic: "inventory-events", type: "inventory.reserved", payload: { sku } });
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

async function startService(broker: InMemoryBroker) {
  const { pool, storage } = await openDatabase();
  await pool.query(tables);
  const beside = () => new InMemoryBroker({ beside: broker });
  const participant = new Participant({ storage, broker: beside(), name: "inventory", commands, log });
  const relay = new OutboxWorker({ storage, broker: beside(), log });
  await participant.start();
  await relay.start();
  const stop = async () => {
    await participant.stop();
    await relay.stop();
    await pool.end();
  };
  const count = async (sql: string, values: unknown[] = []) => (await pool.query(sql, values)).rowCount ?? 0;
  return { pool, stop, count, participant };
}

const open: OpenParticipant = async () => {
  const broker = new InMemoryBroker();
  const { stop, count } = await startService(broker);
  await broker.start();
  const countOf = (effect: string, direction: string) =>
    count("select from effects where effect = $1 and direction = $2", [effect, direction]);
  return {
    broker,
    topic: "inventory-commands",
    replyTopic: async () => `replies-${crypto.randomUUID()}`,
    succeeds: { command: "reserve", payload: { sku: "a" } },
    fails: { command: "reserve", payload: { sku: "nothing" } },
    effects: async (effect) => ({
      done: await countOf(effect, "do"),
      undone: await countOf(effect, "undo"),
    }),
    close: async () => {
      await stop();
      await broker.stop();
    },
  };
};

describe("the contract, on PostgreSQL", () => {
  for (const rule of participantRules) {
    if (rule.needs.includes("crash")) continue;
    test(toTitle(rule, []), () => rule.check(open));
  }
});

const order = saga("order", { input: unchecked<{ sku: string; cents: number }>() })
  .command("reserve", {
    topic: "inventory-commands",
    payload: (ctx) => ({ sku: ctx.input.sku }),
    undo: () => null,
  })
  .step("charge", {
    after: ["reserve"],
    do: (ctx) => {
      if (ctx.input.cents > 100) throw fail("card declined");
    },
  })
  .build();

test("two hundred orders of one thing and another: each is reserved once or taken back, and the shelf says so", async () => {
  const broker = new InMemoryBroker();
  const { pool, stop, count } = await startService(broker);
  onTestFinished(stop);
  const { pool: ownPool, storage } = await openDatabase();
  const beside = () => new InMemoryBroker({ beside: broker });
  const replies = { topic: "order-replies", broker: beside() };
  const orchestrator = new SagaOrchestrator({ storage, sagas: [order], replies, log });
  const relay = new OutboxWorker({ storage, broker: beside(), log });
  await orchestrator.start();
  await relay.start();
  onTestFinished(async () => {
    await orchestrator.stop();
    await relay.stop();
    await ownPool.end();
  });
  const orders = Array.from({ length: 200 }, (_, n) => ({ sku: "a", cents: n % 4 === 0 ? 1_000 : 1 }));
  const handles = await Promise.all(orders.map((one) => orchestrator.sagas.start(order, one)));
  const results = await Promise.all(handles.map((handle) => handle.result()));
  expect(results.filter(({ status }) => status === "completed")).toHaveLength(150);
  expect(results.filter(({ status }) => status === "compensated")).toHaveLength(50);
  expect((await pool.query("select left_over from shelf where sku = 'a'")).rows).toEqual([
    { left_over: 850 },
  ]);
  expect(await count("select from effects where direction = 'do'")).toBe(200);
  expect(await count("select from effects where direction = 'undo'")).toBe(50);
  expect(await count("select from sagaz.saga_participant_inbox")).toBe(200);
});

test("a saga whose reply is waited for has left memory, and its row says what it waits for", async () => {
  const { pool, storage } = await openDatabase();
  const replies = { topic: "order-replies" };
  const orchestrator = new SagaOrchestrator({ storage, sagas: [order], replies, log });
  await orchestrator.start();
  onTestFinished(async () => {
    await orchestrator.stop();
    await pool.end();
  });
  const { id } = await orchestrator.sagas.start(order, { sku: "a", cents: 1 });
  await waitUntil("it is out of memory", () => orchestrator.sagasInFlight === 0);
  const { waitingFor, wakeAt } = await orchestrator.sagas.get(id);
  expect(waitingFor).toBe("reply");
  expect(wakeAt?.getTime()).toBeGreaterThan(Date.now() + 6 * 86_400_000);
  await orchestrator.sagas.reply({ sagaId: id, step: "reserve", direction: "do", round: 0, outcome: "done" });
  expect(await orchestrator.sagas.result(id)).toMatchObject({ status: "completed" });
});
