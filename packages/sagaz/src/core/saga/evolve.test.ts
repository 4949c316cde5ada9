import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { done, failed, PureSaga, unknown } from "../../../../../tests/engine/pure-saga.ts";
import { saga as build } from "../definition/builder.ts";
import { evolve, fold, resultsOf } from "./evolve.ts";
import type { JournalEntry, SagaEvent } from "./events.ts";
import { findStep, fromKey, itemKey, stepAt } from "./state.ts";

const by = { actor: "ann", reason: "ticket" };
const ID = "01890a5d-ac96-774b-bcce-b302099a8057";
const stuck = expect.objectContaining({ code: "SAGAZ_STUCK" }) as unknown;

const order = () =>
  build("order")
    .step("a", { do: () => 1, undo: () => {} })
    .step("b", { after: ["a"], do: () => 1, undo: () => {} })
    .signal("go", { after: ["b"] })
    .build();

describe("a journal that breaks a rule is found", () => {
  test("an empty one, one without a beginning, one with two", () => {
    expect(() => fold(ID, [])).toThrow(stuck);
    expect(() => fold(ID, [{ type: "saga_admitted", data: {}, seq: 1, at: 0 }])).toThrow(stuck);
    const saga = new PureSaga(order());
    const [first] = saga.journal as [JournalEntry];
    expect(() => fold(ID, [{ ...first, seq: 2 }])).toThrow(stuck);
    expect(() => fold(ID, [first, { ...first, seq: 2 }])).toThrow(stuck);
  });

  test("a gap, and an event of a kind that nobody knows", () => {
    const saga = new PureSaga(order());
    expect(() => evolve(saga.state, { type: "saga_admitted", data: {}, seq: 3, at: 0 })).toThrow(stuck);
    expect(() => saga.apply({ type: "saga_exploded", data: {} } as never)).toThrow(stuck);
  });

  const error = { name: "E", message: "no", kind: "error" } as const;
  const forbidden: [string, readonly SagaEvent[], SagaEvent][] = [
    ["admitted while running", [], { type: "saga_admitted", data: {} }],
    ["done twice", [{ type: "step_done", step: "a", data: {} }], { type: "step_done", step: "a", data: {} }],
    [
      "failed after done",
      [{ type: "step_done", step: "a", data: {} }],
      { type: "step_failed", step: "a", data: { error } },
    ],
    [
      "maybe done after done",
      [{ type: "step_done", step: "a", data: {} }],
      { type: "step_maybe_done", step: "a", data: { error } },
    ],
    ["undone on the way forward", [], { type: "step_compensated", step: "a", data: {} }],
    [
      "an undo that fails on the way forward",
      [],
      { type: "compensation_failed", step: "a", data: { error, policy: "park" } },
    ],
    ["compensated on the way forward", [], { type: "saga_compensated", data: { exceptions: [] } }],
    ["retried while running", [], { type: "retry_requested", data: by }],
    ["unparked while running", [], { type: "saga_unparked", data: { reason: "crash_loop" } }],
    ["paused after the end", [{ type: "saga_completed", data: {} }], { type: "saga_paused", data: by }],
    [
      "parked after the end",
      [{ type: "saga_completed", data: {} }],
      { type: "saga_parked", data: { reason: "stuck" } },
    ],
    ["timed out after the end", [{ type: "saga_completed", data: {} }], { type: "saga_timed_out", data: {} }],
    ["completed twice", [{ type: "saga_completed", data: {} }], { type: "saga_completed", data: {} }],
    ["closed after the end", [{ type: "saga_completed", data: {} }], { type: "saga_force_closed", data: by }],
    ["forked while running", [], { type: "saga_forked", data: { forkId: ID, fromStep: "a", ...by } }],
    [
      "a parent for who has none",
      [],
      { type: "parent_changed", data: { parent: { sagaId: ID, step: "x" } } },
    ],
    ["a signal consumed that never came", [], { type: "step_done", step: "go", data: { consumed: "go" } }],
    [
      "compensation twice",
      [{ type: "compensation_started", data: { cause: { kind: "timeout" } } }],
      { type: "compensation_started", data: { cause: { kind: "timeout" } } },
    ],
    [
      "completed on the way back",
      [{ type: "compensation_started", data: { cause: { kind: "timeout" } } }],
      { type: "saga_completed", data: {} },
    ],
    [
      "a pivot on the way back",
      [{ type: "compensation_started", data: { cause: { kind: "timeout" } } }],
      { type: "pivot_started", step: "b", data: {} },
    ],
    [
      "compensated after it was closed",
      [
        { type: "saga_parked", data: { reason: "stuck" } },
        { type: "saga_force_closed", data: by },
      ],
      { type: "compensation_started", data: { cause: { kind: "timeout" } } },
    ],
  ];
  test.each(forbidden)("%s", (_, before, event) => {
    const saga = new PureSaga(order()).apply(...before);
    expect(() => saga.apply(event)).toThrow(stuck);
  });
});

