import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { done, failed, PureSaga, unknown } from "../../../../../tests/engine/pure-saga.ts";
import { saga as build } from "../definition/builder.ts";
import { DEFAULTS } from "../definition/policies.ts";
import type { SagaEvent } from "../saga/events.ts";
import { findStep } from "../saga/state.ts";
import { mayStillStart } from "./admission.ts";
import { adopt } from "./adopt.ts";
import { backoff } from "./delay.ts";
import { fail, fromThrown, outcomeUnknown, retryIn, toRecordedError } from "./outcome.ts";
import { answer } from "./requests.ts";
import { settle, settleLate } from "./settle.ts";
import { actionKeyOf, idempotencyKey } from "./task.ts";
import { deadline, retryOf } from "./view.ts";

const by = { actor: "ann", reason: "ticket" };
const child = build("child")
  .step("x", { do: () => 1, undo: () => {} })
  .build();
const lost = { name: "E", message: "?", kind: "ambiguous" } as const;
const goBack: SagaEvent = { type: "compensation_started", data: { cause: { kind: "timeout" } } };
const CHILD_ID = "01890a5d-ac96-774b-bcce-b302099a8000";

describe("backoff", () => {
  test("stays within its bounds, whatever the luck", () => {
    const policy = fc.record({
      initialMs: fc.integer({ min: 0, max: 100_000 }),
      factor: fc.double({ min: 1, max: 1_000, noNaN: true }),
      maxMs: fc.integer({ min: 0, max: 1_000_000 }),
      attempts: fc.integer({ min: 0, max: 10_000 }),
      luck: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    });
    fc.assert(
      fc.property(policy, ({ attempts, luck, ...times }) => {
        const jittered = backoff({ ...times, maxAttempts: 3, jitter: "full" }, attempts, luck);
        const exact = backoff({ ...times, maxAttempts: 3, jitter: "none" }, attempts, luck);
        expect(jittered).toBeGreaterThanOrEqual(0);
        expect(jittered).toBeLessThanOrEqual(Math.ceil(exact));
        expect(exact).toBeLessThanOrEqual(times.maxMs);
      }),
    );
  });

  test("doubles up to its limit", () => {
    const policy = { ...DEFAULTS.retry, jitter: "none", maxMs: 500 } as const;
    expect([1, 2, 3, 4, 9].map((attempts) => backoff(policy, attempts, 0))).toEqual([
      100, 200, 400, 500, 500,
    ]);
  });
});

describe("what a throw means", () => {
  test.each([
    ["a business failure", fail("no"), undefined, "failed", "business"],
    ["an error", new Error("x"), undefined, "failed", "error"],
    [
      "a reset connection",
      Object.assign(new Error("x"), { code: "ECONNRESET" }),
      undefined,
      "unknown",
      "ambiguous",
    ],
    [
      "one deep in the causes",
      new Error("x", { cause: new Error("y", { cause: { code: "EPIPE" } }) }),
      undefined,
      "unknown",
      "ambiguous",
    ],
    [
      "a refused connection",
      Object.assign(new Error("x"), { code: "ECONNREFUSED" }),
      undefined,
      "failed",
      "error",
    ],
    ["AbortError", new DOMException("x", "AbortError"), undefined, "unknown", "ambiguous"],
    ["outcomeUnknown", outcomeUnknown("x"), undefined, "unknown", "ambiguous"],
    ["any throw after a time-out", new Error("x"), "timeout" as const, "unknown", "timeout"],
    ["any throw after a cut", "x", "cut_off" as const, "unknown", "cut_off"],
    ["a business failure after a time-out", fail("no"), "timeout" as const, "failed", "business"],
  ])("%s", (_, thrown, aborted, type, kind) => {
    expect(fromThrown(thrown, aborted)).toMatchObject({ type, error: { kind } });
  });

  test("causes that go round in a circle end", () => {
    const error = new Error("x") as Error & { cause?: unknown };
    error.cause = error;
    expect(fromThrown(error, undefined)).toMatchObject({ type: "failed" });
  });

  test("retryIn carries its delay and the error behind it", () => {
    expect(fromThrown(retryIn(500, new Error("busy")), undefined)).toMatchObject({
      retryInMs: 500,
      error: { message: "busy" },
    });
    expect(fromThrown(retryIn(500), undefined)).toMatchObject({ error: { message: "try again in 500 ms" } });
    for (const delayMs of ["soon", Number.NaN, 1e16])
      expect(fromThrown({ name: "RetryLater", delayMs }, undefined)).not.toHaveProperty("retryInMs");
    for (const delay of [-1, Number.NaN, Number.POSITIVE_INFINITY, 1e16])
      expect(() => retryIn(delay)).toThrow(expect.objectContaining({ code: "SAGAZ_INVALID_OPTION" }));
  });

  test("an error whose name is no text is an Error", () => {
    expect(toRecordedError({ message: 5, name: 7 }, "error")).toMatchObject({ name: "Error", message: "5" });
  });
});

