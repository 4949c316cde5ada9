import { describe, expect, test } from "vitest";
import { saga as build } from "../core/definition/builder.ts";
import { unchecked } from "../core/definition/standard-schema.ts";
import { fail } from "../core/decide/outcome.ts";
import { Stage, Trace, gate } from "../../../../tests/engine/stage.ts";

const refuse = () => {
  throw fail("no");
};
const fallOver = () => {
  throw new Error("down");
};

describe("a signal step", () => {
  const approval = (name = "approval-saga", waitMs = 60_000) =>
    build(name)
      .step("reserve", { do: () => "r" })
      .signal("approval", { after: ["reserve"], waitMs })
      .step("ship", { after: ["approval"], do: (ctx) => ctx.results.approval })
      .build();

  test("waits for the external event; its result is the payload", async () => {
    await using stage = await Stage.open();
    const saga = approval();
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.clock.advance(5_000);
    expect(await stage.drive(process.sagas.get(handle.id))).toMatchObject({
      status: "running",
      waitingFor: "signal",
    });
    await stage.drive(process.sagas.signal(handle.id, "approval", { by: "ann" }));
    expect(await stage.end(handle)).toMatchObject({ status: "completed", output: { ship: { by: "ann" } } });
  });

  test("consumes the oldest of its name; what comes early is buffered", async () => {
    await using stage = await Stage.open();
    const reserving = gate();
    const saga = build("buffered")
      .step("reserve", { do: () => reserving.promise })
      .signal("first", { after: ["reserve"], signal: "mark" })
      .signal("second", { after: ["first"], signal: "mark" })
      .build();
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.drive(process.sagas.signal(handle.id, "mark", 1));
    await stage.drive(process.sagas.signal(handle.id, "mark", 2));
    reserving.open();
    expect((await stage.end(handle)).output).toMatchObject({ first: 1, second: 2 });
  });

  test("a repeated signalId is dropped", async () => {
    await using stage = await Stage.open();
    const saga = build("repeats")
      .signal("a", { signal: "mark" })
      .signal("b", { after: ["a"], signal: "mark" })
      .build();
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    const send = (payload: unknown, signalId: string) =>
      stage.drive(process.sagas.signal(handle.id, "mark", payload, { signalId }));
    await send(1, "one");
    await send(1, "one");
    await send(2, "two");
    expect((await stage.end(handle)).output).toEqual({ a: 1, b: 2 });
  });

  test("an unknown name and an ended or absent saga are coded errors", async () => {
    await using stage = await Stage.open();
    const saga = approval();
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    const send = (id: string, name: string) => stage.drive(process.sagas.signal(id, name));
    await expect(send(handle.id, "aproval")).rejects.toMatchObject({
      code: "SAGAZ_UNKNOWN_SIGNAL",
      message: expect.stringContaining('"approval"') as string,
    });
    await send(handle.id, "approval");
    await stage.end(handle);
    await expect(send(handle.id, "approval")).rejects.toMatchObject({ code: "SAGAZ_SAGA_ENDED" });
    const absent = handle.id.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
    await expect(send(absent, "approval")).rejects.toMatchObject({ code: "SAGAZ_SAGA_NOT_FOUND" });
  });

  test("1,000 unconsumed, then SAGAZ_SIGNALS_FULL", async () => {
    await using stage = await Stage.open();
    const saga = build("full")
      .signal("never", { signal: "never" })
      .signal("mark", { after: ["never"] })
      .build();
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    const send = () => process.sagas.signal(handle.id, "mark", 1);
    await stage.drive(Promise.all(Array.from({ length: 1_000 }, send)));
    await expect(stage.drive(send())).rejects.toMatchObject({ code: "SAGAZ_SIGNALS_FULL", retryable: true });
  });

  test("a payload that is not JSON is refused at the border, one that does not fit its schema too", async () => {
    await using stage = await Stage.open();
    const positive = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) =>
          typeof value === "number" && value > 0
            ? { value }
            : { issues: [{ message: "not positive", path: ["amount"] }] },
      },
    } as const;
    const saga = build("schema").signal("amount", { payload: positive }).signal("free").build();
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await expect(stage.drive(process.sagas.signal(handle.id, "free", new Map()))).rejects.toMatchObject({
      code: "SAGAZ_NOT_JSON",
    });
    await expect(stage.drive(process.sagas.signal(handle.id, "amount", -1))).rejects.toMatchObject({
      code: "SAGAZ_SIGNAL_INVALID",
    });
    await stage.drive(process.sagas.signal(handle.id, "amount", 5));
    await stage.drive(process.sagas.signal(handle.id, "free"));
    expect((await stage.end(handle)).output).toEqual({ amount: 5, free: null });
  });

  test("that waits too long parks as signal_timeout; the signal may still come, and retry waits once more", async () => {
    await using stage = await Stage.open();
    const saga = approval("patience", 60_000);
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    expect(await stage.end(handle)).toMatchObject({
      status: "parked",
      parked: { reason: "signal_timeout", step: "approval" },
    });
    await stage.drive(process.sagas.retry(handle.id, { reason: "they are back" }));
    expect((await stage.drive(process.sagas.get(handle.id))).status).toBe("running");
    await stage.drive(process.sagas.signal(handle.id, "approval", "ok"));
    expect(await stage.end(handle)).toMatchObject({ status: "completed" });
  });

  test("that was parked goes on by itself when the signal comes after all", async () => {
    await using stage = await Stage.open();
    const saga = approval("late", 60_000);
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    expect(await stage.end(handle)).toMatchObject({ parked: { reason: "signal_timeout" } });
    await stage.drive(process.sagas.signal(handle.id, "approval", "ok"));
    expect(await stage.end(handle)).toMatchObject({ status: "completed", output: { ship: "ok" } });
  });

  test("that was parked is undone by a cancel: of a signal that never came nothing is left to find out", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = build("given-up")
      .step("reserve", { do: () => "r", undo: trace.undo("reserve") })
      .signal("approval", { after: ["reserve"], waitMs: 60_000 })
      .build();
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    expect(await stage.end(handle)).toMatchObject({ parked: { reason: "signal_timeout" } });
    await stage.drive(process.sagas.cancel(handle.id, { reason: "gone" }));
    expect(await stage.end(handle)).toMatchObject({ status: "compensated", parked: undefined });
    expect(trace.calls).toEqual(["undo reserve"]);
  });

  test("waits 7 days by default", async () => {
    await using stage = await Stage.open();
    const saga = build("week").signal("approval").build();
    const process = await stage.processWith({ sagas: [saga], leaseMs: 3_600_000 });
    const handle = await stage.start(process, saga, null);
    await stage.clock.advance(6.95 * 86_400_000);
    expect(await stage.drive(process.sagas.get(handle.id))).toMatchObject({ status: "running" });
    await stage.clock.advance(0.1 * 86_400_000);
    expect(await stage.end(handle)).toMatchObject({ status: "parked", parked: { reason: "signal_timeout" } });
  });

  test("a cancel while it waits undoes what was done", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = build("cancel-wait")
      .step("reserve", { do: () => "r", undo: trace.undo("reserve") })
      .signal("approval", { after: ["reserve"] })
      .build();
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.clock.advance(10_000);
    await stage.drive(process.sagas.cancel(handle.id, { reason: "gone" }));
    expect(await stage.end(handle)).toMatchObject({ status: "compensated", failure: { kind: "cancel" } });
    expect(trace.calls).toEqual(["undo reserve"]);
  });
});

