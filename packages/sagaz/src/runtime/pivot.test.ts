import { describe, expect, test } from "vitest";
import { fail, outcomeUnknown } from "../core/decide/outcome.ts";
import { Stage, Trace, gate } from "../../../../tests/engine/stage.ts";
import { ClassicSaga } from "./classic-saga.ts";

const refuse = () => {
  throw fail("no");
};
const fallOver = () => {
  throw new Error("down");
};
const unsure = () => {
  throw outcomeUnknown("no reply");
};

describe("a pivot", () => {
  test("is journalled as started before its first attempt, in the write of its last dependency", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "pivot", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("pay", trace.note("pay"), undefined, { pivot: true })
      .addStep("ship", trace.note("ship"));
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    expect(await stage.history(process, sagaId)).toEqual([
      "saga_started",
      "step_done(a)",
      "pivot_started(pay)",
      "step_done(pay)",
      "step_done(ship)",
      "saga_completed",
    ]);
  });

  test("that failed sends the saga back", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "fails", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("pay", refuse, undefined, { pivot: true })
      .addStep("ship", trace.note("ship"));
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({
      status: "compensated",
      failure: { step: "pay" },
    });
    expect(trace.calls).toEqual(["a", "undo a"]);
  });

  test("of unknown outcome with attempts used up parks as pivot_unknown, and nothing is undone", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "unknown", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("pay", trace.note("pay", unsure), undefined, { pivot: true });
    const process = await stage.process(saga);
    const result = await stage.run(process, saga, null);
    expect(result).toMatchObject({ status: "parked", parked: { reason: "pivot_unknown", step: "pay" } });
    expect(trace.calls).toEqual(["a", "pay", "pay", "pay"]);
    expect((await process.sagas.plan(result.sagaId)).possible).toBe(false);
  });

  test("is never aborted or undone by a cancel in flight: done, the cancel is refused and the saga completes", async () => {
    await using stage = await Stage.open();
    const paying = gate();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "cancel-done", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep(
        "pay",
        trace.note("pay", () => paying.promise),
        undefined,
        { pivot: true },
      )
      .addStep("ship", trace.note("ship"));
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.clock.runUntil(() => trace.calls.includes("pay"));
    await stage.drive(process.sagas.cancel(handle.id, { reason: "too late?" }));
    expect(trace.calls).not.toContain("undo a");
    paying.open();
    expect(await stage.end(handle)).toMatchObject({ status: "completed" });
    expect(await stage.history(process, handle.id)).toContain("cancel_refused");
    await expect(stage.drive(process.sagas.cancel(handle.id, { reason: "now" }))).rejects.toMatchObject({
      code: "SAGAZ_PIVOT_PASSED",
    });
  });

  test("with a cancel in flight that failed: the saga goes back", async () => {
    await using stage = await Stage.open();
    const paying = gate();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "cancel-failed", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep(
        "pay",
        trace.note("pay", () => paying.promise),
        undefined,
        { pivot: true },
      );
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.clock.runUntil(() => trace.calls.includes("pay"));
    await stage.drive(process.sagas.cancel(handle.id, { reason: "in time" }));
    paying.fail(fail("declined"));
    expect(await stage.end(handle)).toMatchObject({ status: "compensated", failure: { step: "pay" } });
  });

  test("holds off the saga's time-out until its outcome is known", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const make = (name: string, pay: () => Promise<unknown>) =>
      new ClassicSaga({ name, sequential: true, timeoutMs: 5_000 })
        .addStep("a", trace.note("a"), trace.undo(`a of ${name}`))
        .addStep("pay", pay, undefined, { pivot: true })
        .addStep("ship", trace.note("ship"));
    const later = async (then: () => unknown) => {
      await trace.wait(20_000);
      return then();
    };
    const declined = make("declined", () => later(refuse));
    const paid = make("paid", () => later(() => "paid"));
    const process = await stage.process(declined, paid);
    expect(await stage.run(process, declined, null)).toMatchObject({ status: "compensated" });
    expect(await stage.run(process, paid, null)).toMatchObject({
      status: "parked",
      parked: { reason: "saga_timeout_after_pivot" },
    });
    expect(trace.calls).toEqual(["a", "undo a of declined", "a"]);
  });

  test("is not started once the saga will go back, however independent it is", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "no-return", strategy: "WAIT_ALL" })
      .addStep("bad", refuse)
      .addStep("slow", trace.slow("slow", { ms: 100 }))
      .addStep("pay", trace.note("pay"), undefined, { pivot: true, dependsOn: ["slow"] });
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["slow", "slow finished"]);
  });

  test("in flight is not aborted when a plain sibling fails: the sibling is retried, then parked", async () => {
    await using stage = await Stage.open();
    const paying = gate();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "sibling", strategy: "FAIL_FAST" })
      .addStep(
        "pay",
        async (ctx) => {
          ctx.signal.addEventListener("abort", () => trace.calls.push("aborted"));
          await paying.promise;
        },
        undefined,
        { pivot: true },
      )
      .addStep("check", async () => {
        await trace.wait(100);
        refuse();
      });
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    expect(await stage.end(handle)).toMatchObject({
      status: "parked",
      parked: { reason: "step_failed_after_pivot", step: "check" },
    });
    paying.open();
    await stage.clock.advance(1_000);
    expect((await stage.drive(process.sagas.get(handle.id))).steps.map(({ status }) => status)).toEqual([
      "done",
      "failed",
    ]);
    expect(trace.calls).toEqual([]);
  });
});