describe("details of the fold", () => {
  test("time never goes back", () => {
    const saga = new PureSaga(order());
    saga.now = 5_000;
    saga.apply({ type: "saga_paused", data: by });
    saga.now = 3_000;
    saga.apply({ type: "saga_resumed", data: by });
    expect(saga.state.at).toBe(5_000);
    expect(saga.state.pauses).toEqual([{ from: 5_000, to: 5_000 }]);
  });

  test("resuming what is not paused changes nothing", () => {
    const saga = new PureSaga(order()).apply({ type: "saga_resumed", data: by });
    expect(saga.state.pauses).toEqual([]);
  });

  test("unparked, a saga is still parked for the steps that wait for a person", () => {
    const saga = new PureSaga(order()).apply(
      { type: "saga_parked", data: { reason: "outcome_unknown", step: "a", detail: "?" } },
      { type: "saga_parked", data: { reason: "definition_missing" } },
      { type: "saga_unparked", data: { reason: "definition_missing" } },
    );
    expect(saga.state).toMatchObject({ status: "parked", parked: { reason: "outcome_unknown", step: "a" } });
  });

  test("a failure on the way back is kept, and changes no direction", () => {
    const saga = new PureSaga(order()).apply(
      { type: "compensation_started", data: { cause: { kind: "cancel", ...by } } },
      { type: "step_failed", step: "a", data: { error: { name: "E", message: "late", kind: "error" } } },
    );
    expect(saga.state.failure).toMatchObject({ kind: "cancel" });
    expect(findStep(saga.state, "a")).toMatchObject({ status: "failed" });
  });

  test("a compensation that is retried knows again whether its step was done or may have been", () => {
    const error = { name: "E", message: "?", kind: "ambiguous" } as const;
    const saga = new PureSaga(order()).apply(
      { type: "step_maybe_done", step: "a", data: { error } },
      { type: "compensation_started", data: { cause: { kind: "timeout" } } },
      { type: "compensation_failed", step: "a", data: { error, policy: "park" } },
      { type: "saga_parked", data: { reason: "compensation_failed", step: "a" } },
      { type: "retry_requested", data: by },
    );
    expect(findStep(saga.state, "a")).toMatchObject({ status: "maybe_done", undoRound: 0 });
  });

  test("signal ids are remembered up to the limit", () => {
    const saga = new PureSaga(order());
    for (let i = 0; i <= 1_000; i++)
      saga.apply({ type: "signal_received", data: { signal: "go", payload: i, signalId: `s${i}` } });
    expect(saga.state.signalIds.size).toBe(1_000);
    expect(saga.state.signalIds.has("s0")).toBe(false);
    expect(saga.state.signalIds.has("s1000")).toBe(true);
  });

  test("results are those of steps that are still done", () => {
    const saga = new PureSaga(order()).apply(
      { type: "step_done", step: "a", data: { result: 1 } },
      { type: "step_done", step: "b", data: { result: 2 } },
      { type: "compensation_started", data: { cause: { kind: "timeout" } } },
      { type: "step_compensated", step: "b", data: {} },
    );
    expect(resultsOf(saga.state)).toEqual({ a: 1 });
  });

  test("keys of items", () => {
    expect(itemKey("ship", 3)).toBe("ship[3]");
    expect(fromKey("ship[3]")).toEqual({ name: "ship", index: 3 });
    expect(fromKey("ship")).toEqual({ name: "ship", index: undefined });
    const saga = new PureSaga(order());
    expect(findStep(saga.state, "ship[3]")).toBeUndefined();
    expect(stepAt(saga.state, "ship[3]")).toBe(findStep(saga.state, "ship[3]"));
  });
});