describe("a sleep step", () => {
  test("is a durable timer: the saga leaves memory, and another process wakes it", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = build("sleeps")
      .step("before", { do: trace.note("before") })
      .sleep("night", { after: ["before"], forMs: 1_800_000 })
      .step("after", { after: ["night"], do: trace.note("after") })
      .build();
    const first = await stage.process(saga);
    const handle = await stage.start(first, saga, null);
    const began = stage.clock.now();
    await stage.clock.advance(10_000);
    expect(first.orchestrator.sagasInFlight).toBe(0);
    const view = await stage.drive(first.sagas.get(handle.id));
    expect(view).toMatchObject({ status: "running", waitingFor: "timer" });
    expect(view.wakeAt!.getTime() - began).toBeGreaterThanOrEqual(1_800_000 - 1_000);
    await first.stop();
    const second = await stage.process(saga);
    expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({ status: "completed" });
    const slept = stage.clock.now() - began;
    expect(slept).toBeGreaterThanOrEqual(1_800_000 - 1_000);
    expect(slept).toBeLessThan(1_800_000 + 30_000);
    expect(trace.calls).toEqual(["before", "after"]);
  });

  test("may compute its duration; one that is no duration fails the step", async () => {
    await using stage = await Stage.open();
    const saga = (name: string, forMs: () => number) =>
      build(name, { input: unchecked<number>() })
        .step("a", { do: () => 1_000 })
        .sleep("nap", { after: ["a"], forMs })
        .build();
    const good = saga("computed", () => 2_000);
    const nonsense = [Number.NaN, -1, Number.MAX_VALUE].map((ms, n) => saga(`nonsense-${n}`, () => ms));
    const process = await stage.process(good, ...nonsense);
    const began = stage.clock.now();
    await stage.run(process, good, 1);
    expect(stage.clock.now() - began).toBeGreaterThanOrEqual(2_000);
    for (const bad of nonsense)
      expect(await stage.run(process, bad, 1)).toMatchObject({
        status: "compensated",
        failure: { step: "nap", error: { code: "SAGAZ_INVALID_OPTION" } },
      });
  });

  test("its clock does not stop when the process dies", async () => {
    await using stage = await Stage.open();
    const saga = build("sleep-crash").sleep("nap", { forMs: 600_000 }).build();
    const first = await stage.process(saga);
    const handle = await stage.start(first, saga, null);
    const began = stage.clock.now();
    await stage.clock.advance(100_000);
    first.kill();
    await stage.clock.advance(300_000);
    const second = await stage.process(saga);
    await stage.drive(second.sagas.result(handle.id));
    expect(stage.clock.now() - began).toBeLessThan(700_000);
  });
});

