import { describe, expect, test } from "vitest";
import { fail, outcomeUnknown } from "../core/decide/outcome.ts";
import type { FailureStrategy } from "../core/definition/policies.ts";
import { Stage, Trace, gate } from "../../../../tests/engine/stage.ts";
import { ClassicSaga } from "./classic-saga.ts";

const refuse = () => {
  throw fail("no");
};
const fallOver = () => {
  throw new Error("down");
};

describe("order", () => {
  test("if b could see a's result, b's undo completes before a's starts, through steps without compensation too", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "reverse" })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("check", trace.note("check"), undefined, { dependsOn: ["a"] })
      .addStep("b", trace.note("b"), trace.slow("undo b", { ms: 1_000 }), { dependsOn: ["check"] })
      .addStep("c", refuse, undefined, { dependsOn: ["b"] });
    await stage.run(await stage.process(saga), saga, null);
    expect(trace.calls).toEqual(["a", "check", "b", "undo b", "undo b finished", "undo a"]);
  });

  test("unordered undos run in parallel", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "parallel" })
      .addStep("a", trace.note("a"), trace.slow("undo a", { ms: 1_000 }))
      .addStep("b", trace.note("b"), trace.slow("undo b", { ms: 500 }))
      .addStep("c", refuse, undefined, { dependsOn: ["a", "b"] });
    const began = stage.clock.now();
    await stage.run(await stage.process(saga), saga, null);
    expect(trace.calls).toEqual(["a", "b", "undo a", "undo b", "undo b finished", "undo a finished"]);
    expect(stage.clock.now() - began).toBeLessThan(1_400);
  });

  test("`after` adds edges", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "edges" })
      .addStep("a", trace.note("a"), trace.slow("undo a", { ms: 1_000 }), { undoAfter: ["b"] })
      .addStep("b", trace.note("b"), trace.slow("undo b", { ms: 500 }))
      .addStep("c", refuse, undefined, { dependsOn: ["a", "b"] });
    await stage.run(await stage.process(saga), saga, null);
    expect(trace.calls.slice(2)).toEqual(["undo b", "undo b finished", "undo a", "undo a finished"]);
  });

  test("only what was done or may have been done is undone", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "only", retry: { maxAttempts: 1 } })
      .addStep("done", trace.note("done"), trace.undo("done"))
      .addStep("maybe", () => Promise.reject(outcomeUnknown("?")), trace.undo("maybe"), {
        dependsOn: ["done"],
      })
      .addStep("never", trace.note("never"), trace.undo("never"), { dependsOn: ["maybe"] });
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["done", "undo maybe", "undo done"]);
  });
});

describe("the context of a compensation", () => {
  test("carries the step's input, result, outcome, earlier compensation results and keys of its own", async () => {
    await using stage = await Stage.open();
    const seen: unknown[] = [];
    const saga = new ClassicSaga<{ n: number }>({ name: "undo-ctx" })
      .addStep(
        "a",
        () => ({ ref: 1 }),
        (ctx) => {
          seen.push(
            ctx.input,
            ctx.result,
            ctx.outcome,
            ctx.undone,
            ctx.idempotencyKey,
            ctx.actionKey,
            ctx.attempt,
          );
        },
      )
      .addStep(
        "b",
        () => "b",
        (ctx) => {
          seen.push(ctx.results["a"]);
          return { refund: 5 };
        },
        { dependsOn: ["a"] },
      )
      .addStep("c", refuse, undefined, { dependsOn: ["b"] });
    const { sagaId } = await stage.run(await stage.process(saga), saga, { n: 1 });
    expect(seen).toEqual([
      { ref: 1 },
      { n: 1 },
      { ref: 1 },
      "done",
      { b: { refund: 5 } },
      `${sagaId}/a/undo/0`,
      `${sagaId}/a/do/0`,
      1,
    ]);
  });

  test("a compensation whose own return value cannot be kept is recorded as done, with a warning", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "undo-value", sequential: true })
      .addStep(
        "a",
        () => 1,
        () => new Map(),
      )
      .addStep("b", refuse);
    const process = await stage.process(saga);
    expect(await stage.run(process, saga, null)).toMatchObject({ status: "compensated" });
    expect(process.logged.map(({ level }) => level)).toContain("warn");
  });
});

