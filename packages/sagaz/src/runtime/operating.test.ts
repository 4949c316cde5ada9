import { describe, expect, test } from "vitest";
import { saga as build } from "../core/definition/builder.ts";
import { unchecked } from "../core/definition/standard-schema.ts";
import { fail, outcomeUnknown } from "../core/decide/outcome.ts";
import { Stage, Trace, gate } from "../../../../tests/engine/stage.ts";
import { ClassicSaga } from "./classic-saga.ts";

const refuse = () => {
  throw fail("no");
};
const unsure = () => {
  throw outcomeUnknown("no reply");
};
const by = { actor: "ann", reason: "ticket 12" };

describe("every request", () => {
  test("needs a reason, and is a journal event with the actor's name", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "reason" }).addStep("a", () => new Promise(() => {}));
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await expect(process.sagas.cancel(handle.id, { reason: " " })).rejects.toMatchObject({
      code: "SAGAZ_REASON_REQUIRED",
    });
    await stage.drive(process.sagas.pause(handle.id, by));
    await stage.drive(process.sagas.resume(handle.id, { reason: "go on" }));
    const events = await stage.drive(process.sagas.events(handle.id));
    expect(events.slice(1)).toMatchObject([
      { type: "saga_paused", data: by },
      { type: "saga_resumed", data: { actor: "unknown", reason: "go on" } },
    ]);
  });

  test("for a saga that does not exist is SAGAZ_SAGA_NOT_FOUND", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "absent" }).addStep("a", () => 1);
    const process = await stage.process(saga);
    const id = "01890a5d-ac96-774b-bcce-b302099a8057";
    const missing = { code: "SAGAZ_SAGA_NOT_FOUND" };
    const { sagas } = process;
    const calls: (() => Promise<unknown>)[] = [
      () => sagas.cancel(id, by),
      () => sagas.get(id),
      () => sagas.result(id),
      () => sagas.events(id),
      () => sagas.stateAt(id, { seq: 1 }),
      () => sagas.plan(id),
      () => sagas.fork(id, { fromStep: "a", ...by }),
      () => sagas.fork(id, { fromStep: "a", input: 1, ...by }),
      () => sagas.resolve(id, "a", { outcome: "not_done", ...by }),
    ];
    for (const call of calls) await expect(stage.drive(call())).rejects.toMatchObject(missing);
    expect(await stage.drive(sagas.find(id))).toBeUndefined();
  });

  test("needs a parked saga for retry, skip, resolve and forceClose, and one that has not ended", async () => {
    await using stage = await Stage.open();
    const working = gate();
    const saga = new ClassicSaga({ name: "not-parked" }).addStep("a", () => working.promise);
    const process = await stage.process(saga);
    const { sagas } = process;
    const handle = await stage.start(process, saga, null);
    const calls = [
      () => sagas.retry(handle.id, by),
      () => sagas.skip(handle.id, "a", by),
      () => sagas.resolve(handle.id, "a", { outcome: "done", ...by }),
      () => sagas.forceClose(handle.id, by),
    ];
    for (const call of calls)
      await expect(stage.drive(call())).rejects.toMatchObject({ code: "SAGAZ_NOT_PARKED" });
    working.open();
    await stage.end(handle);
    for (const call of [...calls, () => sagas.pause(handle.id, by)])
      await expect(stage.drive(call())).rejects.toMatchObject({ code: "SAGAZ_SAGA_ENDED" });
  });

  test("is carried out by the saga's owner, whichever process asks", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "elsewhere" }).addStep("a", () => new Promise(() => {}));
    const owner = await stage.process(saga);
    const asker = await stage.processWith({ sagas: [saga], sagasInFlightMax: 0 });
    const handle = await stage.start(owner, saga, null);
    await stage.drive(asker.sagas.cancel(handle.id, by));
    expect(await stage.drive(asker.sagas.result(handle.id))).toMatchObject({
      status: "compensated",
      failure: { kind: "cancel", ...by },
    });
  });

  test("that nobody takes is stored, and said to be pending", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "nobody" }).addStep("a", trace.slow("a", { ms: 30_000 }));
    const idle = await stage.processWith({ sagas: [saga], sagasInFlightMax: 0 });
    const handle = await stage.start(idle, saga, null);
    await expect(stage.drive(idle.sagas.cancel(handle.id, by))).rejects.toMatchObject({
      code: "SAGAZ_REQUEST_PENDING",
      retryable: true,
    });
    const worker = await stage.process(saga);
    expect(await stage.drive(worker.sagas.result(handle.id))).toMatchObject({ status: "compensated" });
  });
});

