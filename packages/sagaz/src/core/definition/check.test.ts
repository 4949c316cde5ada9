import { describe, expect, test } from "vitest";
import { SagaError } from "../errors.ts";
import type { SagaErrorCode } from "../errors.ts";
import { define } from "./define.ts";
import type { SagaDefinition } from "./definition.ts";
import type { StepDraft, StepWork } from "./draft.ts";
import { DraftBuilder } from "./draft-builder.ts";

const nothing = () => undefined;
const start = (options: object = {}) => DraftBuilder.start("order", options);

/** The message of the error with this code; fails when there is none or another. */
function refusal(code: SagaErrorCode, build: () => unknown): string {
  try {
    build();
  } catch (error) {
    expect(error).toBeInstanceOf(SagaError);
    expect(error).toMatchObject({ code, retryable: false });
    return (error as SagaError).message;
  }
  return expect.unreachable(`expected ${code}`);
}

/** A definition of one odd step, past what the builder offers. */
function odd(step: Partial<StepDraft> & { readonly work?: unknown }): SagaDefinition {
  const work: StepWork = { kind: "action", do: nothing, transactional: false };
  const draft = { name: "a", dependsOn: undefined, pivot: false, options: {}, work, ...step } as StepDraft;
  return define({ name: "order", options: {}, steps: [draft] });
}

describe("names", () => {
  test.each([
    ["", "it is empty"],
    ["with space", "it has other characters"],
    ["item[3]", "it has other characters"],
    ["é", "it has other characters"],
    ["x".repeat(201), "it has 201 characters"],
    ["__proto__", "every object of JavaScript has a property of that name"],
    ["constructor", "every object of JavaScript has a property of that name"],
    [undefined, "it is not a string"],
    [42, "it is not a string"],
  ])("%j is refused", (name, why) => {
    const message = refusal("SAGAZ_INVALID_NAME", () => DraftBuilder.start(name as string, {}).build());
    expect(message).toContain(why);
    expect(message).toContain("saga name");
    refusal("SAGAZ_INVALID_NAME", () =>
      start()
        .step(name as string, { do: nothing })
        .build(),
    );
    refusal(
      "SAGAZ_INVALID_NAME",
      () =>
        start()
          .signal("ok", { signal: name as string & {} })
          .build() &&
        name === undefined &&
        start()
          .step(name as never, { do: nothing })
          .build(),
    );
  });

  test.each(["a", "A-b_c.d:e", "0", "x".repeat(200)])("%j is accepted", (name) => {
    expect(start().step(name, { do: nothing }).build().steps[0]?.name).toBe(name);
  });

  test("of signals are checked too, and shown shortened", () => {
    const message = refusal("SAGAZ_INVALID_NAME", () =>
      start()
        .signal("wait", { signal: "!".repeat(100) })
        .build(),
    );
    expect(message).toContain(`the signal name "${"!".repeat(60)}…"`);
  });
});

describe("steps", () => {
  test("there must be one", () => {
    expect(refusal("SAGAZ_EMPTY_SAGA", () => start().build())).toContain('"order"');
  });

  test("there may be 1,000", () => {
    const chain = (length: number) => ({
      name: "long",
      options: { sequential: true },
      steps: Array.from({ length }, (_, i): StepDraft => {
        const work: StepWork = { kind: "action", do: nothing, transactional: false };
        const undo = { run: nothing, options: {} };
        return { name: `s${i}`, dependsOn: undefined, pivot: false, options: {}, work, undo };
      }),
    });
    const definition = define(chain(1_000));
    expect(definition.graph.ancestors.get("s999")?.size).toBe(999);
    expect(definition.graph.undoneBefore.get("s0")?.size).toBe(999);
    expect(refusal("SAGAZ_INVALID_OPTION", () => define(chain(1_001)))).toContain("stepsMax = 1000");
  });

  test("have different names", () => {
    const twice = start().step("a", { do: nothing }).step("a", { do: nothing });
    expect(refusal("SAGAZ_DUPLICATE_STEP", () => twice.build())).toContain('two steps named "a"');
  });
});

describe("dependencies", () => {
  test("must exist; a near name is suggested", () => {
    const build = (after: string) => () =>
      start()
        .step("reserve_inventory", { do: nothing })
        .step("charge", { do: nothing, after: [after] })
        .build();
    expect(refusal("SAGAZ_UNKNOWN_DEPENDENCY", build("reserve_inventry"))).toBe(
      'SAGAZ_UNKNOWN_DEPENDENCY  step "charge" of "order" depends on "reserve_inventry", which does not exist. Did you mean "reserve_inventory"?',
    );
    expect(refusal("SAGAZ_UNKNOWN_DEPENDENCY", build("zzz"))).not.toContain("Did you mean");
  });

  test("make no circle; the way round is named", () => {
    const circle = start()
      .step("z", { do: nothing })
      .step("a", { do: nothing, after: ["z", "c"] })
      .step("b", { do: nothing, after: ["a"] })
      .step("c", { do: nothing, after: ["b"] });
    expect(refusal("SAGAZ_DEPENDENCY_CYCLE", () => circle.build())).toContain("a → c → b → a");
    const self = start().step("a", { do: nothing, after: ["a"] });
    expect(refusal("SAGAZ_DEPENDENCY_CYCLE", () => self.build())).toContain("a → a");
  });
});

