import { describe, expect, test } from "vitest";
import { fail, outcomeUnknown, retryIn } from "../core/decide/outcome.ts";
import { Stage, Trace, gate } from "../../../../tests/engine/stage.ts";
import { saga as build } from "../core/definition/builder.ts";
import { ClassicSaga } from "./classic-saga.ts";

describe("order", () => {
  test("a step starts as soon as its own dependencies are done, without level barriers", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "levels" })
      .addStep("slow", trace.slow("slow", { ms: 1_000 }))
      .addStep("quick", trace.slow("quick", { ms: 10 }))
      .addStep("after_quick", trace.note("after_quick"), undefined, { dependsOn: ["quick"] })
      .addStep("last", trace.note("last"), undefined, { dependsOn: ["slow", "after_quick"] });
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(trace.calls).toEqual(["slow", "quick", "quick finished", "after_quick", "slow finished", "last"]);
    expect(result).toMatchObject({
      status: "completed",
      output: { slow: "slow", quick: "quick", after_quick: "after_quick", last: "last" },
    });
  });

  test("`sequential` chains the steps in source order", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "chain", sequential: true })
      .addStep("a", trace.slow("a", { ms: 100 }))
      .addStep("b", trace.slow("b", { ms: 1 }))
      .addStep("c", trace.note("c"));
    await stage.run(await stage.process(saga), saga, null);
    expect(trace.calls).toEqual(["a", "a finished", "b", "b finished", "c"]);
  });

  test("results cannot be changed, wherever they come from: a later owner would not see the change", async () => {
    await using stage = await Stage.open();
    const child = build("child")
      .step("x", { do: () => ({ n: 1 }) })
      .build();
    const saga = build("frozen")
      .step("plain", { do: () => ({ n: 1 }) })
      .map("list", { over: () => [3, 1, 2], do: ({ item }) => item })
      .signal("go")
      .child("child", { saga: child, input: () => undefined })
      .step("look", {
        after: ["plain", "list", "go", "child"],
        do: ({ results }) => Object.entries(results).map(([name, result]) => [name, Object.isFrozen(result)]),
      })
      .build();
    const process = await stage.process(saga, child);
    const handle = await stage.start(process, saga, undefined);
    await stage.drive(process.sagas.signal(handle.id, "go", { n: 1 }));
    const { output } = await stage.end(handle);
    expect(Object.fromEntries(output?.look as [string, boolean][])).toEqual({
      plain: true,
      list: true,
      go: true,
      child: true,
    });
  });

  test("one definition runs many sagas at once, each with its own input", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga<number>({ name: "many" })
      .addStep("double", async (ctx) => ctx.input * 2)
      .addStep("add", (ctx) => (ctx.results["double"] as number) + 1, undefined, { dependsOn: ["double"] });
    const process = await stage.process(saga);
    const handles = await stage.drive(
      Promise.all(Array.from({ length: 100 }, (_, i) => process.sagas.start(saga, i))),
    );
    const results = await stage.drive(Promise.all(handles.map((handle) => handle.result())));
    expect(results.map(({ output }) => output?.["add"])).toEqual(
      Array.from({ length: 100 }, (_, i) => i * 2 + 1),
    );
  });
});

