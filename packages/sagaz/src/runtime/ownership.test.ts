import { describe, expect, test } from "vitest";
import { saga as build } from "../core/definition/builder.ts";
import { outcomeUnknown } from "../core/decide/outcome.ts";
import { Stage, Trace, gate, thisProcess } from "../../../../tests/engine/stage.ts";
import { ClassicSaga } from "./classic-saga.ts";

const LEASE_MS = 5_000;

/** Three steps that take a second each. */
const steps = (trace: Trace, name = "steps") =>
  new ClassicSaga<unknown>({ name, sequential: true })
    .addStep("a", trace.slow("a", { ms: 1_000 }), trace.undo("a"))
    .addStep("b", trace.slow("b", { ms: 1_000 }), trace.undo("b"))
    .addStep("c", trace.slow("c", { ms: 1_000 }), trace.undo("c"));

describe("a worker that dies", () => {
  test("its sagas go on elsewhere within the lease and seconds; no recorded step is repeated", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = steps(trace);
    const first = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    const handles = await stage.drive(
      Promise.all(Array.from({ length: 20 }, () => first.sagas.start(saga, null))),
    );
    const second = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    await stage.clock.advance(1_500);
    first.kill();
    const died = stage.clock.now();
    const results = await stage.drive(Promise.all(handles.map(({ id }) => second.sagas.result(id))));
    expect(results.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => "completed"));
    // Two steps of a second each remain.
    expect(stage.clock.now() - died).toBeLessThan(LEASE_MS + 4_000 + 2_000);
    const count = (call: string) => trace.calls.filter((one) => one === call).length;
    expect([count("a"), count("b"), count("c")]).toEqual([20, 40, 20]);
  });

  test("what was in flight is unknown: verify is asked before anything is run again", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "asks" }).addStep("a", trace.slow("a", { ms: 60_000 }), undefined, {
      verify: trace.note("verify", () => ({ outcome: "done", result: "found" })),
    });
    const first = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    const handle = await stage.start(first, saga, null);
    await stage.clock.advance(100);
    first.kill();
    const second = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({ output: { a: "found" } });
    expect(trace.calls).toEqual(["a", "verify"]);
  });

  test("a step that may have run counts as unknown, so a definite failure later does not hide it", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "doubt", retry: { maxAttempts: 1 } }).addStep(
      "a",
      trace.note("a", async () => {
        if (trace.calls.length === 1) await trace.wait(60_000);
        throw new Error("duplicate");
      }),
      trace.undo("a"),
    );
    const first = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    const handle = await stage.start(first, saga, null);
    await stage.clock.advance(100);
    first.kill();
    const second = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({ status: "compensated" });
    expect(trace.calls.at(-1)).toBe("undo a");
  });

  test("attempts that were counted go on being counted", async () => {
    await using stage = await Stage.open();
    const attempts: number[] = [];
    const trace = new Trace(stage);
    const saga = new ClassicSaga({
      name: "counts",
      retry: { maxAttempts: 5, initialMs: 1_000, jitter: "none" },
    })
      .addStep(
        "a",
        trace.note("a", (ctx: { attempt: number }) => {
          attempts.push(ctx.attempt);
          throw new Error("no");
        }),
      )
      .addStep("side", trace.slow("side", { ms: 2_000 }));
    const first = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    const handle = await stage.start(first, saga, null);
    await stage.clock.advance(2_500); // attempts at 0 and 1 s; they ride on what `side` writes after 2 s
    first.kill();
    const second = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    await stage.drive(second.sagas.result(handle.id));
    expect(attempts.slice(0, 3)).toEqual([1, 2, 3]);
    expect(attempts.length).toBeLessThanOrEqual(6);
  });

  test("a pivot in flight is run again with the same key, and never undone", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const keys: string[] = [];
    const saga = new ClassicSaga({ name: "pivot-crash", sequential: true })
      .addStep("a", trace.note("a"), trace.undo("a"))
      .addStep(
        "pay",
        trace.note("pay", async (ctx: { idempotencyKey: string }) => {
          keys.push(ctx.idempotencyKey);
          if (keys.length === 1) await trace.wait(60_000);
          throw outcomeUnknown("?");
        }),
        undefined,
        { pivot: true, retry: { maxAttempts: 2 } },
      );
    const first = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    const handle = await stage.start(first, saga, null);
    await stage.clock.advance(100);
    first.kill();
    const second = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    expect(await stage.drive(second.sagas.result(handle.id, { orParked: true }))).toMatchObject({
      status: "parked",
      parked: { reason: "pivot_unknown" },
    });
    expect(new Set(keys).size).toBe(1);
    expect(trace.calls).not.toContain("undo a");
  });
});