describe("compensations", () => {
  const undone = (undoAfter: string[]) => ({ do: nothing, undo: nothing, undoAfter });

  test("may come only after others that exist", () => {
    const build = (other: string) => () =>
      start()
        .step("hotel", undone([]))
        .step("read", { do: nothing })
        .step("flight", undone([other]))
        .build();
    expect(refusal("SAGAZ_UNKNOWN_UNDO_ORDER", build("hotl"))).toContain(
      'which does not exist. Did you mean "hotel"?',
    );
    expect(refusal("SAGAZ_UNKNOWN_UNDO_ORDER", build("read"))).toContain(
      '"read", which has no compensation.',
    );
  });

  test("make no circle, neither among themselves nor with the graph", () => {
    const among = start()
      .step("a", undone(["b"]))
      .step("b", undone(["a"]));
    expect(refusal("SAGAZ_COMPENSATION_CYCLE", () => among.build())).toContain("a → b → a");
    const withGraph = start()
      .step("a", undone([]))
      .step("b", { ...undone(["a"]), after: ["a"] });
    expect(refusal("SAGAZ_COMPENSATION_CYCLE", () => withGraph.build())).toContain("a → b → a");
    expect(
      start()
        .step("a", undone(["b"]))
        .step("b", undone([]))
        .build().steps[0]?.undoAfter,
    ).toEqual(["b"]);
  });

  test("belong to actions and maps only", () => {
    const child = start().step("a", { do: nothing }).build();
    const undo = { run: nothing, options: {} };
    const kinds: [StepWork, string][] = [
      [{ kind: "sleep", forMs: 1 }, "A sleep step leaves nothing to undo."],
      [{ kind: "signal", signal: "s" }, "A signal step leaves nothing to undo."],
      [{ kind: "child", child, input: nothing }, "A child step is undone by compensating the child."],
    ];
    for (const [work, why] of kinds) {
      expect(refusal("SAGAZ_UNKNOWN_COMPENSATION", () => odd({ work, undo }))).toContain(why);
    }
  });
});

describe("the pivot", () => {
  const forward = { do: nothing };
  const undoable = { do: nothing, undo: nothing };

  test("is the only one", () => {
    const two = start().pivot("pay", forward).pivot("ship", forward);
    expect(refusal("SAGAZ_TWO_PIVOTS", () => two.build())).toContain('"pay" and "ship"');
  });

  test("has no compensation", () => {
    expect(refusal("SAGAZ_PIVOT_COMPENSATION", () => start().pivot("pay", undoable).build())).toContain(
      '"pay"',
    );
  });

  test("is an action", () => {
    const message = refusal("SAGAZ_INVALID_OPTION", () =>
      odd({ pivot: true, work: { kind: "sleep", forMs: 1 } }),
    );
    expect(message).toContain("this is a sleep step");
  });

  test("comes after everything that can be undone, through other steps too", () => {
    const before = start()
      .step("flight", undoable)
      .step("check", { ...forward, after: ["flight"] });
    expect(before.pivot("pay", { ...forward, after: ["check"] }).build().pivot).toBe("pay");
    const beside = refusal("SAGAZ_MISPLACED_PIVOT", () => before.pivot("pay", forward).build());
    expect(beside).toContain(
      'step "flight" of "order" can be undone but is not finished before the pivot "pay"',
    );
    const after = before
      .pivot("pay", { ...forward, after: ["check"] })
      .step("mail", { ...undoable, after: ["pay"] });
    expect(refusal("SAGAZ_MISPLACED_PIVOT", () => after.build())).toContain('step "mail"');
  });

  test("decides the roles of the steps around it", () => {
    const definition = start()
      .step("flight", undoable)
      .step("beside", forward)
      .pivot("pay", { ...forward, after: ["flight"] })
      .step("tickets", { ...forward, after: ["pay"] })
      .step("mail", { ...forward, after: ["tickets", "beside"] })
      .build();
    expect(Object.fromEntries(definition.steps.map(({ name, role }) => [name, role]))).toEqual({
      flight: "compensatable",
      beside: "plain",
      pay: "pivot",
      tickets: "retriable",
      mail: "retriable",
    });
  });
});

