import { expect, test } from "vitest";
import { saga as build } from "../core/definition/builder.ts";
import { unchecked } from "../core/definition/standard-schema.ts";
import { fail } from "../core/decide/outcome.ts";
import type { QueryStore, SagaRow, SagaStorage } from "../ports/storage.ts";
import { Stage } from "../../../../tests/engine/stage.ts";
import { rebuildProjections } from "./rebuild.ts";

const by = { actor: "ann", reason: "ticket" };
type Input = "done" | "undone" | "parked" | "waits" | "paused" | "later" | "excepted";

const child = build("rebuilt-child")
  .step("x", { do: () => 1, undo: () => {} })
  .build();
const saga = build("rebuilt", { input: unchecked<Input>() })
  .child("child", { saga: child, input: () => null })
  .step("a", {
    after: ["child"],
    do: () => "a",
    undo: (ctx) => {
      if (ctx.input === "parked" || ctx.input === "excepted") throw fail("cannot undo");
    },
  })
  .signal("go", { after: ["a"] })
  .step("b", {
    after: ["go"],
    do: (ctx) => {
      if (ctx.input !== "done") throw fail("no");
    },
  })
  .build({ output: (results) => ({ a: results.a }) });

/** One saga in every state that a row can show. */
async function everyState(stage: Stage) {
  const process = await stage.process(saga);
  const { sagas } = process;
  const start = async (input: Input, options = {}) => (await stage.start(process, saga, input, options)).id;
  const go = async (id: string) => {
    await stage.drive(sagas.signal(id, "go"));
    await stage.drive(sagas.result(id, { orParked: true }));
  };
  const attributes = { attributes: { shop: "x" }, tenantId: "t", correlationId: "c" };
  await go(await start("done", attributes));
  await go(await start("undone"));
  await go(await start("parked"));
  await start("waits");
  await start("later", { startAt: new Date(stage.clock.now() + 86_400_000) });
  const paused = await start("paused");
  await stage.drive(sagas.pause(paused, by));
  const excepted = await start("excepted");
  await go(excepted);
  await stage.drive(sagas.skip(excepted, "a", by));
  await stage.drive(sagas.result(excepted));
  await stage.clock.advance(30_000);
  return process;
}

async function rowsOf(stage: Stage): Promise<SagaRow[]> {
  const { sagas } = await stage.clock.track(stage.storage.queries.list({ limit: 1_000 }));
  return sagas.toSorted((a, b) => (a.sagaId < b.sagaId ? -1 : 1));
}

/** The stage's storage with some of its reads replaced. */
function withReads(stage: Stage, reads: Partial<QueryStore>): SagaStorage {
  const { storage } = stage;
  const queries = new Proxy(storage.queries, {
    get: (target, name) => {
      const method: unknown = Reflect.get(reads, name) ?? Reflect.get(target, name);
      return typeof method === "function" ? (method.bind(target) as unknown) : method;
    },
  });
  const { name, can, deadLetters, flows, inbox, journal, leases, mailbox, outbox, participants, upkeep } =
    storage;
  const start = () => storage.start();
  const stop = () => storage.stop();
  return {
    name,
    can,
    deadLetters,
    flows,
    participants,
    inbox,
    journal,
    leases,
    mailbox,
    outbox,
    upkeep,
    queries,
    start,
    stop,
    listen: () => () => {},
  };
}

/** What a journal alone can tell of a row. */
function told(row: SagaRow): SagaRow {
  const waitingFor = row.status === "running" && !row.paused ? null : row.waitingFor;
  return { ...row, waitingFor, owner: null, wakeAt: null, adoptions: 0, updatedAt: 0 };
}

test("rows that were lost come back as they were, and what is unfinished goes on", async () => {
  await using stage = await Stage.open();
  const process = await everyState(stage);
  await process.stop();
  const before = await rowsOf(stage);
  expect(new Set(before.map(({ status }) => status))).toEqual(
    new Set(["completed", "compensated", "compensated_with_exceptions", "parked", "pending", "running"]),
  );
  await stage.room.loseRows();
  expect(await rowsOf(stage)).toEqual([]);
  const seen: number[] = [];
  const report = await rebuildProjections(stage.storage, {
    pageSize: 3,
    onProgress: ({ rebuilt }) => seen.push(rebuilt),
  });
  expect(report).toEqual({ rebuilt: before.length, broken: [] });
  expect(seen.at(-1)).toBe(before.length);
  expect(seen.length).toBe(Math.ceil(before.length / 3));
  expect((await rowsOf(stage)).map(told)).toEqual(before.map(told));
  const again = await stage.process(saga);
  const waits = before.find(
    ({ status, paused, sagaName }) => status === "running" && !paused && sagaName === "rebuilt",
  )!;
  await stage.drive(again.sagas.signal(waits.sagaId, "go"));
  expect(await stage.drive(again.sagas.result(waits.sagaId))).toMatchObject({ status: "compensated" });
});

test("rows that are there keep their owner and their wake-up, and say what they said", async () => {
  await using stage = await Stage.open();
  await everyState(stage);
  const before = await rowsOf(stage);
  await rebuildProjections(stage.storage);
  await rebuildProjections(stage.storage);
  const after = await rowsOf(stage);
  const withoutTime = (row: SagaRow) => ({ ...row, updatedAt: 0 });
  expect(after.map(withoutTime)).toEqual(before.map(withoutTime));
});

test("a saga that goes on meanwhile is read again", async () => {
  await using stage = await Stage.open();
  const { queries } = stage.storage;
  const process = await stage.process(saga);
  const { id } = await stage.start(process, saga, "undone");
  await stage.clock.advance(30_000);
  let interfered = false;
  const storage = withReads(stage, {
    find: async (sagaId) => {
      if (sagaId === id && !interfered) {
        interfered = true; // its journal was just read
        await stage.drive(process.sagas.signal(id, "go"));
        await stage.drive(process.sagas.result(id));
      }
      return queries.find(sagaId);
    },
  });
  expect((await rebuildProjections(storage)).broken).toEqual([]);
  expect(interfered).toBe(true);
  expect(await stage.clock.track(queries.find(id))).toMatchObject({ status: "compensated" });
});

test("a journal that breaks a rule is reported, and stops no other", async () => {
  await using stage = await Stage.open();
  await everyState(stage);
  const { queries } = stage.storage;
  const [broken, ...others] = await rowsOf(stage);
  const storage = withReads(stage, {
    journal: async (sagaId) => {
      const isBroken = sagaId === broken!.sagaId;
      const journal = await queries.journal(sagaId);
      return journal.map((event) => ({ ...event, seq: event.seq + Number(isBroken) }));
    },
  });
  const report = await rebuildProjections(storage);
  expect(report.rebuilt).toBe(others.length);
  expect(report.broken).toMatchObject([
    { sagaId: broken!.sagaId, why: expect.stringContaining("SAGAZ_STUCK") as string },
  ]);
});