describe("time", () => {
  test("a deadline moves by the pauses after its beginning, and by no others", () => {
    const saga = new PureSaga(build("pauses").signal("go").build());
    saga.state.pauses.push({ from: 100, to: 200 }, { from: 1_500, to: 1_600 }, { from: 900, to: 1_100 });
    expect(deadline(saga.view, 1_000, 5_000)).toBe(1_000 + 5_000 + 100 + 100);
  });

  test("a plain step beside a started pivot keeps its `when`, and is retried like one after it", () => {
    const when = () => true;
    const definition = build("beside")
      .pivot("pay", { do: () => 1 })
      .step("note", { do: () => 1, retry: { when } })
      .step("mail", { do: () => 1 })
      .build();
    const saga = new PureSaga(definition);
    const policy = (name: string) => retryOf(saga.view, definition.graph.byName.get(name)!);
    expect(policy("note").maxAttempts).toBe(3);
    saga.turn();
    expect(policy("note")).toMatchObject({ maxAttempts: Number.POSITIVE_INFINITY, when });
    expect(policy("mail")).toEqual(DEFAULTS.retriableRetry);
  });
});

describe("adoption after a crash", () => {
  const adopted = (saga: PureSaga) => {
    adopt(saga.view, { crashed: true });
    return [...saga.live.unsettled.keys()];
  };

  test("doubts what was ready, and nothing else", () => {
    const definition = build("doubts")
      .step("a", { do: () => 1 })
      .map("m", { over: () => [1], do: () => 1 })
      .sleep("s", { forMs: 1 })
      .step("b", { after: ["a"], do: () => 1 })
      .build();
    expect(adopted(new PureSaga(definition))).toEqual(["a"]);
    const listed = new PureSaga(definition).apply({ type: "map_listed", step: "m", data: { items: [1, 2] } });
    expect(adopted(listed)).toEqual(["a", "m[0]", "m[1]"]);
    expect(adopted(new PureSaga(definition, { admitted: false }))).toEqual(["a"]);
    expect(adopted(new PureSaga(definition).apply(goBack))).toEqual([]);
  });

  test("items beyond the window had not begun", () => {
    const definition = build("window")
      .map("m", { over: () => [1], do: () => 1, concurrency: 2 })
      .build();
    const saga = new PureSaga(definition).apply(
      { type: "map_listed", step: "m", data: { items: [1, 2, 3, 4] } },
      { type: "step_done", step: "m[0]", data: {} },
    );
    expect(adopted(saga)).toEqual(["m[1]", "m[2]"]);
  });

  test("a step that waits for a person, a pivot that had not begun and one that waits for its delay did not run", () => {
    const blocked = new PureSaga(
      build("blocked")
        .step("a", { do: () => 1 })
        .build(),
    ).apply({
      type: "saga_parked",
      data: { reason: "outcome_unknown", step: "a" },
    });
    expect(adopted(blocked)).toEqual([]);
    expect(
      adopted(
        new PureSaga(
          build("pivot")
            .pivot("pay", { do: () => 1 })
            .build(),
        ),
      ),
    ).toEqual([]);
    const delayed = new PureSaga(
      build("delayed")
        .step("a", { do: () => 1 })
        .build(),
    ).apply({
      type: "retry_scheduled",
      step: "a",
      data: { at: 9_000, error: lost },
    });
    expect(adopted(delayed)).toEqual([]);
    delayed.now = 9_000;
    expect(adopted(delayed)).toEqual(["a"]);
  });
});