describe("a worker that comes back", () => {
  test("after it was fenced: it drops its work, and goes on under a new epoch", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = steps(trace);
    const first = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    const handle = await stage.start(first, saga, null);
    await stage.clock.advance(500);
    first.freeze();
    const second = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({ status: "completed" });
    first.thaw();
    await stage.clock.advance(20_000);
    expect(first.logged.map(({ message }) => message)).toContainEqual(expect.stringContaining("fenced"));
    await second.stop();
    expect(await stage.run(first, saga, null)).toMatchObject({ status: "completed" });
    const history = await stage.history(first, handle.id);
    expect(history.filter((event) => event === "step_done(a)")).toHaveLength(1);
  });

  /** A worker that is frozen in the middle of an action, whose saga goes back elsewhere meanwhile. */
  async function freezeInAction(stage: Stage) {
    const late = gate<string>();
    const outcomes: string[] = [];
    let calls = 0;
    const saga = new ClassicSaga({ name: "zombie", sequential: true, settleMs: 100 }).addStep(
      "a",
      () => (calls++ === 0 ? late.promise : Promise.reject(outcomeUnknown("?"))),
      (ctx) => void outcomes.push(ctx.outcome),
      { retry: { maxAttempts: 2 } },
    );
    const first = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    const { id } = await stage.start(first, saga, null);
    await stage.clock.advance(100);
    const epoch = (await stage.drive(stage.storage.queries.find(id)))?.owner;
    first.freeze();
    const second = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    expect(await stage.drive(second.sagas.result(id))).toMatchObject({ status: "compensated" });
    return { id, first, second, epoch, late, outcomes };
  }

  test("with an effect of its own: the saga's owner hears of it, and undoes it if it has gone back", async () => {
    await using stage = await Stage.open();
    const { id, first, second, late, outcomes } = await freezeInAction(stage);
    first.thaw();
    await stage.clock.advance(10_000);
    late.open("charged");
    await stage.clock.runUntil(() => outcomes.length === 2);
    expect(outcomes).toEqual(["unknown", "done"]);
    expect(await stage.drive(second.sagas.result(id))).toMatchObject({ status: "compensated" });
    expect(await stage.history(second, id)).toContain("late_effect(a)");
  });

  test("with an effect that came before it knew of the fence: the refused write tells of it too", async () => {
    await using stage = await Stage.open();
    const { id, first, second, epoch, late, outcomes } = await freezeInAction(stage);
    // No heartbeat is answered before its action ends, after the undo elsewhere.
    const { leases } = stage.storage;
    const beat = leases.beat.bind(leases);
    leases.beat = (of) => (of === epoch ? Promise.reject(new Error("lost")) : beat(of));
    first.thaw();
    late.open("charged");
    await stage.clock.runUntil(() => outcomes.length === 2, { limitMs: 60_000 });
    expect(outcomes).toEqual(["unknown", "done"]);
    expect(await stage.history(second, id)).toContain("late_effect(a)");
    leases.beat = beat;
  });

  test("whose line was cut for less than two thirds of its lease loses nothing", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = steps(trace);
    const process = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    const handle = await stage.start(process, saga, null);
    await stage.clock.advance(500);
    process.cut();
    await stage.clock.advance(2_000);
    process.heal();
    expect(await stage.end(handle)).toMatchObject({ status: "completed" });
    expect(trace.calls.filter((call) => !call.endsWith("finished"))).toEqual(["a", "b", "c"]);
  });

  test("that has not renewed for two thirds of its lease begins nothing, and tells attempts to stop", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    let aborted = 0;
    const saga = new ClassicSaga({ name: "suspends", sequential: true }).addStep("a", async (ctx) => {
      ctx.signal.addEventListener("abort", () => (aborted = stage.clock.now()));
      trace.calls.push("a");
      await trace.wait(trace.calls.length === 1 ? 60_000 : 10, ctx.signal);
      return 1;
    });
    const process = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    const handle = await stage.start(process, saga, null);
    await stage.clock.advance(100);
    const began = stage.clock.now();
    process.cut();
    await stage.clock.advance(4_500);
    expect(aborted - began).toBeGreaterThan(LEASE_MS / 3);
    expect(aborted - began).toBeLessThanOrEqual((LEASE_MS * 2) / 3);
    expect(trace.calls).toEqual(["a"]);
    process.heal();
    expect(await stage.end(handle)).toMatchObject({ status: "completed" });
    expect(trace.calls).toEqual(["a", "a"]);
  });
});