describe("children", () => {
  const plain = start().step("a", { do: nothing }).build();
  const decisive = start().pivot("p", { do: nothing }).build();
  const spec = (saga: SagaDefinition, after: string[] = []) => ({ saga, input: nothing, after });

  test("with a pivot are the parent's pivot", () => {
    const definition = start()
      .step("a", { do: nothing, undo: nothing })
      .child("c", spec(decisive, ["a"]))
      .build();
    expect(definition.pivot).toBe("c");
    const two = start()
      .child("c", spec(decisive))
      .pivot("p", { do: nothing, after: ["c"] });
    refusal("SAGAZ_TWO_PIVOTS", () => two.build());
    const misplaced = start().step("a", { do: nothing, undo: nothing }).child("c", spec(decisive));
    refusal("SAGAZ_MISPLACED_PIVOT", () => misplaced.build());
  });

  test("without one can be undone before a pivot, are never undone after it, and cannot run beside it", () => {
    const before = start()
      .child("c", spec(plain))
      .pivot("p", { do: nothing, after: ["c"] })
      .build();
    expect(before.graph.byName.get("c")?.role).toBe("compensatable");
    const after = start()
      .pivot("p", { do: nothing })
      .child("c", spec(plain, ["p"]))
      .build();
    expect(after.graph.byName.get("c")?.role).toBe("retriable");
    const beside = start().pivot("p", { do: nothing }).child("c", spec(plain));
    refusal("SAGAZ_MISPLACED_PIVOT", () => beside.build());
  });
});