describe("cancel", () => {
  test("before any step ends is compensated", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "early" }).addStep("a", () => 1);
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null, {
      startAt: new Date(stage.clock.now() + 3_600_000),
    });
    await stage.drive(process.sagas.cancel(handle.id, by));
    expect(await stage.end(handle)).toMatchObject({ status: "compensated", results: {} });
  });

  test("of a completed saga without a pivot undoes it", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "completed", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("b", trace.note("b"), trace.undo("b"));
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    await stage.drive(process.sagas.cancel(sagaId, by));
    await stage.clock.runUntil(() => trace.calls.length === 4);
    expect(await stage.drive(process.sagas.result(sagaId))).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["a", "b", "undo b", "undo a"]);
    await expect(stage.drive(process.sagas.cancel(sagaId, by))).rejects.toMatchObject({
      code: "SAGAZ_SAGA_ENDED",
    });
  });

  test("twice is once", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "twice" }).addStep(
      "a",
      trace.slow("a", { ms: 50_000 }),
      trace.undo("a"),
    );
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.drive(
      Promise.all([process.sagas.cancel(handle.id, by), process.sagas.cancel(handle.id, by)]),
    );
    await stage.end(handle);
    expect(
      (await stage.history(process, handle.id)).filter((type) => type === "cancel_requested"),
    ).toHaveLength(1);
    expect(trace.calls).toEqual(["a", "undo a"]);
  });

  test("gives steps in flight the grace, whatever the strategy would wait for", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "wait-all", strategy: "WAIT_ALL" }).addStep(
      "a",
      trace.slow("a", { ms: 50_000 }),
      trace.undo("a"),
    );
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    const began = stage.clock.now();
    await stage.drive(process.sagas.cancel(handle.id, by));
    await stage.end(handle);
    expect(stage.clock.now() - began).toBeLessThan(4_000);
  });
});

describe("pause and resume", () => {
  test("nothing new starts, undo included; what is in flight ends", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "pause", sequential: true })
      .addStep("a", trace.slow("a", { ms: 1_000 }), trace.undo("a"))
      .addStep("b", trace.note("b", refuse));
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.drive(process.sagas.pause(handle.id, by));
    await stage.drive(process.sagas.pause(handle.id, by));
    await stage.clock.advance(10_000);
    expect(trace.calls).toEqual(["a", "a finished"]);
    const paused = await stage.drive(process.sagas.list({ paused: true }));
    expect(paused.sagas).toMatchObject([{ sagaId: handle.id, status: "running", waitingFor: "operator" }]);
    await stage.drive(process.sagas.resume(handle.id, by));
    await stage.drive(process.sagas.resume(handle.id, by));
    expect(await stage.end(handle)).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["a", "a finished", "b", "undo a"]);
  });

  test("undo stands still too", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "pause-undo", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("b", trace.note("b"), trace.slow("undo b", { ms: 1_000 }))
      .addStep("c", refuse);
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.clock.runUntil(() => trace.calls.includes("undo b"));
    await stage.drive(process.sagas.pause(handle.id, by));
    await stage.clock.advance(100_000);
    expect(trace.calls).not.toContain("undo a");
    await stage.drive(process.sagas.resume(handle.id, by));
    expect(await stage.end(handle)).toMatchObject({ status: "compensated" });
  });

  test("time-outs stand still", async () => {
    await using stage = await Stage.open();
    const saga = build("pause-timeout", { timeoutMs: 60_000 }).signal("go", { waitMs: 60_000 }).build();
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.clock.advance(10_000);
    await stage.drive(process.sagas.pause(handle.id, by));
    await stage.clock.advance(600_000);
    await stage.drive(process.sagas.resume(handle.id, by));
    await stage.clock.advance(10_000);
    expect(await stage.drive(process.sagas.get(handle.id))).toMatchObject({ status: "running" });
    await stage.drive(process.sagas.signal(handle.id, "go"));
    expect(await stage.end(handle)).toMatchObject({ status: "completed" });
  });

  test("a process that takes over a paused saga leaves it paused", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "pause-crash", sequential: true })
      .addStep("a", trace.slow("a", { ms: 1_000 }))
      .addStep("b", trace.note("b"));
    const first = await stage.process(saga);
    const handle = await stage.start(first, saga, null);
    await stage.drive(first.sagas.pause(handle.id, by));
    first.kill();
    const second = await stage.process(saga);
    await stage.clock.advance(200_000);
    expect(trace.calls).toEqual(["a"]);
    await stage.drive(second.sagas.resume(handle.id, by));
    expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({ status: "completed" });
  });
});