describe("a compensation that fails", () => {
  test("is retried ten times by default with a delay of up to a minute, then parks; independent undos still go on", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "parks" })
      .addStep("base", trace.note("base"), trace.undo("base"))
      .addStep("a", trace.note("a"), trace.undo("a", fallOver), { dependsOn: ["base"] })
      .addStep("b", trace.note("b"), trace.undo("b"))
      .addStep("c", refuse, undefined, { dependsOn: ["a", "b"] });
    const process = await stage.process(saga);
    const result = await stage.run(process, saga, null);
    expect(result).toMatchObject({
      status: "parked",
      parked: { reason: "compensation_failed", step: "a" },
      failure: { kind: "step", step: "c" },
      compensationErrors: [{ step: "a", error: { message: "down" } }],
    });
    expect(trace.calls.filter((call) => call === "undo a")).toHaveLength(10);
    expect(trace.calls).toContain("undo b");
    expect(trace.calls).not.toContain("undo base");
    const row = await stage.drive(process.sagas.list({ parkedReason: "compensation_failed" }));
    expect(row.sagas.map(({ sagaId }) => sagaId)).toEqual([result.sagaId]);
  });

  test("with `fail` it is final at once", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "final", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a", refuse))
      .addStep("b", refuse);
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "parked" });
    expect(trace.calls).toEqual(["a", "undo a"]);
  });

  test("for ever, with onExhausted `continue`: the saga ends only as compensated_with_exceptions", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "continue", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("b", trace.note("b"), trace.undo("b", fallOver), {
        onExhausted: "continue",
        undoRetry: { maxAttempts: 3 },
      })
      .addStep("c", refuse);
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(result).toMatchObject({
      status: "compensated_with_exceptions",
      exceptions: ["b"],
      failure: { step: "c", error: { message: "no" } },
      compensationErrors: [{ step: "b", error: { message: "down" } }],
    });
    expect(trace.calls).toEqual(["a", "b", "undo b", "undo b", "undo b", "undo a"]);
  });

  test("that never settles is aborted, retried and parked", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "hangs", sequential: true })
      .addStep(
        "a",
        trace.note("a"),
        trace.undo("a", () => new Promise(() => {})),
        {
          timeoutMs: 1_000,
          undoRetry: { maxAttempts: 2 },
        },
      )
      .addStep("b", refuse);
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({
      status: "parked",
      parked: { reason: "compensation_failed", step: "a" },
    });
    expect(trace.calls).toEqual(["a", "undo a", "undo a"]);
  });
});

