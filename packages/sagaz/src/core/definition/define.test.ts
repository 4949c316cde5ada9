import { describe, expect, test } from "vitest";
import { saga } from "./builder.ts";
import { DraftBuilder } from "./draft-builder.ts";
import { DEFAULTS } from "./policies.ts";

const nothing = () => undefined;

describe("a definition", () => {
  test("has every default filled in", () => {
    const definition = saga("order").step("a", { do: nothing }).build();
    expect(definition).toMatchObject({
      name: "order",
      version: 1,
      pivot: undefined,
      strategy: "FAIL_FAST_WITH_GRACE",
      graceMs: 2_000,
      settleMs: 5_000,
      timeoutMs: undefined,
      output: undefined,
      inputSchema: undefined,
    });
    expect(definition.steps).toEqual([
      {
        name: "a",
        kind: "action",
        role: "plain",
        dependsOn: [],
        undoAfter: [],
        retry: DEFAULTS.retry,
        undoRetry: DEFAULTS.undoRetry,
        attemptTimeoutMs: 60_000,
        stepTimeoutMs: undefined,
        onUnknown: "rerun",
        onExhausted: "park",
        resultSchema: undefined,
        transactional: false,
        do: nothing,
        undo: undefined,
        verify: undefined,
      },
    ]);
  });

  test("is frozen", () => {
    const definition = saga("order").step("a", { do: nothing }).build();
    const [a] = definition.steps;
    for (const part of [definition, a, a?.retry, a?.undoRetry]) expect(Object.isFrozen(part)).toBe(true);
  });

  test("keeps what each kind of step was given", () => {
    const child = saga("child").step("a", { do: nothing }).build();
    const input = () => ({});
    const over = () => [1];
    const { byName } = saga("order")
      .map("map", { over, do: nothing, undo: nothing, verify: () => ({ outcome: "unknown" }) })
      .signal("plain")
      .signal("named", { signal: "approval", waitMs: 5 })
      .sleep("fixed", { forMs: 7 })
      .sleep("computed", { forMs: () => 8 })
      .child("child", { saga: child, input })
      .build().graph;
    expect(byName.get("map")).toMatchObject({ kind: "map", over, concurrency: 10, undo: nothing });
    expect(byName.get("plain")).toMatchObject({
      kind: "signal",
      signal: "plain",
      waitMs: 7 * 24 * 3_600_000,
    });
    expect(byName.get("named")).toMatchObject({ kind: "signal", signal: "approval", waitMs: 5 });
    expect(byName.get("fixed")).toMatchObject({ kind: "sleep", fixedMs: 7 });
    expect(byName.get("computed")).toMatchObject({ kind: "sleep", fixedMs: undefined });
    expect(byName.get("child")).toMatchObject({ kind: "child", child, input, role: "compensatable" });
    const durations = ["fixed", "computed"].map((name) => {
      const step = byName.get(name);
      return step?.kind === "sleep" ? step.forMs({} as never) : undefined;
    });
    expect(durations).toEqual([7, 8]);
  });

  test("names a dependency once", () => {
    const definition = saga("order")
      .step("a", { do: nothing })
      .step("b", { do: nothing, after: ["a", "a"] })
      .build();
    expect(definition.steps[1]?.dependsOn).toEqual(["a"]);
    expect(definition.graph.dependents.get("a")).toEqual(["b"]);
  });
});

describe("retry policies", () => {
  test("of a step lie over the saga's, which lies over the default; undefined changes nothing", () => {
    const definition = DraftBuilder.start("order", { retry: { maxAttempts: 7, initialMs: 5 } })
      .step("own", { do: nothing, retry: { maxAttempts: 9, factor: undefined } as never })
      .step("sagas", { do: nothing })
      .build();
    expect(definition.steps.map(({ retry }) => retry)).toEqual([
      { ...DEFAULTS.retry, maxAttempts: 9, initialMs: 5 },
      { ...DEFAULTS.retry, maxAttempts: 7, initialMs: 5 },
    ]);
  });

  test("after the pivot last a day whatever the saga says, unless the step says otherwise", () => {
    const definition = DraftBuilder.start("order", { retry: { maxAttempts: 1 } })
      .pivot("pay", { do: nothing })
      .step("ship", { do: nothing, after: ["pay"] })
      .step("mail", { do: nothing, after: ["pay"], retry: { forMs: 60_000 } })
      .build();
    expect(definition.steps.map(({ retry }) => [retry.maxAttempts, retry.forMs])).toEqual([
      [1, undefined],
      [Infinity, 24 * 3_600_000],
      [Infinity, 60_000],
    ]);
  });

  test("of a compensation are its own", () => {
    const definition = saga("order", { retry: { maxAttempts: 1 } })
      .step("a", {
        do: nothing,
        undo: nothing,
        undoRetry: { maxMs: 5 },
        onExhausted: "continue",
        undoAfter: [],
      })
      .build();
    expect(definition.steps[0]).toMatchObject({
      undoRetry: { ...DEFAULTS.undoRetry, maxMs: 5 },
      onExhausted: "continue",
    });
  });
});

describe("sequential", () => {
  test("chains steps that name no dependencies in the order of writing; an empty list is a choice", () => {
    const definition = saga("order", { sequential: true })
      .step("a", { do: nothing })
      .step("b", { do: nothing })
      .step("free", { do: nothing, after: [] })
      .step("c", { do: nothing })
      .step("d", { do: nothing, after: ["a"] })
      .build();
    expect(Object.fromEntries(definition.steps.map(({ name, dependsOn }) => [name, dependsOn]))).toEqual({
      a: [],
      b: ["a"],
      free: [],
      c: ["free"],
      d: ["a"],
    });
  });

  test("is off by default: such steps run in parallel", () => {
    const definition = saga("order").step("a", { do: nothing }).step("b", { do: nothing }).build();
    expect(definition.steps.map(({ dependsOn }) => dependsOn)).toEqual([[], []]);
  });
});