describe("laws", () => {
  /** Journals of sagas whose tasks end by chance. */
  const histories = fc.array(
    fc.constantFrom("done", "failed", "retry", "unknown", "late", "pause", "cancel", "resume"),
    {
      maxLength: 30,
    },
  );

  const definition = build("laws")
    .step("a", { do: () => 1, undo: () => {} })
    .step("b", { do: () => 1, undo: () => {} })
    .step("c", { after: ["a"], do: () => 1, undo: () => {}, onUnknown: "undo" })
    .step("d", { after: ["b", "c"], do: () => 1 })
    .build();

  function play(choices: readonly string[]): PureSaga {
    const saga = new PureSaga(definition);
    saga.turn();
    for (const choice of choices) {
      saga.now += 1_000;
      const [key] = saga.inFlight;
      if (choice === "pause" || choice === "cancel" || choice === "resume") {
        try {
          saga.ask({ kind: choice, ...by });
        } catch (error) {
          expect(error).toMatchObject({ code: "SAGAZ_SAGA_ENDED" });
        }
      } else if (key === undefined) saga.turn();
      else if (choice === "done") saga.end(key, done(choice));
      else if (choice === "unknown") saga.end(key, unknown());
      else saga.end(key, failed("no", choice === "failed"));
    }
    return saga;
  }

  test("folding any prefix of a journal never throws, and one by one gives the same as all at once", () => {
    fc.assert(
      fc.property(histories, (choices) => {
        const saga = play(choices);
        for (let length = 1; length <= saga.journal.length; length++) fold(ID, saga.journal.slice(0, length));
        expect(fold(ID, saga.journal)).toEqual(saga.state);
      }),
    );
  });

  test("asking what is next twice answers the same, and changes nothing", () => {
    fc.assert(
      fc.property(histories, (choices) => {
        const saga = play(choices);
        const before = structuredClone({
          state: saga.state,
          retryAt: saga.live.retryAt,
          tries: saga.live.tries,
        });
        const [first, second] = [saga.turn(), saga.turn()];
        expect(second.start).toEqual([]);
        expect([second.events, second.abort.length]).toEqual([[], first.abort.length]);
        expect({ state: saga.state, retryAt: saga.live.retryAt, tries: saga.live.tries }).toEqual(before);
      }),
    );
  });

  test("no undo begins before those of all that could see its result have ended", () => {
    fc.assert(
      fc.property(histories, (choices) => {
        const saga = play([...choices, "resume", "cancel", "done", "done", "done", "done", "done", "done"]);
        const undone = saga.types.filter((type) => type.startsWith("step_compensated"));
        if (undone.includes("step_compensated(a)") && undone.includes("step_compensated(c)"))
          expect(undone.indexOf("step_compensated(c)")).toBeLessThan(undone.indexOf("step_compensated(a)"));
        for (const key of saga.inFlight)
          if (key === "undo a")
            expect(["done", "maybe_done"]).not.toContain(findStep(saga.state, "c")?.status);
      }),
    );
  });

  test("before the end nothing that was done stays without its undo", () => {
    fc.assert(
      fc.property(histories, (choices) => {
        const saga = play([...choices, "resume", "cancel", ...Array.from({ length: 12 }, () => "done")]);
        if (saga.state.status !== "compensated") return;
        for (const name of ["a", "b", "c"])
          expect(["done", "maybe_done"]).not.toContain(findStep(saga.state, name)?.status);
      }),
    );
  });
});