describe("strategies, when a step finally fails while siblings run", () => {
  const race = (stage: Stage, strategy: FailureStrategy, ms: { sibling: number; grace?: number }) => {
    const trace = new Trace(stage);
    const saga = new ClassicSaga({
      name: `race-${strategy}-${ms.sibling}`,
      strategy,
      ...(ms.grace === undefined ? {} : { graceMs: ms.grace }),
    })
      .addStep("sibling", trace.slow("sibling", { ms: ms.sibling }), trace.undo("sibling"))
      .addStep("next", trace.note("next"), trace.undo("next"), { dependsOn: ["sibling"] })
      .addStep("quick", trace.note("quick"), trace.undo("quick"))
      .addStep("bad", refuse, undefined, { dependsOn: ["quick"] })
      .addStep("after_bad", trace.note("after_bad"), undefined, { dependsOn: ["bad"] });
    return { saga, trace };
  };

  test("FAIL_FAST aborts in-flight steps now; those are unknown, hence undone; nothing new is admitted", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = race(stage, "FAIL_FAST", { sibling: 1_000 });
    const began = stage.clock.now();
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "compensated" });
    expect(trace.calls.slice(0, 2)).toEqual(["sibling", "quick"]);
    expect(trace.calls.slice(2).toSorted()).toEqual(["undo quick", "undo sibling"]);
    expect(stage.clock.now() - began).toBeLessThan(500);
  });

  test("WAIT_ALL lets everything finish that does not depend on the failed step, then compensates", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = race(stage, "WAIT_ALL", { sibling: 100_000 });
    // The attempt's own time-out of 60 s still holds.
    const process = await stage.process(saga);
    await stage.run(process, saga, null);
    expect(trace.calls.filter((call) => call === "sibling")).toHaveLength(3);
    const other = race(stage, "WAIT_ALL", { sibling: 30_000 });
    const second = await stage.process(other.saga);
    expect(await stage.run(second, other.saga, null)).toMatchObject({ status: "compensated" });
    expect(other.trace.calls.slice(0, 4)).toEqual(["sibling", "quick", "sibling finished", "next"]);
    expect(other.trace.calls.slice(4).toSorted()).toEqual(["undo next", "undo quick", "undo sibling"]);
    expect(other.trace.calls.indexOf("undo next")).toBeLessThan(other.trace.calls.indexOf("undo sibling"));
  });

  test("FAIL_FAST_WITH_GRACE: in-flight steps that finish within the grace are done", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = race(stage, "FAIL_FAST_WITH_GRACE", { sibling: 1_500 });
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "compensated" });
    expect(trace.calls).toContain("sibling finished");
    expect(trace.calls).not.toContain("next");
    expect(trace.calls).toContain("undo sibling");
  });

  test("FAIL_FAST_WITH_GRACE: after the grace (2 s by default) as FAIL_FAST", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = race(stage, "FAIL_FAST_WITH_GRACE", { sibling: 30_000 });
    const began = stage.clock.now();
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "compensated" });
    expect(trace.calls).not.toContain("sibling finished");
    expect(trace.calls).toContain("undo sibling");
    expect(stage.clock.now() - began).toBeGreaterThanOrEqual(2_000);
    expect(stage.clock.now() - began).toBeLessThan(3_000);
  });

  test("the grace is configurable", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = race(stage, "FAIL_FAST_WITH_GRACE", { sibling: 30_000, grace: 40_000 });
    await stage.run(await stage.process(saga), saga, null);
    expect(trace.calls).toContain("sibling finished");
  });

  test("a step that waits for its next attempt gets none; a definite failure is not undone, an unknown one is", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({
      name: "waiting",
      retry: { initialMs: 60_000, jitter: "none", maxMs: 60_000 },
    })
      .addStep("failed", trace.note("failed", fallOver), trace.undo("failed"))
      .addStep(
        "unknown",
        trace.note("unknown", () => Promise.reject(outcomeUnknown("?"))),
        trace.undo("unknown"),
      )
      .addStep("bad", trace.slow("bad", { ms: 100 }), undefined)
      .addStep("worse", refuse, undefined, { dependsOn: ["bad"] });
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({
      status: "compensated",
      failure: { step: "worse" },
    });
    expect(trace.calls).toEqual(["failed", "unknown", "bad", "bad finished", "undo unknown"]);
  });

  test("two failures: the first is the failure, both are kept", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "two" }).addStep("first", refuse).addStep("second", async () => {
      await new Trace(stage).wait(100);
      throw fail("also no");
    });
    const process = await stage.process(saga);
    const result = await stage.run(process, saga, null);
    expect(result.failure).toMatchObject({ step: "first" });
    expect(
      (await process.sagas.get(result.sagaId)).steps.map(({ status, error }) => [status, error?.message]),
    ).toEqual([
      ["failed", "no"],
      ["failed", "also no"],
    ]);
  });
});

describe("an effect that happened never escapes its undo", () => {
  test("an action cut off and deaf is waited for, up to settleMs, before its undo", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "settles", strategy: "FAIL_FAST" })
      .addStep(
        "deaf",
        trace.slow("deaf", { ms: 3_000, deaf: true }),
        trace.undo("deaf", (ctx: { outcome: string }) => trace.calls.push(ctx.outcome)),
      )
      .addStep("bad", refuse);
    await stage.run(await stage.process(saga), saga, null);
    expect(trace.calls).toEqual(["deaf", "deaf finished", "undo deaf", "done"]);
  });

  test("late effect: an action that settles done while its undo runs is journalled, and undone again with the result", async () => {
    await using stage = await Stage.open();
    const late = gate<string>();
    const undoing = gate();
    const outcomes: unknown[] = [];
    const keys: string[] = [];
    const saga = new ClassicSaga({ name: "late", strategy: "FAIL_FAST", settleMs: 100 })
      .addStep(
        "deaf",
        () => late.promise,
        async (ctx) => {
          outcomes.push(ctx.outcome);
          keys.push(ctx.idempotencyKey);
          if (outcomes.length === 1) await undoing.promise;
          else outcomes.push(ctx.result);
        },
      )
      .addStep("bad", refuse);
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.clock.runUntil(() => outcomes.length === 1);
    late.open("charged");
    await stage.clock.settle();
    undoing.open();
    expect(await stage.end(handle)).toMatchObject({ status: "compensated" });
    expect(outcomes).toEqual(["unknown", "done", "charged"]);
    expect(keys).toEqual([`${handle.id}/deaf/undo/0`, `${handle.id}/deaf/undo/1`]);
    expect(await stage.history(process, handle.id)).toContain("late_effect(deaf)");
  });

  test("late effect after the saga has ended: it goes back to compensating and undoes it", async () => {
    await using stage = await Stage.open();
    const late = gate<string>();
    const outcomes: unknown[] = [];
    const saga = new ClassicSaga({ name: "very-late", strategy: "FAIL_FAST", settleMs: 100 })
      .addStep(
        "deaf",
        () => late.promise,
        (ctx) => void outcomes.push(ctx.outcome),
      )
      .addStep("bad", refuse);
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    expect(await stage.end(handle)).toMatchObject({ status: "compensated" });
    late.open("charged");
    await stage.clock.runUntil(() => outcomes.length === 2);
    expect(await stage.end(handle)).toMatchObject({ status: "compensated" });
    expect(outcomes).toEqual(["unknown", "done"]);
    const history = await stage.history(process, handle.id);
    expect(history.slice(history.indexOf("saga_compensated"))).toEqual([
      "saga_compensated",
      "late_effect(deaf)",
      "step_compensated(deaf)",
      "saga_compensated",
    ]);
  });
});