describe("what fails for long", () => {
  const definition = build("day")
    .pivot("pay", { do: () => 1 })
    .step("ship", { after: ["pay"], do: () => 1 })
    .build();
  const down = (message: string) => {
    const error = { name: "Error", message, kind: "error", stack: "at …" } as const;
    return { type: "failed", error, final: false, thrown: new Error(message) } as const;
  };
  const failsAgain = (saga: PureSaga, message = "down") => {
    const { wakeAt } = saga.end("ship", down(message));
    if (wakeAt === undefined) return;
    saga.now = wakeAt;
    saga.turn();
  };

  /** A saga whose pivot is done, and that ships. */
  function paid(): PureSaga {
    const saga = new PureSaga(definition);
    saga.turn();
    saga.end("pay", done());
    return saga;
  }

  test("after the pivot is retried for 24 h by default, with a delay of up to a minute, then parked", () => {
    const saga = paid();
    const began = saga.now;
    const delays: number[] = [];
    while (saga.state.status === "running") {
      const before = saga.now;
      failsAgain(saga);
      delays.push(saga.now - before);
    }
    expect(saga.state.parked).toMatchObject({ reason: "step_failed_after_pivot", step: "ship" });
    expect(saga.now - began).toBeGreaterThanOrEqual(86_400_000);
    expect(saga.now - began).toBeLessThan(86_400_000 + 60_000);
    expect(Math.max(...delays)).toBe(30_000); // half of a minute: the luck of pure sagas is 0.5
    expect(saga.types).not.toContain("compensation_started");
  });

  test("has its stack in the journal once for each error, and at the end", () => {
    const saga = paid();
    const stacks = () =>
      saga.journal.flatMap((event) =>
        event.type === "retry_scheduled" ? [`${event.data.error.message} ${event.data.error.stack}`] : [],
      );
    while (stacks().length < 2) failsAgain(saga);
    failsAgain(saga, "gone");
    failsAgain(saga, "gone");
    expect(stacks()).toEqual(["down at …", "down undefined", "gone at …", "gone undefined"]);
    saga.now += 86_400_000;
    failsAgain(saga, "gone");
    expect(findStep(saga.state, "ship")).toMatchObject({ status: "failed", error: { stack: "at …" } });
  });
});

describe("what is unknown", () => {
  const definition = build("unknowns")
    .step("a", { do: () => 1, undo: () => {}, verify: () => ({ outcome: "unknown" }) })
    .step("b", { do: () => 1 })
    .build();

  test("is not asked about twice at a time", () => {
    const saga = new PureSaga(definition);
    saga.turn();
    saga.end("a", unknown());
    expect(saga.task("a").kind).toBe("verify");
    saga.end("b", done());
    expect(saga.task("a").kind).toBe("verify");
  });

  test("is known when a person said so meanwhile", () => {
    const saga = new PureSaga(definition);
    saga.live.unsettled.set("a", { error: lost, verified: false, final: false, again: false });
    saga.apply({ type: "step_done", step: "a", data: { by } });
    saga.turn();
    expect(saga.live.unsettled.size).toBe(0);
    expect(saga.inFlight).toEqual(["b"]);
  });

  test("an answer of verify that comes when nobody wants it any more is dropped", () => {
    const saga = new PureSaga(definition);
    saga.turn();
    saga.end("a", unknown());
    const verify = saga.task("a");
    saga.live.unsettled.clear();
    expect(settle(saga.view, verify, done({ outcome: "done" }))).toEqual([]);
  });

  test("verify that answers nothing at all leaves it unknown", () => {
    const saga = new PureSaga(definition);
    saga.turn();
    saga.end("a", unknown());
    saga.end("a", done(null));
    expect(saga.live.tasks.has("a") || saga.live.retryAt.has("a")).toBe(true);
  });

  test("a person's retry makes one more attempt, also of what has used up its attempts", () => {
    const parks = build("parks")
      .step("a", { do: () => 1, onUnknown: "park", retry: { maxAttempts: 1 } })
      .build();
    const saga = new PureSaga(parks);
    saga.turn();
    saga.end("a", unknown());
    expect(saga.state.parked).toMatchObject({ reason: "outcome_unknown", step: "a" });
    saga.ask({ kind: "retry", ...by });
    expect(saga.task("a")).toMatchObject({ kind: "do", attempt: 1, round: 0 });
  });
});