describe("a retriable step, after the pivot", () => {
  test("is retried for as long as its policy says, with a delay of up to a minute, then parked, never compensated", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const at: number[] = [];
    const work = () => {
      at.push(stage.clock.now());
      fallOver();
    };
    const saga = new ClassicSaga({ name: "patient", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("pay", trace.note("pay"), undefined, { pivot: true })
      .addStep("ship", work, undefined, { retry: { forMs: 600_000 } });
    const process = await stage.processWith({ sagas: [saga], leaseMs: 600_000 });
    const began = stage.clock.now();
    const handle = await stage.start(process, saga, null);
    await stage.clock.advance(590_000);
    expect(await stage.drive(process.sagas.get(handle.id))).toMatchObject({ status: "running" });
    await stage.clock.advance(600_000);
    expect(await stage.end(handle)).toMatchObject({
      status: "parked",
      parked: { reason: "step_failed_after_pivot", step: "ship" },
    });
    expect(trace.calls).toEqual(["a", "pay"]);
    expect(at.at(-1)! - began).toBeGreaterThanOrEqual(600_000);
    expect(at.length).toBeGreaterThan(12);
  });

  test("of unknown outcome is run again, and parks as outcome_unknown in the end", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "unsure", sequential: true })
      .addStep("pay", trace.note("pay"), undefined, { pivot: true })
      .addStep("ship", trace.note("ship", unsure), undefined, { retry: { maxAttempts: 2 } });
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({
      status: "parked",
      parked: { reason: "outcome_unknown", step: "ship" },
    });
    expect(trace.calls).toEqual(["pay", "ship", "ship"]);
  });

  test("failing for good parks the saga; other steps go on", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "others" })
      .addStep("pay", trace.note("pay"), undefined, { pivot: true })
      .addStep("bad", refuse, undefined, { dependsOn: ["pay"] })
      .addStep("slow", trace.slow("slow", { ms: 1_000 }), undefined, { dependsOn: ["pay"] })
      .addStep("then", trace.note("then"), undefined, { dependsOn: ["slow"] });
    const process = await stage.process(saga);
    await stage.run(process, saga, null);
    await stage.clock.advance(2_000);
    expect(trace.calls).toEqual(["pay", "slow", "slow finished", "then"]);
  });
});

test("a plain step unordered with the pivot becomes retriable once the pivot has started", async () => {
  await using stage = await Stage.open();
  const trace = new Trace(stage);
  let attempts = 0;
  const saga = new ClassicSaga({ name: "unordered", retry: { jitter: "none" } })
    .addStep("pay", trace.slow("pay", { ms: 1_000 }), undefined, { pivot: true })
    .addStep("notify", () => {
      attempts++;
      if (attempts < 8) throw new Error("down");
      return "sent";
    });
  expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "completed" });
  expect(attempts).toBe(8);
});