describe("the context of an action", () => {
  test("carries input, results of dependencies, ids, key and headers", async () => {
    await using stage = await Stage.open();
    const seen: Record<string, unknown>[] = [];
    const saga = new ClassicSaga<{ n: number }>({ name: "context" })
      .addStep("a", () => ({ ref: 1 }))
      .addStep(
        "b",
        (ctx) => {
          const { input, sagaId, step, attempt, idempotencyKey, headers, item, index } = ctx;
          seen.push({ input, sagaId, step, attempt, idempotencyKey, headers, item, index });
          seen.push({ a: ctx.results["a"], aborted: ctx.signal.aborted });
          ctx.log.info("hello", { more: 1 });
          return null;
        },
        undefined,
        { dependsOn: ["a"] },
      );
    const process = await stage.process(saga);
    const { sagaId, status } = await stage.run(process, saga, { n: 7 }, { headers: { traceparent: "00-1" } });
    expect(status).toBe("completed");
    expect(seen).toEqual([
      {
        input: { n: 7 },
        sagaId,
        step: "b",
        attempt: 1,
        idempotencyKey: `${sagaId}/b/do/0`,
        headers: { traceparent: "00-1" },
        item: undefined,
        index: undefined,
      },
      { a: { ref: 1 }, aborted: false },
    ]);
    expect(process.logged).toContainEqual({
      level: "info",
      message: "hello",
      details: { sagaId, step: "b", more: 1 },
    });
  });

  test("only the results of a step's dependencies are visible, and values are frozen copies", async () => {
    await using stage = await Stage.open();
    const mine = { list: [1] };
    const saga = new ClassicSaga<{ list: number[] }>({ name: "visible", retry: { maxAttempts: 1 } })
      .addStep("a", () => mine)
      .addStep("aside", () => 1)
      .addStep(
        "b",
        (ctx) => {
          expect(ctx.results["nothing"]).toBeUndefined();
          expect(Object.isFrozen((ctx.results["a"] as typeof mine).list)).toBe(true);
          expect(Object.isFrozen(ctx.input.list)).toBe(true);
          mine.list.push(2);
          expect(ctx.results["a"]).toEqual({ list: [1] });
          return ctx.results["aside"];
        },
        undefined,
        { dependsOn: ["a"] },
      );
    const result = await stage.run(await stage.process(saga), saga, { list: [] });
    expect(result.failure).toMatchObject({ step: "b", error: { code: "SAGAZ_NOT_A_DEPENDENCY" } });
  });

  test("`tx` in a step that is not transactional is a coded error", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "no-tx", retry: { maxAttempts: 1 } }).addStep("a", (ctx) =>
      ctx.tx("select 1"),
    );
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(result.failure).toMatchObject({ error: { code: "SAGAZ_NOT_TRANSACTIONAL" } });
  });
});