describe("ends of tasks that nobody waits for", () => {
  test("change nothing once the step has its outcome", () => {
    const saga = new PureSaga(
      build("closed")
        .step("a", { do: () => 1 })
        .map("m", { over: () => [1], do: () => 1 })
        .build(),
    );
    saga.turn();
    const [a, m] = [saga.task("a"), saga.task("m")];
    saga.apply({ type: "step_done", step: "a", data: {} }, { type: "step_skipped", step: "m", data: by });
    expect(settle(saga.view, a, failed())).toEqual([]);
    expect(settle(saga.view, m, done([1]))).toEqual([]);
    expect(settle(saga.view, { ...a, kind: "undo", round: 1 }, done())).toEqual([]);
  });

  test("a preparation of unknown outcome has no effect, so it is tried again", () => {
    const saga = new PureSaga(
      build("prepares")
        .map("m", { over: () => [1], do: () => 1 })
        .build(),
    );
    saga.turn();
    saga.end("m", unknown());
    expect(findStep(saga.state, "m")?.status ?? "pending").toBe("pending");
    saga.now += 60_000;
    saga.turn();
    expect(saga.task("m")).toMatchObject({ kind: "prepare", attempt: 2 });
  });

  const late = (status: readonly SagaEvent[]) => {
    const saga = new PureSaga(
      build("late")
        .step("a", { do: () => 1, undo: () => {} })
        .build(),
    );
    saga.turn();
    const task = saga.task("a");
    saga.live.tasks.clear();
    saga.apply(...status);
    return { saga, task };
  };

  test("a late effect is the result while nothing is undone", () => {
    const open = late([]);
    expect(settleLate(open.saga.view, open.task, done(5))).toMatchObject([
      { type: "step_done", data: { result: 5 } },
    ]);
    const maybe = late([{ type: "step_maybe_done", step: "a", data: { error: lost } }, goBack]);
    expect(settleLate(maybe.saga.view, maybe.task, done(5))).toMatchObject([{ type: "step_done" }]);
  });

  test("a late effect whose result cannot be kept counts only where something has to be undone again", () => {
    const open = late([]);
    expect(settleLate(open.saga.view, open.task, unknown("?", true))).toEqual([]);
    const undone = late([
      { type: "step_maybe_done", step: "a", data: { error: lost } },
      goBack,
      { type: "step_compensated", step: "a", data: {} },
    ]);
    expect(settleLate(undone.saga.view, undone.task, unknown("?", true))).toMatchObject([
      { type: "late_effect" },
    ]);
    expect(settleLate(undone.saga.view, undone.task, unknown())).toEqual([]);
    expect(settleLate(undone.saga.view, undone.task, failed())).toEqual([]);
    expect(settleLate(undone.saga.view, { ...undone.task, kind: "undo" }, done())).toEqual([]);
  });

  test("a late effect of what is done, skipped or closed is nothing new", () => {
    for (const events of [
      [{ type: "step_done", step: "a", data: {} }],
      [
        { type: "saga_parked", data: { reason: "stuck" } },
        { type: "saga_force_closed", data: by },
      ],
    ] as SagaEvent[][]) {
      const { saga, task } = late(events);
      expect(settleLate(saga.view, task, done(5))).toEqual([]);
    }
  });
});

describe("the items of a map", () => {
  test("an item of a map begins when the outcome that makes room for it is on record: a crash would forget it", () => {
    const saga = new PureSaga(
      build("window")
        .map("m", { over: () => [], do: () => 1, undo: () => {}, concurrency: 2 })
        .build(),
    );
    saga.turn();
    saga.end("m", done([1, 2, 3]));
    expect(saga.inFlight).toEqual(["m[0]", "m[1]"]);
    saga.live.tasks.delete("m[1]");
    saga.apply({ type: "step_done", step: "m[1]", data: { result: 1 } });
    saga.live.ackedSeq -= 1;
    expect(saga.turn().start).toEqual([]);
    saga.live.ackedSeq += 1;
    expect(saga.turn().start).toMatchObject([{ key: "m[2]" }]);
  });

  test("attempts of other steps take no place from the items", () => {
    const saga = new PureSaga(
      build("beside")
        .step("a", { do: () => 1 })
        .map("m", { over: () => [], do: () => 1, concurrency: 1 })
        .build(),
    );
    saga.turn();
    saga.end("m", done([1, 2]));
    expect(saga.inFlight).toEqual(["a", "m[0]"]);
  });

  test("an item that a person opened again waits for a free place, and is doubted beside those that began before", () => {
    const saga = new PureSaga(
      build("again")
        .pivot("pay", { do: () => 1 })
        .map("m", { over: () => [], do: () => 1, concurrency: 1 })
        .build(),
    );
    saga.turn();
    saga.end("pay", done());
    saga.end("m", done([1, 2, 3]));
    saga.end("m[0]", failed());
    expect(saga.inFlight).toEqual(["m[1]"]);
    saga.ask({ kind: "retry", ...by });
    expect(saga.inFlight).toEqual(["m[1]"]);
    saga.live.tasks.clear();
    adopt(saga.view, { crashed: true });
    expect([...saga.live.unsettled.keys()]).toEqual(["m[0]", "m[1]"]);
  });
});

