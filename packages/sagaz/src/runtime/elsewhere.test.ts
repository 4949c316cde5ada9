import { describe, expect, test } from "vitest";
import { saga as build } from "../core/definition/builder.ts";
import { fail, outcomeUnknown } from "../core/decide/outcome.ts";
import { Stage, Trace } from "../../../../tests/engine/stage.ts";
import { ClassicSaga } from "./classic-saga.ts";

const by = { actor: "ann", reason: "ticket" };

describe("a process that does not hold a saga's definition", () => {
  const saga = () =>
    build("foreign")
      .step("a", { do: () => 1, undo: () => {} })
      .step("b", { after: ["a"], do: (ctx) => ctx.input })
      .build();

  test("sees its steps and results, though not its graph, and plans no undo", async () => {
    await using stage = await Stage.open();
    const definition = saga();
    const worker = await stage.process(definition);
    const watcher = await stage.process();
    const { sagaId } = await stage.run(worker, definition, 7);
    const view = await stage.drive(watcher.sagas.get(sagaId));
    expect(view).toMatchObject({ status: "completed", output: { a: 1, b: 7 } });
    expect(view.steps).toMatchObject([
      { step: "a", dependsOn: [], status: "done" },
      { step: "b", dependsOn: [], status: "done" },
    ]);
    expect(await stage.drive(watcher.sagas.plan(sagaId))).toEqual({
      sagaId,
      possible: false,
      refusal: "its definition is not held by this process",
      layers: [],
    });
  });

  test("can ask for a fork; its input is taken as it is, as JSON", async () => {
    await using stage = await Stage.open();
    const definition = saga();
    const worker = await stage.process(definition);
    const watcher = await stage.process();
    const { sagaId } = await stage.run(worker, definition, 7);
    const fork = await stage.drive(watcher.sagas.fork(sagaId, { fromStep: "a", input: { n: 8 }, ...by }));
    expect(await stage.end(fork)).toMatchObject({ status: "completed", output: { b: { n: 8 } } });
    await expect(
      stage.drive(watcher.sagas.fork(fork.id, { fromStep: "a", input: () => 1, ...by })),
    ).rejects.toMatchObject({ code: "SAGAZ_NOT_JSON" });
  });

  test("a request to an ended saga waits until somebody holds its definition again", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const definition = build("ended")
      .step("a", { do: () => 1, undo: trace.undo("a") })
      .build();
    const worker = await stage.process(definition);
    const other = await stage.process();
    const { sagaId } = await stage.run(worker, definition, undefined);
    await worker.stop();
    const cancelled = other.sagas.cancel(sagaId, by);
    cancelled.catch(() => {});
    await stage.clock.advance(400_000); // by now it counts as missing
    expect(await stage.drive(other.sagas.get(sagaId))).toMatchObject({ status: "completed" });
    const again = await stage.process(definition);
    await stage.clock.advance(60_000);
    expect(await stage.drive(again.sagas.get(sagaId))).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["undo a"]);
  });
});

describe("a plan", () => {
  test("counts a child that runs, and nothing that has no undo", async () => {
    await using stage = await Stage.open();
    const child = build("planned-child").signal("never").build();
    const definition = build("plan-child")
      .child("c", { saga: child, input: () => null })
      .step("plain", { do: () => 1 })
      .build();
    const process = await stage.process(definition, child);
    const handle = await stage.start(process, definition, undefined);
    await stage.clock.advance(100);
    expect(await stage.drive(process.sagas.plan(handle.id))).toMatchObject({ layers: [["c"]] });
  });

  test("of a saga that is half undone counts the rest: what waits for a person first, and what only may have been done", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const definition = build("plan-rest")
      .step("b", {
        do: () => 1,
        undo: () => {
          throw fail("cannot");
        },
      })
      .step("a", {
        do: trace.note("a", async () => {
          await trace.wait(100);
          throw outcomeUnknown("no reply");
        }),
        undo: trace.undo("a"),
        onUnknown: "undo",
        undoAfter: ["b"],
      })
      .step("z", { do: () => 1, undo: trace.undo("z") })
      .build();
    const process = await stage.process(definition);
    const parked = await stage.run(process, definition, undefined);
    expect(parked).toMatchObject({ status: "parked", parked: { reason: "compensation_failed" } });
    await stage.clock.advance(1_000);
    const { layers } = await stage.drive(process.sagas.plan(parked.sagaId));
    expect(trace.calls).toEqual(["a", "undo z"]);
    expect(layers).toEqual([["b"], ["a"]]);
  });

  test("of a forked or of a pivot's saga says why not", async () => {
    await using stage = await Stage.open();
    const definition = build("plan-pivot")
      .pivot("pay", { do: () => 1 })
      .build();
    const process = await stage.process(definition);
    const { sagaId } = await stage.run(process, definition, undefined);
    expect(await stage.drive(process.sagas.plan(sagaId))).toMatchObject({
      possible: false,
      refusal: 'it has passed its pivot "pay"',
    });
    const fork = await stage.drive(process.sagas.fork(sagaId, { fromStep: "pay", ...by }));
    expect(await stage.drive(process.sagas.plan(sagaId))).toMatchObject({
      possible: false,
      refusal: `it was forked into ${fork.id}`,
    });
  });
});

describe("a saga that goes back, as people see it", () => {
  test("shows which step is being undone, and which is not yet", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const definition = new ClassicSaga({ name: "seen", sequential: true })
      .addStep("a", () => 1, trace.undo("a"))
      .addStep(
        "b",
        () => 1,
        () => {
          throw new Error("not now");
        },
        { undoRetry: { initialMs: 3_600_000, maxMs: 3_600_000, jitter: "none" } },
      )
      .addStep("c", () => {
        throw fail("no");
      });
    const process = await stage.process(definition);
    const handle = await stage.start(process, definition, null);
    await stage.clock.advance(60_000);
    const { status, steps } = await stage.drive(process.sagas.get(handle.id));
    expect(status).toBe("compensating");
    expect(steps.map((step) => [step.step, step.status])).toEqual([
      ["a", "done"],
      ["b", "compensating"],
      ["c", "failed"],
    ]);
  });
});

describe("whoever waits for the end", () => {
  test("is not woken by parking, while one who asked for that is", async () => {
    await using stage = await Stage.open();
    const definition = build("parks").signal("go", { waitMs: 1_000 }).build();
    const process = await stage.process(definition);
    const handle = await stage.start(process, definition, undefined);
    let ended = false;
    const end = handle.result().finally(() => (ended = true));
    expect(await stage.drive(handle.result({ orParked: true }))).toMatchObject({ status: "parked" });
    expect(ended).toBe(false);
    await stage.drive(process.sagas.signal(handle.id, "go", 1));
    expect(await stage.drive(end)).toMatchObject({ status: "completed" });
  });

  test("of a saga elsewhere goes on looking when a look fails", async () => {
    await using stage = await Stage.open();
    const definition = build("far").sleep("nap", { forMs: 5_000 }).build();
    const worker = await stage.process(definition);
    const watcher = await stage.processWith({ sagas: [definition], sagasInFlightMax: 0 });
    const handle = await stage.start(worker, definition, undefined);
    const result = watcher.sagas.result(handle.id);
    await stage.clock.advance(1_000);
    watcher.cut();
    await stage.clock.advance(3_000);
    watcher.heal();
    expect(await stage.drive(result)).toMatchObject({ status: "completed" });
    expect(watcher.logged.map(({ message }) => message)).toContain("sagaz: looking for ended sagas failed");
  });
});