describe("a database that goes away", () => {
  test("for 30 s in the middle: the sagas of all workers go on when it is back, none is lost", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = steps(trace);
    const processes = [
      await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS }),
      await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS }),
    ];
    const handles = await stage.drive(
      Promise.all(Array.from({ length: 10 }, (_, i) => processes[i % 2]!.sagas.start(saga, null))),
    );
    await stage.clock.advance(1_500);
    for (const process of processes) process.cut();
    await stage.clock.advance(30_000);
    for (const process of processes) process.heal();
    const results = await stage.drive(Promise.all(handles.map((handle) => handle.result())));
    expect(results.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => "completed"));
    expect(trace.calls.filter((call) => call === "a")).toHaveLength(10);
  });

  test("a start waits for it, and tells nobody that it worked before it did", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = steps(trace);
    const process = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    process.cut();
    let answered = false;
    const plain = process.sagas.start(saga, null);
    const keyed = process.sagas.start(saga, null, { idempotencyKey: "k" });
    void plain.finally(() => (answered = true)).catch(() => {});
    await stage.clock.advance(2_000);
    expect(answered).toBe(false);
    process.heal();
    const handles = await stage.drive(Promise.all([plain, keyed]));
    for (const handle of handles) expect(await stage.end(handle)).toMatchObject({ status: "completed" });
  });
});

describe("stop", () => {
  test("lets attempts finish, hands the rest back at once, without a lease wait", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = steps(trace);
    const first = await stage.process(saga);
    const second = await stage.process(saga);
    const handle = await stage.start(first, saga, null);
    await stage.clock.advance(500);
    await first.stop();
    expect(trace.calls).toEqual(["a", "a finished"]);
    const began = stage.clock.now();
    expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({ status: "completed" });
    expect(stage.clock.now() - began).toBeLessThan(25_000); // at the latest with its next heartbeat
    expect(trace.calls.filter((call) => !call.endsWith("finished"))).toEqual(["a", "b", "c"]);
  });

  test("is safe twice and before start, and an orchestrator that was stopped starts no more sagas", async () => {
    await using stage = await Stage.open();
    const saga = steps(new Trace(stage));
    const process = await stage.process(saga);
    await stage.drive(Promise.all([process.orchestrator.stop(), process.orchestrator.stop()]));
    await process.stop();
    await expect(stage.start(process, saga, null)).rejects.toMatchObject({ code: "SAGAZ_STOPPED" });
  });

  test("with an attempt that will not settle keeps that saga until the lease runs out", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "deaf", settleMs: 1_000 }).addStep(
      "a",
      trace.note("a", () => (trace.calls.length === 1 ? new Promise<number>(() => {}) : 2)),
    );
    const first = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS, stopMs: 500 });
    const second = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
    const handle = await stage.start(first, saga, null);
    const began = stage.clock.now();
    await first.stop();
    expect(trace.calls).toEqual(["a"]);
    expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({ output: { a: 2 } });
    expect(stage.clock.now() - began).toBeGreaterThan(LEASE_MS - 1_700);
  });
});

describe("several workers on one storage", () => {
  test("each saga runs in one of them", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga<number>({ name: "spread" }).addStep(
      "a",
      (ctx) => void trace.calls.push(String(ctx.input)),
    );
    const starter = await stage.processWith({ sagas: [saga], sagasInFlightMax: 0 });
    await stage.process(saga);
    await stage.process(saga);
    const handles = await stage.drive(
      Promise.all(Array.from({ length: 50 }, (_, i) => starter.sagas.start(saga, i))),
    );
    await stage.drive(Promise.all(handles.map((handle) => handle.result())));
    expect(trace.calls.toSorted()).toEqual(Array.from({ length: 50 }, (_, i) => String(i)).toSorted());
  });

  test("a worker's clock that is off by an hour, or jumps, changes nothing", async () => {
    await using stage = await Stage.open();
    const saga = build("skewed")
      .sleep("nap", { forMs: 60_000 })
      .step("a", { after: ["nap"], do: () => 1 })
      .build();
    for (const offsetMs of [3_600_000, -3_600_000]) {
      const process = await stage.processWith({ sagas: [saga], clockView: stage.clock.view({ offsetMs }) });
      const began = stage.clock.now();
      const handle = await stage.start(process, saga, null);
      expect(await stage.end(handle)).toMatchObject({ status: "completed" });
      const took = stage.clock.now() - began;
      expect(took).toBeGreaterThanOrEqual(60_000);
      expect(took).toBeLessThan(90_000);
      const view = await stage.drive(process.sagas.get(handle.id));
      expect(Math.abs(view.createdAt.getTime() - began)).toBeLessThan(5_000);
      await process.stop();
    }
  });

  test("a clock that runs fast or slow keeps its lease", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = steps(trace);
    const fast = await stage.processWith({
      sagas: [saga],
      leaseMs: LEASE_MS,
      clockView: stage.clock.view({ rate: 1.2 }),
    });
    const slow = await stage.processWith({
      sagas: [saga],
      leaseMs: LEASE_MS,
      clockView: stage.clock.view({ rate: 0.8 }),
    });
    for (const process of [fast, slow])
      expect(await stage.run(process, saga, null)).toMatchObject({ status: "completed" });
    await stage.clock.advance(60_000);
    expect([...fast.logged, ...slow.logged].filter(({ level }) => level !== "info")).toEqual([]);
  });
});