describe("requests", () => {
  const parent = () =>
    build("parent")
      .child("c", { saga: child, input: () => null })
      .step("last", { after: ["c"], do: () => 1 })
      .build();
  const withChild = (...events: readonly SagaEvent[]) =>
    new PureSaga(parent()).apply(
      { type: "child_started", step: "c", data: { childId: CHILD_ID, input: null } },
      ...events,
    );
  const ended = (
    status: "completed" | "compensated" | "compensated_with_exceptions" | "forced_closed",
    childId = CHILD_ID,
  ) => ({ kind: "child_ended", step: "c", childId, status }) as const;
  const undoing: readonly SagaEvent[] = [
    { type: "step_done", step: "c", data: {} },
    goBack,
    { type: "child_undo_requested", step: "c", data: {} },
  ];

  test("the end of a child that is not ours, or was told before, changes nothing", () => {
    expect(answer(withChild().view, ended("completed", "another"))).toEqual([]);
    expect(answer(withChild({ type: "step_done", step: "c", data: {} }).view, ended("completed"))).toEqual(
      [],
    );
    expect(
      answer(withChild({ type: "step_done", step: "c", data: {} }, goBack).view, ended("compensated")),
    ).toEqual([]);
    expect(answer(withChild(...undoing).view, ended("completed"))).toEqual([]);
  });

  test("a child that was undone with exceptions leaves an exception in its parent", () => {
    const saga = withChild(...undoing);
    saga.ask(ended("compensated_with_exceptions"));
    expect(saga.state).toMatchObject({ status: "compensated_with_exceptions", exceptions: ["c"] });
  });

  test("a child that cannot be undone parks its parent", () => {
    const saga = withChild(...undoing);
    saga.ask(ended("forced_closed"));
    expect(saga.state).toMatchObject({
      status: "parked",
      parked: { reason: "compensation_failed", step: "c" },
    });
    expect(saga.turn().waitingFor).toBe("operator");
  });

  test("a parked child of somebody else, a new parent from a stranger: nothing", () => {
    const saga = withChild();
    expect(answer(saga.view, { kind: "child_parked", step: "c", childId: "x", reason: "stuck" })).toEqual([]);
    const stranger = { kind: "new_parent", from: "x", parent: { sagaId: "y", step: "c" } } as const;
    expect(answer(saga.view, stranger)).toEqual([]);
  });

  test("a late effect of a step that does not exist, with or without its result", () => {
    const saga = withChild();
    expect(answer(saga.view, { kind: "late_effect", step: "nope", result: 1 })).toEqual([]);
    const actions = new PureSaga(
      build("one")
        .step("a", { do: () => 1 })
        .build(),
    );
    expect(answer(actions.view, { kind: "late_effect", step: "a" })).toEqual([]);
    expect(answer(actions.view, { kind: "late_effect", step: "a", result: 1 })).toMatchObject([
      { type: "step_done" },
    ]);
  });

  test("an attempt whose step got its result from an owner before us is told to stop, and its own end changes nothing", () => {
    const saga = new PureSaga(
      build("moot")
        .step("a", { do: () => 1 })
        .step("b", { do: () => 2 })
        .build(),
    );
    saga.turn();
    const { abort } = saga.ask({ kind: "late_effect", step: "a", result: 1 });
    expect(abort).toMatchObject([{ task: { task: { key: "a" } }, cause: "cut_off" }]);
    const before = saga.types;
    saga.end("a", unknown());
    expect(saga.types).toEqual(before);
    expect(saga.inFlight).toEqual(["b"]);
  });

  test("an id for a fork that is too old is refused: the request waited through an outage", () => {
    const saga = new PureSaga(
      build("old")
        .step("a", { do: () => 1 })
        .build(),
    );
    saga.turn();
    saga.end("a", done());
    expect(() => answer(saga.view, { kind: "fork", forkId: CHILD_ID, fromStep: "a", ...by })).toThrow(
      expect.objectContaining({ code: "SAGAZ_CLOCK_SKEW" }),
    );
  });

  test("skip and resolve name what they are possible for", () => {
    const saga = new PureSaga(
      build("skips")
        .map("m", { over: () => [1, 2], do: () => 1, onUnknown: "park" })
        .step("other", { after: ["m"], do: () => 1 })
        .build(),
    );
    saga.turn();
    saga.end("m", done([1, 2]));
    saga.end("m[1]", unknown());
    expect(() => answer(saga.view, { kind: "skip", step: "other", ...by })).toThrow(
      expect.objectContaining({
        details: expect.objectContaining({ status: "pending", possible: '"m[1]"' }) as unknown,
      }),
    );
    expect(() => answer(saga.view, { kind: "skip", step: "m[1]", ...by })).toThrow(
      expect.objectContaining({ code: "SAGAZ_STEP_NEEDED", details: { step: "m[1]", dependents: "others" } }),
    );
    const whole = new PureSaga(
      build("whole")
        .step("a", { do: () => 1 })
        .build(),
    ).apply({
      type: "saga_parked",
      data: { reason: "crash_loop" },
    });
    expect(() => answer(whole.view, { kind: "skip", step: "a", ...by })).toThrow(
      "steps that wait for a person",
    );
  });
});