describe("a parked saga", () => {
  test("retry of a definite failure after the pivot: a new round, hence a new key", async () => {
    await using stage = await Stage.open();
    const keys: string[] = [];
    let mended = false;
    const saga = new ClassicSaga({ name: "rounds", sequential: true })
      .addStep("pay", () => 1, undefined, { pivot: true })
      .addStep("ship", (ctx) => {
        keys.push(ctx.idempotencyKey);
        return mended ? "shipped" : refuse();
      });
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    mended = true;
    await stage.drive(process.sagas.retry(sagaId, by));
    expect(await stage.drive(process.sagas.result(sagaId))).toMatchObject({ status: "completed" });
    expect(keys).toEqual([`${sagaId}/ship/do/0`, `${sagaId}/ship/do/1`]);
  });

  test("retry of an unknown outcome keeps the key, and asks verify first", async () => {
    await using stage = await Stage.open();
    const keys: string[] = [];
    const asked: number[] = [];
    let mended = false;
    const saga = new ClassicSaga({ name: "same-key", sequential: true }).addStep(
      "pay",
      (ctx) => {
        keys.push(ctx.idempotencyKey);
        return mended ? "paid" : unsure();
      },
      undefined,
      {
        pivot: true,
        retry: { maxAttempts: 1 },
        verify: () => {
          asked.push(keys.length);
          return { outcome: mended ? "not_done" : "unknown" };
        },
      },
    );
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    mended = true;
    await stage.drive(process.sagas.retry(sagaId, by));
    expect(await stage.drive(process.sagas.result(sagaId))).toMatchObject({ status: "completed" });
    expect(keys).toEqual([`${sagaId}/pay/do/0`, `${sagaId}/pay/do/0`]);
    expect(asked).toEqual([1, 1]);
  });

  test("retry of a compensation: same key after an error, a new one after a definite failure", async () => {
    await using stage = await Stage.open();
    const keys: string[] = [];
    const answers = [() => Promise.reject(new Error("down")), refuse, () => "undone"];
    const saga = new ClassicSaga({ name: "undo-rounds", sequential: true })
      .addStep(
        "a",
        () => 1,
        (ctx) => {
          keys.push(ctx.idempotencyKey);
          return answers[keys.length - 1]!();
        },
        { undoRetry: { maxAttempts: 1 } },
      )
      .addStep("b", refuse);
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    for (let i = 0; i < 2; i++) {
      await stage.drive(process.sagas.retry(sagaId, by));
      await stage.drive(process.sagas.result(sagaId, { orParked: true }));
      await stage.clock.advance(1_000);
    }
    expect(await stage.drive(process.sagas.result(sagaId))).toMatchObject({ status: "compensated" });
    expect(keys).toEqual([`${sagaId}/a/undo/0`, `${sagaId}/a/undo/0`, `${sagaId}/a/undo/1`]);
  });

  test("retry after a time-out past the pivot goes on", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "late", sequential: true, timeoutMs: 5_000 })
      .addStep("pay", trace.slow("pay", { ms: 10_000 }), undefined, { pivot: true })
      .addStep("ship", trace.note("ship"));
    const process = await stage.process(saga);
    const { sagaId, status } = await stage.run(process, saga, null);
    expect(status).toBe("parked");
    await stage.drive(process.sagas.retry(sagaId, by));
    expect(await stage.drive(process.sagas.result(sagaId))).toMatchObject({ status: "completed" });
  });

  test("skip of a compensation: the saga ends with exceptions, and what waited for it goes on", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "skip-undo", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("b", trace.note("b"), trace.undo("b", refuse))
      .addStep("c", refuse);
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    await expect(stage.drive(process.sagas.skip(sagaId, "a", by))).rejects.toMatchObject({
      code: "SAGAZ_STEP_NOT_BLOCKED",
    });
    await expect(stage.drive(process.sagas.skip(sagaId, "bb", by))).rejects.toMatchObject({
      code: "SAGAZ_UNKNOWN_STEP",
    });
    await stage.drive(process.sagas.skip(sagaId, "b", by));
    expect(await stage.drive(process.sagas.result(sagaId))).toMatchObject({
      status: "compensated_with_exceptions",
      exceptions: ["b"],
    });
    expect(trace.calls).toEqual(["a", "b", "undo b", "undo a"]);
  });

  test("skip of a forward step that nobody depends on; of one that is needed it is refused", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "skip-do" })
      .addStep("pay", () => 1, undefined, { pivot: true })
      .addStep("needed", refuse, undefined, { dependsOn: ["pay"] })
      .addStep("user", trace.note("user"), undefined, { dependsOn: ["needed"] })
      .addStep("mail", refuse, undefined, { dependsOn: ["pay"] });
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    await stage.clock.advance(1_000);
    await expect(stage.drive(process.sagas.skip(sagaId, "needed", by))).rejects.toMatchObject({
      code: "SAGAZ_STEP_NEEDED",
      message: expect.stringContaining("user") as string,
    });
    await stage.drive(process.sagas.skip(sagaId, "mail", by));
    await stage.drive(process.sagas.resolve(sagaId, "needed", { outcome: "done", result: 5, ...by }));
    const result = await stage.drive(process.sagas.result(sagaId));
    expect(result).toMatchObject({ status: "completed", output: { needed: 5, user: "user" } });
    expect(result.results).not.toHaveProperty("mail");
  });

  test("the pivot itself is never skipped, only resolved", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "skip-pivot" }).addStep("pay", unsure, undefined, { pivot: true });
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    await expect(stage.drive(process.sagas.skip(sagaId, "pay", by))).rejects.toMatchObject({
      code: "SAGAZ_STEP_NEEDED",
    });
    await stage.drive(process.sagas.resolve(sagaId, "pay", { outcome: "done", result: { ref: 1 }, ...by }));
    expect(await stage.drive(process.sagas.result(sagaId))).toMatchObject({
      status: "completed",
      output: { pay: { ref: 1 } },
    });
  });

  test("resolve a pivot as not done: the saga goes back", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "pivot-not-done", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("pay", unsure, undefined, { pivot: true });
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    await stage.drive(process.sagas.resolve(sagaId, "pay", { outcome: "not_done", ...by }));
    expect(await stage.drive(process.sagas.result(sagaId))).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["a", "undo a"]);
  });

  test("resolve checks the result by the step's schema", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "resolve-schema" }).addStep("pay", unsure, undefined, {
      pivot: true,
      result: {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: (value) =>
            typeof value === "string" ? { value: value.toUpperCase() } : { issues: [{ message: "no text" }] },
        },
      },
    });
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    const resolve = (result: unknown) =>
      stage.drive(process.sagas.resolve(sagaId, "pay", { outcome: "done", result, ...by }));
    await expect(resolve(1)).rejects.toMatchObject({ code: "SAGAZ_RESULT_INVALID" });
    await expect(resolve(new Set())).rejects.toMatchObject({ code: "SAGAZ_RESULT_INVALID" });
    await resolve("ref");
    expect(await stage.drive(process.sagas.result(sagaId))).toMatchObject({ output: { pay: "REF" } });
  });

  test("resolve a compensation as done; as not done it is refused with advice", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "resolve-undo", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("b", trace.note("b"), refuse)
      .addStep("c", refuse);
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    await expect(
      stage.drive(process.sagas.resolve(sagaId, "b", { outcome: "not_done", ...by })),
    ).rejects.toMatchObject({ code: "SAGAZ_STEP_NOT_BLOCKED" });
    await stage.drive(process.sagas.resolve(sagaId, "b", { outcome: "done", ...by }));
    expect(await stage.drive(process.sagas.result(sagaId))).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["a", "b", "undo a"]);
  });

  test("resolve as not done after the pivot is refused: there is no way back", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "no-way-back", sequential: true })
      .addStep("pay", () => 1, undefined, { pivot: true })
      .addStep("ship", refuse);
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    await expect(
      stage.drive(process.sagas.resolve(sagaId, "ship", { outcome: "not_done", ...by })),
    ).rejects.toMatchObject({ code: "SAGAZ_PIVOT_PASSED" });
  });

  test("outcome_unknown before the pivot can be resolved either way, or cancelled", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "either", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("b", unsure, trace.undo("b"), { onUnknown: "park" })
      .addStep("c", trace.note("c"), undefined);
    const process = await stage.process(saga);
    const parked = async () => (await stage.run(process, saga, null)).sagaId;
    const done = await parked();
    await stage.drive(process.sagas.resolve(done, "b", { outcome: "done", result: 1, ...by }));
    expect(await stage.drive(process.sagas.result(done))).toMatchObject({ status: "completed" });
    const notDone = await parked();
    await stage.drive(process.sagas.resolve(notDone, "b", { outcome: "not_done", ...by }));
    expect(await stage.drive(process.sagas.result(notDone))).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["a", "c", "a", "undo a"]);
  });

  test("forceClose ends it as it stands: nothing more is done or undone", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "close", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("pay", trace.note("pay", unsure), undefined, { pivot: true, retry: { maxAttempts: 1 } });
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    await stage.drive(process.sagas.forceClose(sagaId, by));
    expect(await stage.drive(process.sagas.result(sagaId))).toMatchObject({ status: "forced_closed" });
    expect(trace.calls).toEqual(["a", "pay"]);
    await expect(stage.drive(process.sagas.retry(sagaId, by))).rejects.toMatchObject({
      code: "SAGAZ_SAGA_ENDED",
    });
  });

  test("an output function that throws parks as output_failed; retry tries it again", async () => {
    await using stage = await Stage.open();
    let broken = true;
    const saga = new ClassicSaga<null, { total: number }>({
      name: "output",
      output: (results) => {
        if (broken) throw new TypeError("undefined is not a total");
        return { total: results["a"] as number };
      },
    }).addStep("a", () => 5);
    const process = await stage.process(saga);
    const parked = await stage.run(process, saga, null);
    expect(parked).toMatchObject({ status: "parked", parked: { reason: "output_failed" } });
    expect(await stage.drive(process.sagas.get(parked.sagaId))).toMatchObject({ waitingFor: "operator" });
    broken = false;
    await stage.drive(process.sagas.retry(parked.sagaId, by));
    expect(await stage.drive(process.sagas.result(parked.sagaId))).toMatchObject({
      status: "completed",
      output: { total: 5 },
    });
  });

  test("an output that cannot be kept as JSON parks as output_failed too", async () => {
    await using stage = await Stage.open();
    for (const [name, output] of [
      ["map", () => new Map()],
      ["function", () => () => 1],
      ["bigint", () => 1n],
      ["promise", () => Promise.resolve(1)],
    ] as const) {
      const saga = new ClassicSaga<null, unknown>({ name: `output-${name}`, output }).addStep("a", () => 5);
      const process = await stage.process(saga);
      expect(await stage.run(process, saga, null)).toMatchObject({
        status: "parked",
        parked: { reason: "output_failed" },
      });
      await process.stop();
    }
  });
});