describe("undo is immune", () => {
  const slowUndo = (stage: Stage, options: object) => {
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "immune", sequential: true, ...options })
      .addStep("a", trace.note("a"), trace.slow("undo a", { ms: 20_000 }))
      .addStep("b", refuse);
    return { saga, trace };
  };

  test("to cancel, which changes nothing any more", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = slowUndo(stage, {});
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.clock.runUntil(() => trace.calls.includes("undo a"));
    await stage.drive(process.sagas.cancel(handle.id, { reason: "again" }));
    expect(await stage.end(handle)).toMatchObject({ status: "compensated", failure: { kind: "step" } });
    expect(trace.calls).toEqual(["a", "undo a", "undo a finished"]);
  });

  test("to the saga's time-out", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = slowUndo(stage, { timeoutMs: 5_000 });
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({
      status: "compensated",
      failure: { kind: "step" },
    });
    expect(trace.calls).toEqual(["a", "undo a", "undo a finished"]);
  });

  test("to the worker's shutdown: another worker goes on with it", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = slowUndo(stage, {});
    const first = await stage.processWith({ sagas: [saga], stopMs: 1_000 });
    const second = await stage.process(saga);
    const handle = await stage.start(first, saga, null);
    await stage.clock.runUntil(() => trace.calls.includes("undo a"));
    await first.stop();
    expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["a", "undo a", "undo a", "undo a finished"]);
  });

  test("to a crash", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = slowUndo(stage, {});
    const first = await stage.process(saga);
    const handle = await stage.start(first, saga, null);
    await stage.clock.runUntil(() => trace.calls.includes("undo a"));
    first.kill();
    const second = await stage.process(saga);
    expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({ status: "compensated" });
    expect(trace.calls.filter((call) => call === "undo a")).toHaveLength(2);
  });

  test("to a deploy: it goes on with the code that is new, on the graph that is old", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = slowUndo(stage, {});
    const old = await stage.processWith({ sagas: [saga], stopMs: 1_000 });
    const handle = await stage.start(old, saga, null);
    await stage.clock.runUntil(() => trace.calls.includes("undo a"));
    const mended = new ClassicSaga({ name: "immune", sequential: true })
      .addStep("a", trace.note("a"), trace.note("mended undo a"))
      .addStep("b", refuse);
    const next = new ClassicSaga({ name: "immune", version: 2 }).addStep("c", trace.note("c"));
    const deployed = await stage.process(next, mended);
    await old.stop();
    expect(await stage.drive(deployed.sagas.result(handle.id))).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["a", "undo a", "mended undo a"]);
  });
});

test("undone steps keep their results for what is undone later, and say so in the result", async () => {
  await using stage = await Stage.open();
  const saga = new ClassicSaga({ name: "results", sequential: true })
    .addStep("a", () => 1)
    .addStep(
      "b",
      () => 2,
      () => "gone",
    )
    .addStep("c", refuse);
  const process = await stage.process(saga);
  const result = await stage.run(process, saga, null);
  expect(result.results).toEqual({ a: 1 });
  expect(
    (await process.sagas.get(result.sagaId)).steps.map(({ step, status }) => `${step} ${status}`),
  ).toEqual(["a done", "b compensated", "c failed"]);
});