describe("small print", () => {
  test("a saga that goes back may start nothing", () => {
    const definition = build("back")
      .step("a", { do: () => 1 })
      .build();
    const step = definition.graph.byName.get("a")!;
    const saga = new PureSaga(definition);
    expect(mayStillStart(saga.view, step)).toBe(true);
    saga.apply(goBack);
    expect(mayStillStart(saga.view, step)).toBe(false);
  });

  test("idempotency keys: the same for attempts, different for undo, item and round", () => {
    expect(idempotencyKey("s", { key: "a", kind: "do", round: 0 })).toBe("s/a/do/0");
    expect(idempotencyKey("s", { key: "a[1]", kind: "undo", round: 2 })).toBe("s/a[1]/undo/2");
    const saga = new PureSaga(
      build("keys")
        .step("a", { do: () => 1 })
        .build(),
    );
    expect(actionKeyOf(saga.state, "a")).toBe(`${saga.state.sagaId}/a/do/0`);
  });

  test("a preparation waits for its delay, for a pause, and for the pivot to be on record", () => {
    const lists = new PureSaga(
      build("lists")
        .map("m", { over: () => [1], do: () => 1 })
        .build(),
    );
    lists.turn();
    lists.end("m", failed("later", false));
    expect(lists.inFlight).toEqual([]);
    expect(lists.turn()).toMatchObject({ waitingFor: "retry" });
    lists.now += 60_000;
    lists.turn();
    expect(lists.inFlight).toEqual(["m"]);
    lists.turn();
    expect(lists.inFlight).toEqual(["m"]);
    const paused = new PureSaga(
      build("paused")
        .map("m", { over: () => [1], do: () => 1 })
        .build(),
    );
    paused.ask({ kind: "pause", ...by });
    expect(paused.inFlight).toEqual([]);
  });

  test("a paused saga asks no child for its undo", () => {
    const definition = build("paused-undo")
      .child("c", { saga: child, input: () => null })
      .build();
    const saga = new PureSaga(definition).apply(
      { type: "child_started", step: "c", data: { childId: CHILD_ID, input: null } },
      { type: "saga_paused", data: by },
      { type: "step_done", step: "c", data: {} },
      goBack,
    );
    saga.turn();
    expect(saga.types).not.toContain("child_undo_requested(c)");
    saga.ask({ kind: "resume", ...by });
    expect(saga.types).toContain("child_undo_requested(c)");
  });

  describe("a child that was closed by force", () => {
    const closed = () => {
      const definition = build("closed-child")
        .child("c", { saga: child, input: () => null })
        .step("last", { after: ["c"], do: () => 1 })
        .build();
      const saga = new PureSaga(definition);
      saga.apply({ type: "child_started", step: "c", data: { childId: CHILD_ID, input: null } });
      saga.ask({ kind: "child_ended", step: "c", childId: CHILD_ID, status: "forced_closed" });
      expect(saga.state.parked).toMatchObject({ reason: "child_failed", step: "c" });
      return saga;
    };

    test("is followed by another one when a person says: again", () => {
      const saga = closed();
      saga.ask({ kind: "retry", ...by });
      expect(saga.task("c").kind).toBe("prepare");
      expect(findStep(saga.state, "c")).toMatchObject({ childId: undefined, childParked: undefined });
    });

    test("cannot be undone: the parent's undo of it waits for a person, and not while it is paused", () => {
      const saga = closed();
      saga.ask({ kind: "resolve", step: "c", outcome: "done", result: 1, ...by });
      saga.apply({ type: "saga_paused", data: by });
      saga.end("last", failed());
      expect(saga.state.status).toBe("running");
      saga.ask({ kind: "resume", ...by });
      expect(saga.state).toMatchObject({
        status: "parked",
        parked: { reason: "compensation_failed", step: "c" },
      });
      expect(saga.types).not.toContain("child_undo_requested(c)");
      const again = closed();
      again.ask({ kind: "resolve", step: "c", outcome: "done", ...by });
      again.live.tasks.clear();
      again.apply(goBack, { type: "saga_paused", data: by });
      again.turn();
      expect(again.state.status).toBe("compensating");
    });

    test("is noted by a parent that has ended, for a later undo", () => {
      const definition = build("ended-parent")
        .child("c", { saga: child, input: () => null })
        .build();
      const saga = new PureSaga(definition).apply(
        { type: "child_started", step: "c", data: { childId: CHILD_ID, input: null } },
        { type: "step_done", step: "c", data: {} },
        { type: "saga_completed", data: {} },
      );
      saga.ask({ kind: "child_ended", step: "c", childId: CHILD_ID, status: "forced_closed" });
      expect(findStep(saga.state, "c")?.childParked).toBe("forced_closed");
      expect(saga.state.status).toBe("completed");
    });
  });

  test("WAIT_ALL: timers, lists and items that are open are waited for", () => {
    const definition = build("waits", { strategy: "WAIT_ALL" })
      .step("bad", { do: () => 1 })
      .sleep("nap", { forMs: 10_000 })
      .map("m", { over: () => [1, 2], do: () => 1, undo: () => {} })
      .build();
    const saga = new PureSaga(definition);
    saga.turn();
    saga.end("bad", failed());
    saga.end("nap", done(10_000));
    saga.end("m", done([1, 2]));
    saga.end("m[0]", done());
    expect(saga.state.direction).toBe("forward");
    saga.end("m[1]", done());
    expect(saga.state.direction).toBe("forward");
    saga.now += 10_000;
    saga.turn();
    expect(saga.state.direction).toBe("backward");
    expect(saga.inFlight).toEqual(["undo m[0]", "undo m[1]"]);
  });

  test("WAIT_ALL: items that wait for their next attempt are waited for, failed ones are not", () => {
    const definition = build("items", { strategy: "WAIT_ALL" })
      .map("m", { over: () => [1, 2], do: () => 1, undo: () => {}, retry: { jitter: "none" } })
      .build();
    const saga = new PureSaga(definition);
    saga.turn();
    saga.end("m", done([1, 2]));
    saga.end("m[0]", failed());
    saga.end("m[1]", failed("later", false));
    expect(saga.inFlight).toEqual([]);
    expect(saga.state.direction).toBe("forward");
    saga.now += 1_000;
    saga.turn();
    saga.end("m[1]", done());
    expect(saga.inFlight).toEqual(["undo m[1]"]);
  });

  test("tries that are known to have had no effect count as such when the saga goes back", () => {
    const saga = new PureSaga(
      build("tries", { strategy: "FAIL_FAST" })
        .step("a", { do: () => 1, undo: () => {}, retry: { initialMs: 60_000, jitter: "none" } })
        .step("bad", { do: () => 1 })
        .build(),
    );
    saga.turn();
    saga.end("a", failed("later", false));
    saga.end("bad", failed());
    expect(saga.state.status).toBe("compensated");
  });

  test("an output function may return nothing", () => {
    const saga = new PureSaga(
      build("nothing")
        .step("a", { do: () => 1 })
        .build({ output: () => undefined }),
    );
    saga.turn();
    saga.end("a", done());
    expect(saga.journal.at(-1)).toMatchObject({ type: "saga_completed", data: {} });
  });

  test("an item without a result is null in the list of results", () => {
    const saga = new PureSaga(
      build("nulls")
        .map("m", { over: () => [1], do: () => undefined })
        .build(),
    );
    saga.turn();
    saga.end("m", done([1]));
    saga.end("m[0]", done(undefined));
    expect(findStep(saga.state, "m")?.result).toEqual([null]);
  });
});