describe("options", () => {
  const schema = {
    "~standard": { version: 1, vendor: "x", validate: (value: unknown) => ({ value }) },
  } as const;
  const step = (options: object) => () =>
    start()
      .step("a", { do: nothing, ...options })
      .build();
  const undoable = (options: object) => step({ undo: nothing, ...options });
  const whole = (options: object) => () => start(options).step("a", { do: nothing }).build();
  const map = (options: object) => () =>
    start()
      .map("a", { do: nothing, over: () => [], ...options })
      .build();
  const sleep = (forMs: unknown) => () =>
    start()
      .sleep("a", { forMs } as never)
      .build();
  const signal = (options: object) => () => start().signal("a", options).build();
  const child = (options: object) => () => odd({ work: { kind: "child", child: {}, ...options } as never });
  const output = (value: unknown) => () =>
    start()
      .step("a", { do: nothing })
      .build({ output: value } as never);

  test.each([
    ["version 0", whole({ version: 0 }), 'saga "order": version is 0; it must be an integer from 1'],
    ["version 1.5", whole({ version: 1.5 }), "an integer"],
    ["version 2^31", whole({ version: 2 ** 31 }), "from 1 to 2147483647"],
    ["version as text", whole({ version: "2" }), 'version is "2"'],
    ["a misspelt strategy", whole({ strategy: "wait_al" }), 'Did you mean "WAIT_ALL"?'],
    [
      "a strategy of another kind",
      whole({ strategy: 3 }),
      'one of "FAIL_FAST", "WAIT_ALL", "FAIL_FAST_WITH_GRACE"',
    ],
    ["a grace below zero", whole({ graceMs: -1 }), "graceMs is -1; it must be a number from 0"],
    ["a settling time of over a day", whole({ settleMs: 86_400_001 }), "settleMs"],
    ["a saga time-out of zero", whole({ timeoutMs: 0 }), "timeoutMs is 0"],
    ["NaN", whole({ timeoutMs: Number.NaN }), "timeoutMs is NaN"],
    ["a flag that is none", whole({ sequential: "yes" }), 'sequential is "yes"; it must be true or false'],
    ["an input that is no schema", whole({ input: {} }), "input is an object; it must be a Standard Schema"],
    ["null as input", whole({ input: null }), "input is null"],
    ["an output that is no function", output([]), "output is an array; it must be a function"],
    [
      "a saga option that does not exist",
      whole({ timeoutms: 1 }),
      'there is no such option. Did you mean "timeoutMs"?',
    ],
    [
      "a step option that does not exist",
      step({ retries: 1 }),
      'step "a" of "order": retries is 1; there is no',
    ],
    [
      "a build option that does not exist",
      () =>
        start()
          .step("a", { do: nothing })
          .build({ out: 1 } as never),
      "no such",
    ],
    ["no action", step({ do: undefined }), "the action is undefined; it must be a function"],
    ["verify that is no function", step({ verify: true }), "verify is true"],
    [
      "an undo that is no function",
      step({ undo: "x" }),
      'the compensation of step "a" of "order": the function is "x"',
    ],
    ["a transactional that is no flag", step({ transactional: 1 }), "transactional is 1"],
    ["an attempt of over a day", step({ timeoutMs: 86_400_001 }), "timeoutMs is 86400001"],
    ["an infinite attempt", step({ timeoutMs: Infinity }), "timeoutMs is Infinity"],
    ["a step time-out of zero", step({ stepTimeoutMs: 0 }), "stepTimeoutMs"],
    [
      "a result that is no schema",
      step({ result: () => 1 }),
      "result is a function; it must be a Standard Schema",
    ],
    ["an unknown onUnknown", step({ onUnknown: "reurn" }), 'Did you mean "rerun"?'],
    ["undo without a compensation", step({ onUnknown: "undo" }), "the step has no compensation"],
    [
      "undo of a pivot",
      () => start().pivot("a", { do: nothing, onUnknown: "undo" }).build(),
      "a pivot is never undone",
    ],
    ["an unknown onExhausted", undoable({ onExhausted: "stop" }), "onExhausted"],
    ["a wrong undo retry", undoable({ undoRetry: { maxAttempts: 0 } }), "retry.maxAttempts is 0"],
    ["retry as a number", step({ retry: Number("3") }), "it must be an object such as { maxAttempts: 5 }"],
    ["retry as null", step({ retry: null }), "it must be an object"],
    ["a misspelt retry option", step({ retry: { maxAttempt: 3 } }), 'Did you mean "retry.maxAttempts"?'],
    ["no attempts", step({ retry: { maxAttempts: 0 } }), "retry.maxAttempts"],
    ["half an attempt", step({ retry: { maxAttempts: 1.5 } }), "an integer"],
    ["attempts for ever", step({ retry: { maxAttempts: Infinity } }), "set retry.forMs too"],
    ["a factor below 1", step({ retry: { factor: 0.5 } }), "retry.factor"],
    ["a delay below zero", step({ retry: { initialMs: -1 } }), "retry.initialMs"],
    ["an infinite delay", step({ retry: { maxMs: Infinity } }), "retry.maxMs"],
    ["a time of zero", step({ retry: { forMs: 0 } }), "retry.forMs"],
    ["an unknown jitter", step({ retry: { jitter: "ful" } }), 'Did you mean "full"?'],
    ["when that is no function", step({ retry: { when: "never" } }), "retry.when"],
    ["a list that is no function", map({ over: [1] }), "over is an array"],
    ["no concurrency", map({ concurrency: 0 }), "concurrency"],
    ["a concurrency beyond the items", map({ concurrency: 10_001 }), "from 1 to 10000"],
    ["a map without action", map({ do: null }), "the action is null"],
    ["a map with a wrong verify", map({ verify: {} }), "verify is an object"],
    ["a wait of zero", signal({ waitMs: 0 }), "waitMs"],
    ["a sleep without duration", sleep(undefined), "a number of milliseconds or a function"],
    ["a sleep below zero", sleep(-1), "forMs is -1"],
    ["a sleep of text", sleep("1s"), 'forMs is "1s"'],
    ["a child without input", child({ input: undefined }), "input is undefined"],
  ])("%s is refused", (_, build, words) => {
    expect(refusal("SAGAZ_INVALID_OPTION", build)).toContain(words);
  });

  test.each([
    [
      "everything a saga can set",
      whole({
        version: 2,
        strategy: "WAIT_ALL",
        graceMs: 0,
        settleMs: 0,
        timeoutMs: 1,
        sequential: false,
        retry: {},
        input: schema,
      }),
    ],
    [
      "everything a step can set",
      undoable({
        timeoutMs: 1,
        stepTimeoutMs: 1,
        onUnknown: "undo",
        result: schema,
        verify: nothing,
        transactional: true,
        onExhausted: "continue",
      }),
    ],
    [
      "a whole retry policy",
      step({
        retry: {
          maxAttempts: Infinity,
          forMs: 1,
          initialMs: 0,
          factor: 1,
          maxMs: 0,
          jitter: "none",
          when: nothing,
        },
      }),
    ],
    ["a map", map({ concurrency: 10_000, verify: nothing })],
    ["a sleep of nothing", sleep(0)],
    ["a computed sleep", sleep(nothing)],
    ["an output", output(nothing)],
  ])("%s is accepted", (_, build) => {
    expect(build()).toMatchObject({ name: "order" });
  });

  test("symbols and big numbers are shown", () => {
    expect(refusal("SAGAZ_INVALID_OPTION", step({ timeoutMs: Symbol("t") }))).toContain(
      "timeoutMs is Symbol(t)",
    );
    expect(refusal("SAGAZ_INVALID_OPTION", step({ timeoutMs: 1n }))).toContain("timeoutMs is 1;");
  });
});