describe("the outcome of an attempt", () => {
  test("`fail` is a business failure: final, no retry, and the failed step itself is not undone", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "business", sequential: true })
      .addStep("reserve", trace.note("reserve"), trace.undo("reserve"))
      .addStep(
        "charge",
        trace.note("charge", () => {
          throw fail("card declined", { code: 51 });
        }),
        trace.undo("charge"),
      );
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(trace.calls).toEqual(["reserve", "charge", "undo reserve"]);
    expect(result).toMatchObject({
      status: "compensated",
      failure: {
        kind: "step",
        step: "charge",
        error: { kind: "business", message: "card declined", details: { code: 51 } },
      },
      output: undefined,
    });
  });

  test("any other throw is retried with the same key, with growing delays, up to maxAttempts", async () => {
    await using stage = await Stage.open();
    const attempts: [number, number, string][] = [];
    const began = stage.clock.now();
    const saga = new ClassicSaga({ name: "retry", retry: { jitter: "none" } }).addStep("a", (ctx) => {
      attempts.push([ctx.attempt, stage.clock.now() - began, ctx.idempotencyKey]);
      throw new Error("no");
    });
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(attempts.map(([attempt]) => attempt)).toEqual([1, 2, 3]);
    const [first, second, third] = attempts.map(([, at]) => at) as [number, number, number];
    expect([second - first, third - second]).toEqual([100, 200]);
    expect(new Set(attempts.map(([, , key]) => key)).size).toBe(1);
    expect(result).toMatchObject({ status: "compensated", failure: { step: "a", error: { message: "no" } } });
  });

  test("`retry.when` says no: final at once; when it throws itself, that error is final", async () => {
    await using stage = await Stage.open();
    let calls = 0;
    const saga = (name: string, when: (error: unknown) => boolean) =>
      new ClassicSaga({ name, retry: { when } }).addStep("a", () => {
        calls++;
        throw new Error("plain");
      });
    const no = saga("says-no", (error) => (error as Error).message !== "plain");
    const broken = saga("throws", () => {
      throw new Error("in when");
    });
    const process = await stage.process(no, broken);
    expect((await stage.run(process, no, null)).failure).toMatchObject({ error: { message: "plain" } });
    expect((await stage.run(process, broken, null)).failure).toMatchObject({ error: { message: "in when" } });
    expect(calls).toBe(2);
  });

  test("`retryIn` from an action sets the next delay itself, short or long", async () => {
    await using stage = await Stage.open();
    const at: number[] = [];
    const saga = new ClassicSaga({ name: "retry-in" }).addStep("a", (ctx) => {
      at.push(stage.clock.now());
      if (ctx.attempt === 1) throw retryIn(1_234);
      if (ctx.attempt === 2) throw retryIn(600_000, new Error("busy"));
      return "done";
    });
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    expect(await stage.end(handle)).toMatchObject({ status: "completed", output: { a: "done" } });
    expect(at[1]! - at[0]!).toBe(1_234);
    // A long delay is durable: the saga leaves memory, and the next heartbeat after its time brings it back.
    expect(at[2]! - at[1]!).toBeGreaterThanOrEqual(600_000);
    expect(at[2]! - at[1]!).toBeLessThan(600_000 + 25_000);
    const scheduled = (await process.sagas.events(handle.id)).find(({ type }) => type === "retry_scheduled");
    expect(scheduled).toMatchObject({ data: { error: { message: "busy" } } });
  });

  test("an attempt that times out is unknown; without `verify` it is run again with the same key", async () => {
    await using stage = await Stage.open();
    const keys: string[] = [];
    const saga = new ClassicSaga({ name: "timeout" }).addStep(
      "a",
      async (ctx) => {
        keys.push(ctx.idempotencyKey);
        if (ctx.attempt === 1) await new Trace(stage).wait(9_999_999, ctx.signal);
        return ctx.attempt;
      },
      undefined,
      { timeoutMs: 500 },
    );
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(result).toMatchObject({ status: "completed", output: { a: 2 } });
    expect(keys).toEqual([keys[0], keys[0]]);
  });

  test("unknown with attempts used up is maybe done: the compensation runs and is told so", async () => {
    await using stage = await Stage.open();
    const seen: unknown[] = [];
    const saga = new ClassicSaga({ name: "maybe", retry: { maxAttempts: 2 } }).addStep(
      "a",
      () => {
        throw outcomeUnknown("no reply");
      },
      (ctx) => {
        seen.push(ctx.outcome, ctx.actionKey, ctx.idempotencyKey);
        expect(() => ctx.result).toThrow(expect.objectContaining({ code: "SAGAZ_RESULT_UNKNOWN" }));
      },
    );
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(result).toMatchObject({ status: "compensated", failure: { error: { kind: "ambiguous" } } });
    expect(seen).toEqual(["unknown", `${result.sagaId}/a/do/0`, `${result.sagaId}/a/undo/0`]);
  });

  test("a throw after an unknown attempt proves nothing: the step may still have been done", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "masked" }).addStep(
      "a",
      (ctx) => {
        if (ctx.attempt === 1) throw outcomeUnknown("no reply");
        throw fail("duplicate request");
      },
      trace.undo("a"),
    );
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["undo a"]);
  });

  test("a compensation that reads the result of an unknown outcome parks instead of guessing", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "guess", retry: { maxAttempts: 1 } }).addStep(
      "a",
      () => {
        throw outcomeUnknown("no reply");
      },
      (ctx) => ctx.result,
      { undoRetry: { maxAttempts: 2 } },
    );
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(result).toMatchObject({
      status: "parked",
      parked: { reason: "compensation_failed", step: "a" },
      compensationErrors: [{ step: "a", error: { code: "SAGAZ_RESULT_UNKNOWN" } }],
    });
  });
});

