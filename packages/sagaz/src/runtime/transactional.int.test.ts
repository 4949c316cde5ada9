import { expect, test } from "vitest";
import { fail, outcomeUnknown } from "../core/decide/outcome.ts";
import { Stage, gate } from "../../../../tests/engine/stage.ts";
import { ClassicSaga } from "./classic-saga.ts";

/** A stage with a table of the user's beside ours. */
async function openShop() {
  const stage = await Stage.open();
  await stage.room.sql("create table {schema}.stock (saga text, note text)");
  const [{ schema }] = (await stage.room.sql("select '{schema}' as schema")) as [{ schema: string }];
  const notes = async () =>
    (await stage.room.sql("select note from {schema}.stock order by note")).map(({ note }) => note as string);
  return { stage, notes, insert: `insert into ${schema}.stock values ($1, $2)` };
}

test("a transactional step writes exactly once: its writes and its result commit together", async () => {
  const { stage, notes, insert } = await openShop();
  await using _ = stage;
  const saga = new ClassicSaga<string>({ name: "tx", sequential: true })
    .addStep(
      "a",
      async (ctx) => {
        await ctx.tx(insert, [ctx.sagaId, ctx.input]);
        return { ref: 1 };
      },
      async (ctx) => void (await ctx.tx(insert, [ctx.sagaId, "undo"])),
      { transactional: true },
    )
    .addStep("b", (ctx) => {
      if (ctx.input === "bad") throw fail("no");
    });
  const process = await stage.process(saga);
  expect(await stage.run(process, saga, "good")).toMatchObject({
    status: "completed",
    output: { a: { ref: 1 } },
  });
  expect(await stage.run(process, saga, "bad")).toMatchObject({ status: "compensated" });
  expect(await notes()).toEqual(["bad", "good", "undo"]);
});

test("a transactional step that throws leaves nothing behind, and is retried", async () => {
  const { stage, notes, insert } = await openShop();
  await using _ = stage;
  const saga = new ClassicSaga({ name: "tx-throws" }).addStep(
    "a",
    async (ctx) => {
      await ctx.tx(insert, [ctx.sagaId, `attempt ${ctx.attempt}`]);
      if (ctx.attempt === 1) throw new Error("later");
      if (ctx.attempt === 2) throw outcomeUnknown("it was rolled back all the same");
      return ctx.attempt;
    },
    undefined,
    { transactional: true },
  );
  expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ output: { a: 3 } });
  expect(await notes()).toEqual(["attempt 3"]);
});

test("SQL that fails rolls back, and is an error of the attempt", async () => {
  const { stage, notes, insert } = await openShop();
  await using _ = stage;
  const saga = new ClassicSaga({ name: "tx-sql", retry: { maxAttempts: 1 } }).addStep(
    "a",
    async (ctx) => {
      await ctx.tx(insert, [ctx.sagaId, "before"]);
      await ctx.tx("select no_such_column");
    },
    undefined,
    { transactional: true },
  );
  expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({
    status: "compensated",
    failure: { error: { message: expect.stringContaining("no_such_column") as string } },
  });
  expect(await notes()).toEqual([]);
});

test("a worker that died in the middle left nothing: the step is done once, by another", async () => {
  const { stage, notes, insert } = await openShop();
  await using _ = stage;
  const hanging = gate();
  let calls = 0;
  const saga = new ClassicSaga({ name: "tx-dies" }).addStep(
    "a",
    async (ctx) => {
      const call = ++calls;
      await ctx.tx(insert, [ctx.sagaId, `call ${call}`]);
      if (call === 1) await hanging.promise;
      return call;
    },
    undefined,
    { transactional: true },
  );
  const first = await stage.processWith({ sagas: [saga], leaseMs: 5_000 });
  const handle = await stage.start(first, saga, null);
  await stage.clock.runUntil(() => calls === 1);
  await stage.clock.settle();
  first.kill();
  const second = await stage.processWith({ sagas: [saga], leaseMs: 5_000 });
  expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({ output: { a: 2 } });
  hanging.fail(new Error("the process is gone"));
  expect(await notes()).toEqual(["call 2"]);
});

test("an attempt that comes too late is rolled back, not recorded", async () => {
  const { stage, notes, insert } = await openShop();
  await using _ = stage;
  const hanging = gate();
  let calls = 0;
  const saga = new ClassicSaga({ name: "tx-late", settleMs: 100 }).addStep(
    "a",
    async (ctx) => {
      const call = ++calls;
      await ctx.tx(insert, [ctx.sagaId, `call ${call}`]);
      if (call === 1) await hanging.promise;
      return call;
    },
    undefined,
    { transactional: true, timeoutMs: 1_000 },
  );
  const process = await stage.process(saga);
  const handle = await stage.start(process, saga, null);
  expect(await stage.end(handle)).toMatchObject({ status: "completed", output: { a: 2 } });
  hanging.open();
  await stage.clock.advance(5_000);
  expect(await notes()).toEqual(["call 2"]);
  expect(
    (await stage.history(process, handle.id)).filter((event) => event.startsWith("step_done")),
  ).toHaveLength(1);
});

test("a start in the caller's own SQL transaction exists with the caller's rows, or not at all", async () => {
  const { stage, notes, insert } = await openShop();
  await using _ = stage;
  const saga = new ClassicSaga({ name: "tx-start" }).addStep("a", () => 1);
  const process = await stage.process(saga);
  for (const end of ["commit", "rollback"] as const) {
    const tx = await stage.room.begin();
    await tx.tx(insert, ["order", end]);
    const handle = await stage.start(process, saga, null, { tx: tx.tx, idempotencyKey: end });
    await tx[end]();
    if (end === "commit") expect(await stage.end(handle)).toMatchObject({ status: "completed" });
    else expect(await stage.drive(process.sagas.find(handle.id))).toBeUndefined();
  }
  expect(await notes()).toEqual(["commit"]);
});
