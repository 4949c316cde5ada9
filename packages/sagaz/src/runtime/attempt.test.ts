import { expect, test } from "vitest";
import { fail } from "../core/decide/outcome.ts";
import type { MapContext, StepContext, UndoContext } from "../core/definition/context.ts";
import { action, child, compensate, map, payload, signal, sleep } from "../core/definition/decorators.ts";
import type { StandardSchema } from "../core/definition/standard-schema.ts";
import { Stage, Trace } from "../../../../tests/engine/stage.ts";
import { ClassicSaga } from "./classic-saga.ts";
import { Saga } from "./saga.ts";

class Parcel extends Saga<number> {
  static readonly sagaName = "parcel";
  static readonly output = (results: Readonly<Record<string, unknown>>) => ({ label: results["label"] });

  @action("label")
  label(ctx: StepContext<number>) {
    return `label ${ctx.input}`;
  }
}

class Order extends Saga<number[]> {
  static readonly sagaName = "order";
  static readonly undone: unknown[] = [];

  @action("reserve")
  reserve(ctx: StepContext<number[]>) {
    return { sum: ctx.input.reduce((a, b) => a + b, 0) };
  }
  @compensate("reserve")
  release(ctx: UndoContext<number[], { sum: number }>) {
    Order.undone.push(ctx.result.sum);
  }
  @map("items", { over: (ctx: StepContext<number[]>) => ctx.input, dependsOn: ["reserve"] })
  item(ctx: MapContext<number[], number>) {
    return ctx.item * ctx.resultOf(this.reserve).sum;
  }
  @signal("approval", { dependsOn: ["items"] })
  approval = payload<{ by: string }>();

  @sleep("cool_down", { dependsOn: ["approval"] })
  coolDown() {
    return 60_000;
  }
  @child("parcel", { saga: Parcel, dependsOn: ["cool_down"] })
  parcel(ctx: StepContext<number[]>) {
    return ctx.resultOf(this.item).length;
  }
  @action("close", { dependsOn: ["parcel"] })
  close(ctx: StepContext<number[]>) {
    return [ctx.resultOf(this.item), ctx.resultOf(this.approval).by, ctx.results["parcel"]];
  }
}

test("a saga written as a class: every kind of step, results by the methods that made them", async () => {
  await using stage = await Stage.open();
  const process = await stage.process(Order);
  const handle = await stage.start(process, Order, [1, 2]);
  await stage.drive(process.sagas.signal(handle.id, "approval", { by: "ann" }));
  expect(await stage.end(handle)).toMatchObject({
    status: "completed",
    output: { close: [[3, 6], "ann", { label: "label 2" }], parcel: { label: "label 2" } },
  });
});

test("resultOf a method that is no dependency is refused by its name", async () => {
  class Wrong extends Saga<null> {
    static readonly sagaName = "wrong";
    static readonly retry = { maxAttempts: 1 };
    @action("a")
    a() {
      return 1;
    }
    @action("b")
    b(ctx: StepContext<null>) {
      return ctx.resultOf(this.a);
    }
  }
  await using stage = await Stage.open();
  expect(await stage.run(await stage.process(Wrong), Wrong, null)).toMatchObject({
    failure: { step: "b", error: { code: "SAGAZ_NOT_A_DEPENDENCY" } },
  });
});

test("a result is what its schema makes of it", async () => {
  const doubled: StandardSchema<unknown, number> = {
    "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: (value as number) * 2 }) },
  };
  await using stage = await Stage.open();
  const saga = new ClassicSaga({ name: "doubled" }).addStep("a", () => 21, undefined, { result: doubled });
  expect((await stage.run(await stage.process(saga), saga, null)).output).toEqual({ a: 42 });
});

test("`retry.when` of a compensation decides about its errors", async () => {
  await using stage = await Stage.open();
  const trace = new Trace(stage);
  const saga = new ClassicSaga({ name: "undo-when", sequential: true })
    .addStep(
      "a",
      () => 1,
      trace.undo("a", () => {
        throw new Error("hopeless");
      }),
      { undoRetry: { when: () => trace.calls.length < 3 } },
    )
    .addStep("b", () => {
      throw fail("no");
    });
  expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "parked" });
  expect(trace.calls).toHaveLength(3);
});

test("a signal that is first looked at after the time-out has aborted already", async () => {
  await using stage = await Stage.open();
  const trace = new Trace(stage);
  const seen: unknown[] = [];
  const saga = new ClassicSaga({ name: "late-look", retry: { maxAttempts: 1 } }).addStep(
    "a",
    async (ctx) => {
      await trace.wait(2_000);
      seen.push(ctx.signal.aborted, (ctx.signal.reason as { code: string }).code);
    },
    undefined,
    { timeoutMs: 1_000 },
  );
  await stage.run(await stage.process(saga), saga, null);
  expect(seen).toEqual([true, "SAGAZ_ATTEMPT_TIMEOUT"]);
});

test("a step that is cut off is told so", async () => {
  await using stage = await Stage.open();
  const trace = new Trace(stage);
  let reason: unknown;
  const saga = new ClassicSaga({ name: "cut", strategy: "FAIL_FAST" })
    .addStep("slow", (ctx) => trace.wait(50_000, ctx.signal).catch((error: unknown) => (reason = error)))
    .addStep("bad", () => {
      throw fail("no");
    });
  await stage.run(await stage.process(saga), saga, null);
  expect(reason).toMatchObject({ code: "SAGAZ_STOPPED" });
});

test("the log of a step has all levels, and its ids", async () => {
  await using stage = await Stage.open();
  const saga = new ClassicSaga({ name: "logs" }).addStep("a", ({ log }) => {
    for (const level of ["debug", "info", "warn", "error"] as const) log[level](level);
  });
  const process = await stage.process(saga);
  const { sagaId } = await stage.run(process, saga, null);
  expect(process.logged.map(({ level }) => level)).toEqual(["debug", "info", "warn", "error"]);
  expect(process.logged[0]).toMatchObject({ details: { sagaId, step: "a" } });
});