describe("fork", () => {
  const order = (stage: Stage, options: { ship?: (n: number) => unknown } = {}) => {
    const trace = new Trace(stage);
    const saga = new ClassicSaga<{ n: number }>({ name: "forked", sequential: true })
      .addStep(
        "a",
        trace.note("a", () => "ref-a"),
        trace.undo("a"),
      )
      .addStep(
        "b",
        trace.note("b", () => "ref-b"),
        trace.undo("b"),
      )
      .addStep("c", (ctx) => {
        trace.calls.push("c");
        return options.ship?.(ctx.input.n) ?? [ctx.results["a"], ctx.results["b"], ctx.input.n];
      });
    return { saga, trace };
  };

  test("starts a new linked saga that reuses the results before that step; the rest runs again under the new id", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = order(stage);
    const process = await stage.process(saga);
    const source = await stage.run(process, saga, { n: 1 });
    const fork = await stage.drive(
      process.sagas.fork(source.sagaId, { fromStep: "b", input: { n: 2 }, ...by }),
    );
    expect(await stage.end(fork)).toMatchObject({
      status: "completed",
      output: { c: ["ref-a", "ref-b", 2] },
    });
    expect(trace.calls).toEqual(["a", "b", "c", "b", "c"]);
    expect(await stage.drive(process.sagas.get(fork.id))).toMatchObject({
      forkOf: source.sagaId,
      input: { n: 2 },
    });
    expect(await stage.drive(process.sagas.get(source.sagaId))).toMatchObject({ forkId: fork.id });
  });

  test("moves the undo of what it reuses: the source can no longer be compensated or forked", async () => {
    await using stage = await Stage.open();
    const { saga, trace } = order(stage, { ship: (n) => (n === 2 ? refuse() : "ok") });
    const process = await stage.process(saga);
    const source = await stage.run(process, saga, { n: 1 });
    const fork = await stage.drive(
      process.sagas.fork(source.sagaId, { fromStep: "c", input: { n: 2 }, ...by }),
    );
    expect(await stage.end(fork)).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["a", "b", "c", "c", "undo b", "undo a"]);
    await expect(stage.drive(process.sagas.cancel(source.sagaId, by))).rejects.toMatchObject({
      code: "SAGAZ_FORKED",
    });
    await expect(
      stage.drive(process.sagas.fork(source.sagaId, { fromStep: "a", ...by })),
    ).rejects.toMatchObject({ code: "SAGAZ_FORKED" });
    expect(await stage.drive(process.sagas.plan(source.sagaId))).toMatchObject({ possible: false });
  });

  test("takes only ended sagas and known steps", async () => {
    await using stage = await Stage.open();
    const { saga } = order(stage, { ship: () => new Promise(() => {}) });
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, { n: 1 });
    const fork = (fromStep: string) => stage.drive(process.sagas.fork(handle.id, { fromStep, ...by }));
    await expect(fork("a")).rejects.toMatchObject({ code: "SAGAZ_NOT_FORKABLE" });
    await stage.drive(process.sagas.cancel(handle.id, by));
    await stage.end(handle);
    await expect(fork("aa")).rejects.toMatchObject({ code: "SAGAZ_UNKNOWN_STEP" });
  });

  test("of a compensated saga reuses nothing that was undone", async () => {
    await using stage = await Stage.open();
    let broken = true;
    const { saga, trace } = order(stage, { ship: () => (broken ? refuse() : "ok") });
    const process = await stage.process(saga);
    const source = await stage.run(process, saga, { n: 1 });
    expect(source.status).toBe("compensated");
    broken = false;
    const fork = await stage.drive(process.sagas.fork(source.sagaId, { fromStep: "c", ...by }));
    expect(await stage.end(fork)).toMatchObject({ status: "completed" });
    expect(trace.calls).toEqual(["a", "b", "c", "undo b", "undo a", "a", "b", "c"]);
  });

  test("two forks race: one wins", async () => {
    await using stage = await Stage.open();
    const { saga } = order(stage);
    const process = await stage.process(saga);
    const source = await stage.run(process, saga, { n: 1 });
    const results = await stage.drive(
      Promise.allSettled(
        ["b", "c"].map((fromStep) => process.sagas.fork(source.sagaId, { fromStep, ...by })),
      ),
    );
    expect(results.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    const { sagas } = await stage.drive(process.sagas.list({ sagaName: "forked" }));
    expect(sagas).toHaveLength(2);
  });

  test("reuses map items one by one", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    let broken = true;
    const saga = build("forked-map")
      .map("items", {
        over: () => [1, 2],
        do: (ctx) => ctx.item * 10,
        undo: (ctx) => void trace.calls.push(`undo ${ctx.item}`),
      })
      .step("last", { after: ["items"], do: (ctx) => (broken ? ctx.results.items : refuse()) })
      .build();
    const process = await stage.process(saga);
    const source = await stage.run(process, saga, null);
    broken = false;
    const fork = await stage.drive(process.sagas.fork(source.sagaId, { fromStep: "last", ...by }));
    expect(await stage.end(fork)).toMatchObject({ status: "compensated" });
    expect(trace.calls.toSorted()).toEqual(["undo 1", "undo 2"]);
  });

  test("takes a child over: its undo compensates it, and hears of its end", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    let broken = false;
    const child = build("forked-child")
      .step("label", { do: () => "label", undo: trace.undo("label") })
      .build();
    const saga = build("forked-parent")
      .child("shipping", { saga: child, input: () => null })
      .step("last", { after: ["shipping"], do: () => (broken ? refuse() : 1) })
      .build();
    const process = await stage.process(saga);
    const source = await stage.run(process, saga, null);
    broken = true;
    const fork = await stage.drive(process.sagas.fork(source.sagaId, { fromStep: "last", ...by }));
    expect(await stage.end(fork)).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["undo label"]);
    broken = false;
    const again = await stage.drive(process.sagas.fork(fork.id, { fromStep: "shipping", ...by }));
    expect(await stage.end(again)).toMatchObject({ status: "completed" });
    const { sagas } = await stage.drive(process.sagas.list({ sagaName: "forked-child" }));
    expect(sagas.map(({ status }) => status)).toEqual(["completed", "compensated"]);
  });

  test("knows of a child that was closed by force: its undo waits for a person, not for ever for the child", async () => {
    await using stage = await Stage.open();
    let broken = false;
    const child = build("closed-child")
      .step("x", { do: () => 1, undo: refuse })
      .build();
    const saga = build("closed-parent")
      .child("c", { saga: child, input: () => null })
      .step("last", { after: ["c"], do: () => (broken ? refuse() : 1) })
      .build();
    const process = await stage.process(saga, child);
    const source = await stage.run(process, saga, undefined);
    const { sagas } = await stage.drive(process.sagas.list({ sagaName: "closed-child" }));
    const childId = sagas[0]!.sagaId;
    await stage.drive(process.sagas.cancel(childId, by));
    expect(await stage.drive(process.sagas.result(childId, { orParked: true }))).toMatchObject({
      status: "parked",
    });
    await stage.drive(process.sagas.forceClose(childId, by));
    await stage.clock.advance(1_000);
    broken = true;
    const fork = await stage.drive(process.sagas.fork(source.sagaId, { fromStep: "last", ...by }));
    expect(await stage.end(fork)).toMatchObject({
      status: "parked",
      parked: { reason: "compensation_failed", step: "c" },
    });
  });

  test("of a map step that got half way takes over its list and the items that were done", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = build("forked-middle", { input: unchecked<{ list: number[]; bad: number }>() })
      .map("items", {
        over: (ctx) => ctx.input.list,
        do: (ctx) => {
          trace.calls.push(`do ${ctx.item}`);
          return ctx.item === ctx.input.bad ? refuse() : ctx.item;
        },
      })
      .step("last", { after: ["items"], do: (ctx) => ctx.results.items })
      .build();
    const process = await stage.process(saga);
    const source = await stage.run(process, saga, { list: [1, 2, 3], bad: 2 });
    expect(source.status).toBe("compensated");
    const input = { list: [7], bad: 0 };
    const fork = await stage.drive(process.sagas.fork(source.sagaId, { fromStep: "last", input, ...by }));
    expect(await stage.end(fork)).toMatchObject({ status: "completed", output: { last: [1, 2, 3] } });
    expect(trace.calls).toEqual(["do 1", "do 2", "do 3", "do 2"]);
  });

  test("of a saga that was closed by force is refused: it reads no requests any more", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "forked-closed" }).addStep("pay", unsure, undefined, {
      pivot: true,
    });
    const process = await stage.process(saga);
    const { sagaId } = await stage.run(process, saga, null);
    await stage.drive(process.sagas.forceClose(sagaId, by));
    await expect(stage.drive(process.sagas.fork(sagaId, { fromStep: "pay", ...by }))).rejects.toMatchObject({
      code: "SAGAZ_SAGA_ENDED",
    });
  });

  test("of a saga past its pivot is past its pivot", async () => {
    await using stage = await Stage.open();
    let broken = false;
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "forked-pivot", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep("pay", trace.note("pay"), undefined, { pivot: true })
      .addStep("ship", () => (broken ? refuse() : 1));
    const process = await stage.process(saga);
    const source = await stage.run(process, saga, null);
    broken = true;
    const fork = await stage.drive(process.sagas.fork(source.sagaId, { fromStep: "ship", ...by }));
    expect(await stage.end(fork)).toMatchObject({
      status: "parked",
      parked: { reason: "step_failed_after_pivot", step: "ship" },
    });
    await expect(stage.drive(process.sagas.cancel(fork.id, by))).rejects.toMatchObject({
      code: "SAGAZ_PIVOT_PASSED",
    });
    expect(trace.calls).toEqual(["a", "pay"]);
  });
});