describe("verify", () => {
  const unsure = (name: string, verdicts: readonly unknown[], options: object = {}) => {
    const asked: number[] = [];
    const undone: unknown[] = [];
    let attempts = 0;
    const saga = new ClassicSaga({ name }).addStep(
      "a",
      () => {
        attempts++;
        throw outcomeUnknown("no reply");
      },
      (ctx) => void undone.push(ctx.outcome),
      {
        retry: { maxAttempts: 2 },
        ...options,
        verify: () => {
          asked.push(attempts);
          const verdict = verdicts[asked.length - 1] ?? { outcome: "unknown" };
          if (verdict instanceof Error) throw verdict;
          return verdict as { outcome: "done"; result: never };
        },
      },
    );
    return { saga, asked, undone, attempts: () => attempts };
  };

  test("done: its result is the step's, and no attempt follows", async () => {
    await using stage = await Stage.open();
    const { saga, attempts } = unsure("verified", [{ outcome: "done", result: { ref: 9 } }]);
    const process = await stage.process(saga);
    const result = await stage.run(process, saga, null);
    expect(result).toMatchObject({ status: "completed", output: { a: { ref: 9 } } });
    expect(attempts()).toBe(1);
    expect(
      (await process.sagas.events(result.sagaId)).find(({ type }) => type === "step_done"),
    ).toMatchObject({
      data: { verified: true },
    });
  });

  test("not done: the action is run again", async () => {
    await using stage = await Stage.open();
    const { saga, attempts } = unsure("again", [{ outcome: "not_done" }, { outcome: "done", result: 2 }]);
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({
      status: "completed",
      output: { a: 2 },
    });
    expect(attempts()).toBe(2);
  });

  test("not done with attempts used up: a definite failure, nothing to undo", async () => {
    await using stage = await Stage.open();
    const { saga, undone } = unsure("not-done", [{ outcome: "not_done" }, { outcome: "not_done" }]);
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "compensated" });
    expect(undone).toEqual([]);
  });

  test("still unknown, nonsense or a throw: rerun while attempts remain, then maybe done", async () => {
    await using stage = await Stage.open();
    const { saga, asked, undone, attempts } = unsure("unsure", [{ outcome: "perhaps" }, new Error("down")]);
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "compensated" });
    expect([asked, undone, attempts()]).toEqual([[1, 2], ["unknown"], 2]);
  });

  test("sees what the action sees", async () => {
    await using stage = await Stage.open();
    const seen: unknown[] = [];
    const saga = new ClassicSaga<{ n: number }>({ name: "verify-ctx" })
      .addStep("a", () => "ref")
      .addStep(
        "b",
        () => {
          throw outcomeUnknown("no reply");
        },
        undefined,
        {
          dependsOn: ["a"],
          verify: (ctx) => {
            seen.push(ctx.input, ctx.results["a"], ctx.idempotencyKey);
            return { outcome: "done", result: null as never };
          },
        },
      );
    const { sagaId } = await stage.run(await stage.process(saga), saga, { n: 1 });
    expect(seen).toEqual([{ n: 1 }, "ref", `${sagaId}/b/do/0`]);
  });
});

describe("onUnknown", () => {
  const saga = (name: string, onUnknown: "rerun" | "undo" | "park", trace: Trace) =>
    new ClassicSaga({ name }).addStep(
      "a",
      trace.note("a", () => {
        throw outcomeUnknown("no reply");
      }),
      trace.undo("a"),
      { onUnknown },
    );

  test("`undo` goes back after the first unknown attempt", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const undo = saga("undo-it", "undo", trace);
    expect(await stage.run(await stage.process(undo), undo, null)).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["a", "undo a"]);
  });

  test("`park` waits for a person after the first unknown attempt", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const park = saga("park-it", "park", trace);
    expect(await stage.run(await stage.process(park), park, null)).toMatchObject({
      status: "parked",
      parked: { reason: "outcome_unknown", step: "a" },
    });
    expect(trace.calls).toEqual(["a"]);
  });

  test("`rerun` is the default: all attempts, then maybe done", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const rerun = saga("rerun-it", "rerun", trace);
    expect(await stage.run(await stage.process(rerun), rerun, null)).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["a", "a", "a", "undo a"]);
  });
});