describe("a child saga", () => {
  const parts = (stage: Stage, options: { pay?: () => unknown; after?: () => unknown } = {}) => {
    const trace = new Trace(stage);
    const shipping = build("shipping", { input: unchecked<{ order: number }>() })
      .step("label", { do: (ctx) => `label ${ctx.input.order}`, undo: trace.undo("label") })
      .step("pickup", { after: ["label"], do: options.pay ?? (() => "picked"), undo: trace.undo("pickup") })
      .build();
    const order = build("order", { input: unchecked<number>() })
      .step("reserve", { do: trace.note("reserve"), undo: trace.undo("reserve") })
      .child("shipping", { after: ["reserve"], saga: shipping, input: (ctx) => ({ order: ctx.input }) })
      .step("bill", { after: ["shipping"], do: options.after ?? ((ctx) => ctx.results.shipping) })
      .build();
    return { order, shipping, trace };
  };

  test("its output is the step's result; it knows its parent, and shares correlation, tenant and headers", async () => {
    await using stage = await Stage.open();
    const { order } = parts(stage);
    const process = await stage.process(order);
    const result = await stage.run(process, order, 7, {
      correlationId: "c-1",
      tenantId: "t-1",
      headers: { traceparent: "x" },
    });
    expect(result.output).toMatchObject({ bill: { label: "label 7", pickup: "picked" } });
    const { steps } = await stage.drive(process.sagas.get(result.sagaId));
    const childId = steps.find(({ step }) => step === "shipping")!.childId!;
    expect(await stage.drive(process.sagas.get(childId))).toMatchObject({
      status: "completed",
      parentId: result.sagaId,
      correlationId: "c-1",
      tenantId: "t-1",
      input: { order: 7 },
    });
  });

  test("that is undone fails its step: the parent goes back", async () => {
    await using stage = await Stage.open();
    const { order, trace } = parts(stage, { pay: refuse });
    expect(await stage.run(await stage.process(order), order, 1)).toMatchObject({
      status: "compensated",
      failure: { step: "shipping", error: { message: "pickup: no" } },
    });
    expect(trace.calls).toEqual(["reserve", "undo label", "undo reserve"]);
  });

  test("is compensated by the parent's undo, which waits for it", async () => {
    await using stage = await Stage.open();
    const { order, trace } = parts(stage, { after: refuse });
    const process = await stage.process(order);
    const result = await stage.run(process, order, 1);
    expect(result).toMatchObject({ status: "compensated", failure: { step: "bill" } });
    expect(trace.calls).toEqual(["reserve", "undo pickup", "undo label", "undo reserve"]);
  });

  test("in flight is compensated when the parent is cancelled", async () => {
    await using stage = await Stage.open();
    const { order, trace } = parts(stage, { pay: () => new Trace(stage).wait(50_000) });
    const process = await stage.process(order);
    const handle = await stage.start(process, order, 1);
    await stage.clock.advance(20_000);
    await stage.drive(process.sagas.cancel(handle.id, { reason: "gone" }));
    expect(await stage.end(handle)).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["reserve", "undo pickup", "undo label", "undo reserve"]);
  });

  test("that is parked shows in its parent", async () => {
    await using stage = await Stage.open();
    const child = build("stuck-child")
      .step("a", { do: () => 1, undo: fallOver, undoRetry: { maxAttempts: 1 } })
      .step("b", { after: ["a"], do: refuse })
      .build();
    const parent = build("parent")
      .child("work", { saga: child, input: () => null })
      .build();
    const process = await stage.process(parent);
    const handle = await stage.start(process, parent, null);
    await stage.clock.advance(120_000);
    const view = await stage.drive(process.sagas.get(handle.id));
    expect(view).toMatchObject({ status: "running", waitingFor: "child" });
    expect(await stage.history(process, handle.id)).toContain("child_parked(work)");
    const childId = view.steps[0]!.childId!;
    await stage.drive(process.sagas.skip(childId, "a", { reason: "wrote it off" }));
    expect(await stage.end(handle)).toMatchObject({
      status: "compensated",
      failure: { error: { message: "b: no" } },
    });
  });

  test("closed by force parks the parent as child_failed", async () => {
    await using stage = await Stage.open();
    const child = build("closed-child").signal("never", { waitMs: 1_000 }).build();
    const parent = build("closed-parent")
      .child("work", { saga: child, input: () => null })
      .build();
    const process = await stage.process(parent);
    const handle = await stage.start(process, parent, null);
    await stage.clock.advance(120_000);
    const childId = (await stage.drive(process.sagas.get(handle.id))).steps[0]!.childId!;
    await stage.drive(process.sagas.forceClose(childId, { reason: "hopeless" }));
    expect(await stage.end(handle)).toMatchObject({
      status: "parked",
      parked: { reason: "child_failed", step: "work" },
    });
  });

  test("with a pivot makes its step the parent's pivot", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const child = build("paying")
      .pivot("pay", { do: trace.note("pay") })
      .build();
    const parent = build("buying")
      .step("reserve", { do: trace.note("reserve"), undo: trace.undo("reserve") })
      .child("paying", { after: ["reserve"], saga: child, input: () => null })
      .step("ship", { after: ["paying"], do: refuse })
      .build();
    expect(parent.pivot).toBe("paying");
    const process = await stage.process(parent);
    expect(await stage.run(process, parent, null)).toMatchObject({
      status: "parked",
      parked: { reason: "step_failed_after_pivot", step: "ship" },
    });
    expect(trace.calls).toEqual(["reserve", "pay"]);
  });

  test("of a pivot that failed sends the parent back", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const child = build("declining").pivot("pay", { do: refuse }).build();
    const parent = build("wanting")
      .step("reserve", { do: trace.note("reserve"), undo: trace.undo("reserve") })
      .child("paying", { after: ["reserve"], saga: child, input: () => null })
      .build();
    expect(await stage.run(await stage.process(parent), parent, null)).toMatchObject({
      status: "compensated",
    });
    expect(trace.calls).toEqual(["reserve", "undo reserve"]);
  });

  test("its row and child_started commit in one batch: a crash right after leaves one child", async () => {
    await using stage = await Stage.open();
    const { order } = parts(stage, { pay: () => new Trace(stage).wait(30_000).then(() => "picked") });
    const first = await stage.process(order);
    const handle = await stage.start(first, order, 1);
    await stage.clock.advance(100);
    first.kill();
    const second = await stage.process(order);
    expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({ status: "completed" });
    const { sagas } = await stage.drive(second.sagas.list({ sagaName: "shipping" }));
    expect(sagas.map(({ parentId }) => parentId)).toEqual([handle.id]);
  });

  test("an input that cannot be kept fails the step", async () => {
    await using stage = await Stage.open();
    const child = build("c")
      .step("a", { do: () => 1 })
      .build();
    const parent = build("p")
      .child("c", { saga: child, input: () => new Map() as never })
      .build();
    expect(await stage.run(await stage.process(parent), parent, null)).toMatchObject({
      status: "compensated",
      failure: { step: "c", error: { code: "SAGAZ_NOT_JSON" } },
    });
  });
});