describe("looking at sagas", () => {
  test("`plan` says what would be undone, and in which order, before anything is", async () => {
    await using stage = await Stage.open();
    const saga = build("planned")
      .step("a", { do: () => 1, undo: () => {} })
      .step("b", { do: () => 1, undo: () => {} })
      .map("c", { after: ["a", "b"], over: () => [1, 2], do: () => 1, undo: () => {} })
      .signal("go", { after: ["c"] })
      .build();
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await stage.clock.advance(100);
    expect(await stage.drive(process.sagas.plan(handle.id))).toMatchObject({
      possible: true,
      layers: [
        ["c[0]", "c[1]"],
        ["a", "b"],
      ].map((layer) => expect.arrayContaining(layer) as string[]),
    });
  });

  test("temporal queries: the saga as it was after an event or at a time", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "temporal", sequential: true })
      .addStep("a", trace.slow("a", { ms: 10_000 }), trace.slow("undo a", { ms: 10_000 }))
      .addStep("b", trace.slow("b", { ms: 10_000 }))
      .addStep("c", refuse);
    const process = await stage.process(saga);
    const began = stage.clock.now();
    const { sagaId } = await stage.run(process, saga, null);
    const at = async (ms: number) => {
      const view = await stage.drive(process.sagas.stateAt(sagaId, { time: new Date(began + ms) }));
      return [view.status, ...view.steps.map(({ status }) => status)];
    };
    expect(await at(5_000)).toEqual(["running", "running", "pending", "pending"]);
    expect(await at(15_000)).toEqual(["running", "done", "running", "pending"]);
    expect(await at(25_000)).toEqual(["compensating", "done", "done", "failed"]);
    expect(await at(99_000)).toEqual(["compensated", "compensated", "done", "failed"]);
    expect((await stage.drive(process.sagas.stateAt(sagaId, { seq: 2 }))).seq).toBe(2);
    await expect(at(-1_000)).rejects.toMatchObject({ code: "SAGAZ_SAGA_NOT_FOUND" });
  });

  test("lists page, newest first, by name, status, attributes, tenant and correlation", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga<number>({ name: "listed" }).addStep("a", (ctx) =>
      ctx.input === 3 ? refuse() : 1,
    );
    const process = await stage.process(saga);
    for (let i = 0; i < 5; i++) {
      await stage.run(process, saga, i, {
        tenantId: i % 2 ? "odd" : "even",
        correlationId: `c${i}`,
        attributes: { n: String(i) },
      });
      await stage.clock.advance(10);
    }
    const list = (filter: object) => stage.drive(process.sagas.list(filter));
    const first = await list({ limit: 2 });
    const second = await list({ limit: 2, after: first.next });
    expect([...first.sagas, ...second.sagas].map(({ correlationId }) => correlationId)).toEqual([
      "c4",
      "c3",
      "c2",
      "c1",
    ]);
    expect((await list({ tenantId: "odd" })).sagas).toHaveLength(2);
    expect((await list({ attributes: { n: "2" } })).sagas).toMatchObject([{ correlationId: "c2" }]);
    expect((await list({ status: ["compensated"] })).sagas).toMatchObject([
      { correlationId: "c3", error: "a: no" },
    ]);
    expect((await list({ correlationId: "c1" })).sagas).toHaveLength(1);
    expect((await list({ sagaName: "other" })).sagas).toEqual([]);
  });
});