describe("timeouts", () => {
  test("per attempt: the signal aborts with a coded reason, and a function that heeds it is not waited for", async () => {
    await using stage = await Stage.open();
    const reasons: unknown[] = [];
    const began = stage.clock.now();
    const saga = new ClassicSaga({ name: "heeds", retry: { maxAttempts: 1 } }).addStep(
      "a",
      async (ctx) => {
        await new Trace(stage).wait(999_999, ctx.signal).catch((reason: unknown) => {
          reasons.push(reason);
          throw reason;
        });
      },
      undefined,
      { timeoutMs: 1_000 },
    );
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(reasons).toEqual([expect.objectContaining({ code: "SAGAZ_ATTEMPT_TIMEOUT" })]);
    expect(result).toMatchObject({ status: "compensated", failure: { error: { kind: "timeout" } } });
    expect(stage.clock.now() - began).toBeLessThan(2_000);
  });

  test("60 s is the default for one attempt", async () => {
    await using stage = await Stage.open();
    let abortedAt = 0;
    const began = stage.clock.now();
    const saga = new ClassicSaga({ name: "default", retry: { maxAttempts: 1 } }).addStep(
      "a",
      (ctx) =>
        new Promise((_, reject) => {
          ctx.signal.addEventListener("abort", () => {
            abortedAt = stage.clock.now();
            reject(new Error("aborted"));
          });
        }),
    );
    await stage.run(await stage.process(saga), saga, null);
    expect(abortedAt - began).toBeGreaterThanOrEqual(60_000);
    expect(abortedAt - began).toBeLessThan(60_100);
  });

  test("settleMs: a step that never settles is given up on, and counts as maybe done", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const began = stage.clock.now();
    const saga = new ClassicSaga({ name: "never", retry: { maxAttempts: 1 }, settleMs: 3_000 }).addStep(
      "a",
      trace.note("a", () => new Promise(() => {})),
      trace.undo("a"),
      { timeoutMs: 1_000 },
    );
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(result).toMatchObject({ status: "compensated", failure: { error: { kind: "timeout" } } });
    expect(trace.calls).toEqual(["a", "undo a"]);
    expect(stage.clock.now() - began).toBeGreaterThanOrEqual(4_000);
  });

  test("what settles while the engine waits is the outcome", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "late", settleMs: 5_000 }).addStep(
      "a",
      trace.slow("a", { ms: 4_000, deaf: true }),
      trace.undo("a"),
      { timeoutMs: 1_000 },
    );
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "completed" });
    expect(trace.calls).toEqual(["a", "a finished"]);
  });

  test("per step over all attempts: no attempt begins after it", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({
      name: "step",
      retry: { maxAttempts: 100, initialMs: 1_000, factor: 1, jitter: "none" },
    })
      .addStep("first", trace.slow("first", { ms: 5_000 }))
      .addStep(
        "a",
        trace.note("a", () => {
          throw new Error("no");
        }),
        undefined,
        { dependsOn: ["first"], stepTimeoutMs: 3_500 },
      );
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({ status: "compensated" });
    // It became ready after 5 s: at 0, 1, 2 and 3 s of its own time.
    expect(trace.calls.filter((call) => call === "a")).toHaveLength(5);
  });

  test("per saga before the pivot: what was done is undone, what is in flight is cut off", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "whole", timeoutMs: 10_000, graceMs: 1_000, strategy: "WAIT_ALL" })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("b", trace.slow("b", { ms: 50_000 }), trace.undo("b"), { dependsOn: ["a"] })
      .addStep("c", trace.note("c"), undefined, { dependsOn: ["b"] });
    const began = stage.clock.now();
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(result).toMatchObject({ status: "compensated", failure: { kind: "timeout" } });
    expect(trace.calls).toEqual(["a", "b", "undo b", "undo a"]);
    expect(stage.clock.now() - began).toBeLessThan(12_000);
  });
});

describe("an attempt and its siblings", () => {
  test("a slow sibling's result is kept when the process is busy elsewhere", async () => {
    await using stage = await Stage.open();
    const first = gate<string>();
    const saga = new ClassicSaga({ name: "siblings" })
      .addStep("a", () => first.promise)
      .addStep("b", () => "b")
      .addStep("c", (ctx) => [ctx.results["a"], ctx.results["b"]], undefined, { dependsOn: ["a", "b"] });
    const handle = await stage.start(await stage.process(saga), saga, null);
    first.open("a");
    expect((await stage.end(handle)).output).toEqual({ a: "a", b: "b", c: ["a", "b"] });
  });
});