describe("a map step", () => {
  const mapped = (
    stage: Stage,
    options: {
      concurrency?: number;
      item?: (n: number) => unknown;
      last?: () => unknown;
      undo?: (n: unknown) => unknown;
    },
  ) => {
    const trace = new Trace(stage);
    let running = 0;
    let most = 0;
    const saga = build("mapped", { input: unchecked<number[]>(), strategy: "FAIL_FAST" })
      .map("items", {
        over: (ctx) => ctx.input,
        ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
        retry: { maxAttempts: 2 },
        do: async (ctx) => {
          running++;
          most = Math.max(most, running);
          trace.calls.push(`do ${ctx.index} ${ctx.item} ${ctx.step}`);
          try {
            await trace.wait(100, ctx.signal);
            return options.item?.(ctx.item) ?? ctx.item * 10;
          } finally {
            running--;
          }
        },
        undo: async (ctx) => {
          trace.calls.push(`undo ${ctx.index} ${String(ctx.item)} ${ctx.outcome}`);
          return options.undo?.(ctx.item);
        },
      })
      .step("last", { after: ["items"], do: options.last ?? ((ctx) => ctx.results.items) })
      .build();
    return { saga, trace, most: () => most };
  };

  test("runs for each item, and the list of results is its result", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = mapped(stage, {});
    expect((await stage.run(await stage.process(saga), saga, [1, 2, 3])).output).toMatchObject({
      last: [10, 20, 30],
    });
    expect(trace.calls).toEqual(["do 0 1 items[0]", "do 1 2 items[1]", "do 2 3 items[2]"]);
  });

  test("no more than `concurrency` at a time, 10 by default", async () => {
    await using stage = await Stage.open();
    const list = Array.from({ length: 25 }, (_, i) => i);
    for (const [concurrency, most] of [
      [undefined, 10],
      [3, 3],
    ] as const) {
      const mine = mapped(stage, concurrency === undefined ? {} : { concurrency });
      const process = await stage.process(mine.saga);
      expect(await stage.run(process, mine.saga, list)).toMatchObject({ status: "completed" });
      expect(mine.most()).toBe(most);
      await process.stop();
    }
  });

  test("an empty list is done at once", async () => {
    await using stage = await Stage.open();
    const { saga } = mapped(stage, {});
    expect((await stage.run(await stage.process(saga), saga, [])).output).toMatchObject({
      items: [],
      last: [],
    });
  });

  test("each item has its own undo, in parallel", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = mapped(stage, { last: refuse });
    expect(await stage.run(await stage.process(saga), saga, [1, 2, 3])).toMatchObject({
      status: "compensated",
    });
    expect(trace.calls.slice(3).toSorted()).toEqual(["undo 0 1 done", "undo 1 2 done", "undo 2 3 done"]);
  });

  test("one item that fails sends the saga back: done items are undone, the failed one is not", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = mapped(stage, { concurrency: 2, item: (n) => (n === 3 ? refuse() : n) });
    const process = await stage.process(saga);
    const result = await stage.run(process, saga, [1, 2, 3, 4, 5]);
    expect(result).toMatchObject({ status: "compensated", failure: { step: "items[2]" } });
    expect(
      trace.calls
        .filter((call) => call.startsWith("undo"))
        .map((call) => call.slice(0, 6))
        .toSorted(),
    ).toEqual(["undo 0", "undo 1", "undo 3"]);
    const view = await stage.drive(process.sagas.get(result.sagaId));
    expect(view.steps.map(({ step }) => step)).toEqual(
      expect.arrayContaining(["items", "items[0]", "items[1]", "items[2]"]),
    );
  });

  test("an item's undo that fails parks by its key, and skip lets that one go", async () => {
    await using stage = await Stage.open();
    const { saga } = mapped(stage, { last: refuse, undo: (n) => (n === 2 ? refuse() : null) });
    const process = await stage.process(saga);
    const result = await stage.run(process, saga, [1, 2]);
    expect(result).toMatchObject({ status: "parked", parked: { step: "items[1]" } });
    await stage.drive(process.sagas.skip(result.sagaId, "items[1]", { reason: "written off" }));
    expect(await stage.drive(process.sagas.result(result.sagaId))).toMatchObject({
      status: "compensated_with_exceptions",
      exceptions: ["items[1]"],
    });
  });

  test("a crash in the middle repeats no recorded item", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = mapped(stage, { concurrency: 1 });
    const first = await stage.process(saga);
    const handle = await stage.start(first, saga, [1, 2, 3, 4]);
    await stage.clock.runUntil(() => trace.calls.length === 3);
    await stage.clock.advance(50); // the second item is on record, the third in flight
    first.kill();
    const second = await stage.process(saga);
    expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({
      output: { items: [10, 20, 30, 40] },
    });
    expect(trace.calls.map((call) => call.slice(0, 4))).toEqual(["do 0", "do 1", "do 2", "do 2", "do 3"]);
  });

  test("10,000 items is the limit; no list at all fails the step", async () => {
    await using stage = await Stage.open();
    const big = mapped(stage, {});
    const process = await stage.process(big.saga);
    const list = Array.from({ length: 10_001 }, () => 0);
    expect(await stage.run(process, big.saga, list)).toMatchObject({
      status: "compensated",
      failure: { step: "items", error: { code: "SAGAZ_MAP_TOO_LONG" } },
    });
    expect(await stage.run(process, big.saga, "no list" as never)).toMatchObject({
      failure: { step: "items", error: { code: "SAGAZ_INVALID_OPTION" } },
    });
  });

  test("10,000 items go through", { timeout: 60_000 }, async () => {
    await using stage = await Stage.open();
    const saga = build("big")
      .map("items", {
        over: () => Array.from({ length: 10_000 }, (_, i) => i),
        concurrency: 1_000,
        do: (ctx) => ctx.item,
      })
      .build();
    const result = await stage.run(await stage.process(saga), saga, null);
    expect((result.output as { items: number[] }).items).toHaveLength(10_000);
  });

  test("past the pivot an item that fails parks, and retry goes on with it", async () => {
    await using stage = await Stage.open();
    let broken = true;
    const saga = build("after-pivot")
      .pivot("pay", { do: () => 1 })
      .map("ship", {
        after: ["pay"],
        over: () => [1, 2],
        do: (ctx) => (broken && ctx.item === 2 ? refuse() : ctx.item),
      })
      .build();
    const process = await stage.process(saga);
    const result = await stage.run(process, saga, null);
    expect(result).toMatchObject({
      status: "parked",
      parked: { reason: "step_failed_after_pivot", step: "ship[1]" },
    });
    broken = false;
    await stage.drive(process.sagas.retry(result.sagaId, { reason: "mended" }));
    expect(await stage.drive(process.sagas.result(result.sagaId))).toMatchObject({
      status: "completed",
      output: { ship: [1, 2] },
    });
  });
});