describe("versions", () => {
  const version = (version: number, step = "a") =>
    new ClassicSaga({ name: "versioned", version, sequential: true })
      .addStep("wait", async () => version)
      .addStep(step, () => version);

  test("a saga is pinned to its version; old ones stay registered until drained", async () => {
    await using stage = await Stage.open();
    const [one, two] = [version(1), version(2, "b")];
    const old = await stage.processWith({ sagas: [one], sagasInFlightMax: 0 });
    const handle = await stage.start(old, one, null);
    const both = await stage.process(one, two);
    expect((await stage.drive(both.sagas.result(handle.id))).output).toEqual({ wait: 1, a: 1 });
    expect((await stage.run(both, "versioned", null)).output).toEqual({ wait: 2, b: 2 });
  });

  test("one version with two graphs is refused at start", async () => {
    await using stage = await Stage.open();
    await stage.process(version(1));
    await expect(stage.process(version(1, "other"))).rejects.toMatchObject({
      code: "SAGAZ_DEFINITION_CHANGED",
    });
  });

  test("one version with two graphs in one process is refused when it is made", async () => {
    await using stage = await Stage.open();
    await expect(stage.process(version(1), version(1, "other"))).rejects.toMatchObject({
      code: "SAGAZ_DUPLICATE_DEFINITION",
    });
  });

  test("no live worker holds it for 5 min: parked as definition_missing, resumed by itself when one appears", async () => {
    await using stage = await Stage.open();
    const one = version(1);
    const old = await stage.processWith({ sagas: [one], sagasInFlightMax: 0 });
    const handle = await stage.start(old, one, null);
    await old.stop();
    const other = await stage.process(version(2));
    await stage.clock.advance(290_000);
    expect(await stage.drive(other.sagas.get(handle.id))).toMatchObject({ status: "pending" });
    await stage.clock.advance(120_000);
    expect(await stage.drive(other.sagas.get(handle.id))).toMatchObject({
      status: "parked",
      parked: { reason: "definition_missing" },
    });
    const again = await stage.process(one);
    expect(await stage.drive(again.sagas.result(handle.id))).toMatchObject({ status: "completed" });
    expect(await stage.history(again, handle.id)).toContain("saga_unparked");
  });
});

describe("a saga that kills its process", () => {
  test("is admitted alone at its third death, and parked as crash_loop at its fifth; others go on", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const killer = new ClassicSaga({ name: "killer" }).addStep(
      "boom",
      trace.note("boom", () => {
        thisProcess().kill();
        return new Promise(() => {});
      }),
    );
    // It takes longer than the killer lets anybody live: it never has anything to record.
    const saga = new ClassicSaga({ name: "innocent" }).addStep("a", trace.slow("innocent", { ms: 10_000 }));
    const next = () => stage.processWith({ sagas: [killer, saga], leaseMs: LEASE_MS });
    const starter = await stage.processWith({ sagas: [killer, saga], sagasInFlightMax: 0 });
    const handle = await stage.start(starter, killer, null);
    await stage.clock.advance(10); // so that it comes first in every claim
    const innocents = [await stage.start(starter, saga, null), await stage.start(starter, saga, null)];
    const isParked = async () => (await stage.drive(starter.sagas.get(handle.id))).status === "parked";
    for (let lives = 0; lives < 20 && !(await isParked()); lives++) {
      await next();
      await stage.clock.advance(30_000);
    }
    const survivor = await next();
    expect(await stage.drive(survivor.sagas.get(handle.id))).toMatchObject({
      status: "parked",
      parked: { reason: "crash_loop" },
    });
    expect(trace.calls.filter((call) => call === "boom")).toHaveLength(5);
    for (const innocent of innocents) {
      expect(await stage.drive(survivor.sagas.result(innocent.id, { orParked: true }))).toMatchObject({
        status: "completed",
      });
    }
  });
});
