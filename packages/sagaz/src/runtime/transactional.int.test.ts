import pg from "pg";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { saga as build } from "../core/definition/builder.ts";
import { fail, outcomeUnknown } from "../core/decide/outcome.ts";
import { SagaError } from "../core/errors.ts";
import type { Clock } from "../ports/clock.ts";
import { silentLog } from "../ports/log.ts";
import { PostgreSQLStorage } from "../storage/postgres/index.ts";
import { Stage, gate } from "../../../../tests/engine/stage.ts";
import { createDatabase } from "../../../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../../../tools/servers/wait-until.ts";
import { ClassicSaga } from "./classic-saga.ts";
import { SagaOrchestrator } from "./orchestrator.ts";
import { systemClock } from "./system.ts";

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

test("a step that ends the engine's transaction is not on record as done", async () => {
  const { stage, notes, insert } = await openShop();
  await using _ = stage;
  const saga = new ClassicSaga({ name: "tx-ends", retry: { maxAttempts: 1 } }).addStep(
    "a",
    async (ctx) => {
      await ctx.tx("rollback").catch(() => {});
      await ctx.tx(insert, [ctx.sagaId, "by itself"]).catch(() => {});
    },
    () => {},
    { transactional: true },
  );
  const process = await stage.process(saga);
  expect(await stage.run(process, saga, null)).toMatchObject({
    status: "compensated",
    failure: { error: { message: expect.stringContaining("ended the transaction") as string } },
  });
  expect(await notes()).toEqual([]);
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

describe("the commit of a transactional step", () => {
  type Transaction = Stage["storage"]["journal"]["transaction"];

  /** Changes how the storage carries out transactions, before any process uses it. */
  function changeTransactions(stage: Stage, change: (transact: Transaction) => Transaction): void {
    const { journal } = stage.storage;
    journal.transaction = change(journal.transaction.bind(journal));
  }

  const inDoubt = () => new SagaError("SAGAZ_COMMIT_IN_DOUBT", { message: "the line broke" });

  /** A step that counts its calls in the user's own table. */
  function counting(name: string, insert: string) {
    let calls = 0;
    return new ClassicSaga({ name }).addStep(
      "a",
      async (ctx) => {
        calls += 1;
        await ctx.tx(insert, [ctx.sagaId, `call ${calls}`]);
        return calls;
      },
      undefined,
      { transactional: true },
    );
  }

  /** The first commit happens, but its answer does not arrive. */
  function loseFirstAnswer(stage: Stage): void {
    let lost = 0;
    changeTransactions(stage, (transact) => async (work) => {
      const answer = await transact(work);
      if (lost++ === 0) throw inDoubt();
      return answer;
    });
  }

  test("whose answer was lost is found on record: the step is done once", async () => {
    const { stage, notes, insert } = await openShop();
    await using _ = stage;
    loseFirstAnswer(stage);
    const saga = counting("tx-answer-lost", insert);
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ output: { a: 1 } });
    expect(await notes()).toEqual(["call 1"]);
  });

  test("that did not happen is found not on record: the step is tried again", async () => {
    const { stage, notes, insert } = await openShop();
    await using _ = stage;
    let lost = 0;
    changeTransactions(
      stage,
      (transact) => (work) =>
        transact(async (tx, append) => {
          const answer = await work(tx, append);
          if (lost++ === 0) throw inDoubt();
          return answer;
        }),
    );
    const saga = counting("tx-no-commit", insert);
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ output: { a: 2 } });
    expect(await notes()).toEqual(["call 2"]);
  });

  test("in doubt is looked up until the storage can be read again", async () => {
    const { stage, notes, insert } = await openShop();
    await using _ = stage;
    changeTransactions(stage, (transact) => async (work) => {
      await transact(work);
      stage.processes[0]?.cut();
      throw inDoubt();
    });
    const saga = counting("tx-blind", insert);
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.clock.advance(3_000);
    process.heal();
    expect(await stage.end(handle)).toMatchObject({ status: "completed", output: { a: 1 } });
    expect(await notes()).toEqual(["call 1"]);
  });

  test("in doubt that can never be looked up is not guessed: the saga is loaded anew", async () => {
    const { stage, notes, insert } = await openShop();
    await using _ = stage;
    loseFirstAnswer(stage);
    const { journal } = stage.storage;
    const tails = journal.tails.bind(journal);
    let refused = 0;
    journal.tails = async (sagaIds) => {
      if (refused++ === 0) throw new SagaError("SAGAZ_STORAGE_REFUSED", { message: "a test says no" });
      return tails(sagaIds);
    };
    const saga = counting("tx-no-look", insert);
    const process = await stage.process(saga);
    const result = await stage.run(process, saga, null);
    expect(result).toMatchObject({ status: "completed", output: { a: 1 } });
    expect(refused).toBe(1);
    expect(await notes()).toEqual(["call 1"]);
  });

  test("that conflicts with what is stored: the saga is loaded anew by its owner, and goes on", async () => {
    const { stage, notes, insert } = await openShop();
    await using _ = stage;
    let refused = 0;
    changeTransactions(
      stage,
      (transact) => (work) =>
        transact((tx, append) =>
          work(tx, async (batch) => {
            if (refused++ > 0) return append(batch);
            throw new SagaError("SAGAZ_CONFLICT", { sagaId: batch.entries[0]?.sagaId, seq: 2 });
          }),
        ),
    );
    const saga = counting("tx-conflict", insert);
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ output: { a: 2 } });
    expect(await notes()).toEqual(["call 2"]);
  });

  test("under a lease that is over writes nothing: the step is done once, under the next one", async () => {
    const { stage, notes, insert } = await openShop();
    await using _ = stage;
    const other = await stage.room.another();
    let fenced = 0;
    changeTransactions(
      stage,
      (transact) => (work) =>
        transact((tx, append) =>
          work(tx, async (batch) => {
            if (fenced === 0) {
              stage.clock.setNow(stage.clock.now() + 60_000); // to the database this worker is long dead
              fenced = await other.leases.fenceExpired();
            }
            return append(batch);
          }),
        ),
    );
    const saga = counting("tx-fenced", insert);
    const process = await stage.processWith({ sagas: [saga], leaseMs: 5_000 });
    const result = await stage.run(process, saga, null);
    expect(fenced).toBe(1);
    expect(result).toMatchObject({ status: "completed", output: { a: 2 } });
    expect(await notes()).toEqual(["call 2"]);
    const history = await stage.history(process, result.sagaId);
    expect(history.filter((event) => event.startsWith("step_done"))).toHaveLength(1);
  });

  /** No other timer of the engine is as long. */
  const TIMEOUT_MS = 77;

  test("holds up what happens to its saga meanwhile: it is made up for, in order, and nothing is lost", async () => {
    // In real time: that of a stage stands still while the storage is at work.
    const database = await createDatabase(inject("postgresUrl"), { name: "meanwhile" });
    const pool = new pg.Pool({ connectionString: database.url, max: 6 });
    const storage = new PostgreSQLStorage({ pool });
    const [committing, mayCommit, mayEnd] = [gate(), gate(), gate()];
    const { journal, mailbox } = storage;
    const transact = journal.transaction.bind(journal);
    journal.transaction = (work) =>
      transact((tx, append) =>
        work(tx, async (batch) => {
          committing.open();
          await mayCommit.promise;
          return append(batch);
        }),
      );
    let fetched = 0;
    const fetch = mailbox.fetch.bind(mailbox);
    mailbox.fetch = async (...args) => {
      const mails = await fetch(...args);
      fetched += mails.length;
      return mails;
    };
    let timeoutsOver = 0;
    const clock: Clock = {
      ...systemClock,
      setTimer: (delayMs, call) => {
        if (delayMs <= TIMEOUT_MS / 2 || delayMs > TIMEOUT_MS) return systemClock.setTimer(delayMs, call);
        const ring = () => {
          call();
          timeoutsOver += 1;
        };
        // However long the storage takes to come there, it passes only then.
        return systemClock.setTimer(delayMs, () => void committing.promise.then(ring));
      },
    };
    let aborts = 0;
    const saga = build("tx-meanwhile")
      .step("a", { do: (ctx) => ctx.tx("select 1"), transactional: true })
      .step("b", { do: () => mayEnd.promise })
      .step("c", {
        do: (ctx) => {
          if (ctx.attempt > 1) return "second";
          return new Promise((_, reject) => {
            ctx.signal.addEventListener("abort", () => {
              aborts += 1;
              reject(new Error("too slow"));
            });
          });
        },
        timeoutMs: TIMEOUT_MS,
      })
      .signal("go")
      .build();
    // If its lease ended, beside a busy disk, the saga would be read anew.
    const options = { storage, sagas: [saga], clock, leaseMs: 60_000, log: silentLog };
    const orchestrator = new SagaOrchestrator(options);
    onTestFinished(async () => {
      mayCommit.open();
      await orchestrator.stop();
      await pool.end();
      await database.drop();
    });
    await orchestrator.start();
    const { sagas } = orchestrator;
    const handle = await sagas.start(saga, undefined);
    await committing.promise;
    mayEnd.open();
    const signalled = sagas.signal(handle.id, "go", 3);
    await waitUntil("the signal has come", () => fetched > 0);
    await waitUntil("the time-out of c has passed", () => timeoutsOver > 0);
    expect((await sagas.events(handle.id)).map(({ type }) => type)).toEqual(["saga_started"]);
    expect(aborts).toBe(0);
    mayCommit.open();
    await signalled;
    const result = await handle.result();
    expect(result).toMatchObject({ status: "completed", output: { c: "second", go: 3 } });
    const [, first] = await sagas.events(handle.id);
    expect(first).toMatchObject({ type: "step_done", step: "a" });
  });
});

test("what a transactional step publishes commits with its writes, or not at all", async () => {
  const { stage, notes, insert } = await openShop();
  await using _ = stage;
  const saga = new ClassicSaga({ name: "tx-publishes" }).addStep(
    "a",
    async (ctx) => {
      await ctx.tx(insert, [ctx.sagaId, `attempt ${ctx.attempt}`]);
      ctx.publish({ topic: "stock", type: `noted.${ctx.attempt}`, payload: null });
      if (ctx.attempt === 1) throw new Error("later");
    },
    undefined,
    { transactional: true },
  );
  await stage.run(await stage.process(saga), saga, null);
  expect(await notes()).toEqual(["attempt 2"]);
  const rows = await stage.room.sql(`select o.event_type, o.xmin = p.xmin as together
    from {schema}.saga_outbox o join {schema}.saga_outbox_pending p using (id)`);
  expect(rows).toEqual([{ event_type: "noted.2", together: true }]);
});
