import { describe, expect, test } from "vitest";
import { saga } from "./builder.ts";
import { DraftBuilder } from "./draft-builder.ts";
import { validate } from "./plan.ts";

const nothing = () => undefined;
const undoable = { do: nothing, undo: nothing };
const verify = () => ({ outcome: "unknown" }) as const;
const messages = (builder: DraftBuilder) =>
  validate(builder.build()).warnings.map(({ step, message }) => `${step}: ${message}`);

describe("validate", () => {
  test("rehearses layers, the longest chain, the pivot and the order of undoing", () => {
    const definition = saga("order", { version: 3 })
      .step("a", undoable)
      .step("b", undoable)
      .step("c", { after: ["a"], do: nothing })
      .pivot("pay", { after: ["b", "c"], do: nothing })
      .step("ship", { after: ["pay"], do: nothing })
      .build();
    expect(validate(definition)).toMatchObject({
      saga: "order",
      version: 3,
      graphHash: definition.graphHash,
      layers: [["a", "b"], ["c"], ["pay"], ["ship"]],
      criticalPath: ["a", "c", "pay", "ship"],
      pivot: "pay",
      afterPivot: ["ship"],
      undoLayers: [["a", "b"]],
    });
  });
});

describe("the worst case", () => {
  const retry = (maxAttempts: number, more: object = {}) => ({
    retry: { maxAttempts, initialMs: 100, factor: 2, maxMs: 300, ...more },
    timeoutMs: 1_000,
  });
  const worst = (options: object, settleMs = 0) =>
    validate(
      DraftBuilder.start("s", { settleMs })
        .step("a", { do: nothing, ...options })
        .build(),
    ).worstCase.ms;

  test.each([
    ["one attempt", retry(1), 1_000],
    ["the delays grow", retry(3), 3_000 + 100 + 200],
    ["up to maxMs", retry(6), 6_000 + 100 + 200 + 300 + 300 + 300],
    ["a steady delay", retry(3, { factor: 1 }), 3_000 + 200],
    ["a delay beyond maxMs", retry(3, { initialMs: 900 }), 3_000 + 600],
    ["no delay", retry(3, { initialMs: 0 }), 3_000],
    ["no delay at all", retry(3, { maxMs: 0 }), 3_000],
    ["a time bound", retry(Infinity, { forMs: 5_000 }), 6_000],
    ["a time bound that comes late", retry(2, { forMs: 50_000 }), 2_100],
    ["a step time-out", { ...retry(9), stepTimeoutMs: 1_500 }, 1_500],
    ["a question after each attempt", { ...retry(2), verify }, 4_100],
    ["steady for ever", retry(Infinity, { factor: 1, forMs: 9_000 }), 10_000],
  ])("%s", (_, options, ms) => {
    expect(worst(options)).toBe(ms);
  });

  test("counts how long an aborted attempt may take to settle", () => {
    expect(worst(retry(2), 50)).toBe(2_200);
    expect(worst({ ...retry(9), stepTimeoutMs: 1_500 }, 50)).toBe(1_550);
  });

  test("is that of the slowest chain, waits and children included", () => {
    const child = DraftBuilder.start("child", { settleMs: 0 })
      .step("x", { do: nothing, ...retry(1) })
      .build();
    const definition = DraftBuilder.start("s", { settleMs: 10 })
      .sleep("sleep", { forMs: 70_000 })
      .signal("signal", { waitMs: 5_000, after: ["child"] })
      .child("child", { saga: child, input: nothing })
      .map("map", { over: () => [], do: nothing, stepTimeoutMs: 300, after: ["signal"] })
      .step("last", { do: nothing, ...retry(1), after: ["sleep", "map"] })
      .build();
    expect(validate(definition).worstCase).toEqual({ ms: 71_010, path: ["sleep", "last"], unbounded: [] });
    const waiting = validate(DraftBuilder.start("s", {}).signal("a", { waitMs: 7 }).build());
    expect(waiting.worstCase.ms).toBe(7);
  });

  test("is unknown where a step has no bound, and names it", () => {
    const child = saga("child")
      .sleep("x", { forMs: () => 1 })
      .build();
    const definition = DraftBuilder.start("s", {})
      .sleep("computed", { forMs: () => 1 })
      .map("map", { over: () => [], do: nothing })
      .child("child", { saga: child, input: nothing })
      .step("bounded", { do: nothing })
      .build();
    expect(validate(definition).worstCase).toEqual({
      ms: undefined,
      path: [],
      unbounded: ["computed", "map", "child"],
    });
  });
});

describe("warnings", () => {
  const start = () => DraftBuilder.start("s", {});

  test("name a pivot whose outcome may stay unknown", () => {
    expect(messages(start().pivot("pay", { do: nothing }))[0]).toMatch(
      /^pay: the pivot has no verify: .*run again/,
    );
    expect(messages(start().pivot("pay", { do: nothing, onUnknown: "park" }))[0]).toMatch(
      /verify: .* is parked$/,
    );
  });

  test("name a step whose undo may not know the result", () => {
    expect(messages(start().step("a", undoable))[0]).toMatch(
      /^a: it has no verify: .*run again.*ctx\.result/,
    );
    expect(messages(start().step("a", { ...undoable, onUnknown: "undo" }))[0]).toMatch(/lost it is undone/);
    expect(messages(start().map("a", { over: () => [], ...undoable, onUnknown: "park" }))[0]).toMatch(
      /parked$/,
    );
  });

  test("name a step that may leave traces, and one that has no time for an attempt", () => {
    expect(messages(start().step("a", { ...undoable, verify, onExhausted: "continue" }))).toEqual([
      expect.stringContaining("compensated_with_exceptions"),
    ]);
    expect(messages(start().step("a", { do: nothing, stepTimeoutMs: 5 }))).toEqual([
      "a: stepTimeoutMs = 5 ends before one attempt may: timeoutMs = 60000",
    ]);
  });

  test("do not guess: nothing is said of what may be a read, is verified, or cannot be in doubt", () => {
    const quiet = start()
      .step("read", { do: nothing, stepTimeoutMs: 60_000 })
      .step("verified", { ...undoable, verify })
      .step("local", { ...undoable, transactional: true })
      .sleep("sleep", { forMs: 1 })
      .pivot("pay", { do: nothing, verify, after: ["verified", "local"] })
      .step("ship", { do: nothing, after: ["pay"] });
    expect(messages(quiet)).toEqual([]);
  });
});
