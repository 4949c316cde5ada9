import { describe, expect, test } from "vitest";
import { saga as build } from "../core/definition/builder.ts";
import { unchecked } from "../core/definition/standard-schema.ts";
import { SagaError } from "../core/errors.ts";
import { Stage, Trace } from "../../../../tests/engine/stage.ts";
import { ClassicSaga } from "./classic-saga.ts";

const MEGABYTE = 1_048_576;

describe("a result that is not JSON", () => {
  class Money {
    readonly amount = 5;
  }
  const circle: { self?: unknown } = {};
  circle.self = circle;

  test.each<[string, unknown, string]>([
    ["a class instance", new Money(), "a Money would come back as something else"],
    ["a Date inside", { at: new Date(0) }, "a Date would come back as something else at $.at"],
    ["a function", () => 1, "a function is no JSON value"],
    ["a symbol", Symbol("x"), "a symbol is no JSON value"],
    ["a bigint", [1n], "a bigint is no JSON value at $[0]"],
    ["NaN", Number.NaN, "NaN is no JSON number"],
    ["a value that contains itself", circle, "it contains itself at $.self"],
    ["undefined in a list", [undefined], "undefined has no place in a list"],
    ["toJSON", { toJSON: () => 1 }, "its toJSON would change it"],
  ])("%s: the effect stands, so the step counts as maybe done and is undone", async (_, value, why) => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "odd-result" }).addStep(
      "a",
      trace.note("a", () => value),
      trace.undo("a", (ctx: { outcome: string }) => void trace.calls.push(ctx.outcome)),
    );
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(result).toMatchObject({ status: "compensated", failure: { error: { code: "SAGAZ_NOT_JSON" } } });
    expect(JSON.stringify(result.failure)).toContain(why);
    expect(trace.calls).toEqual(["a", "undo a", "unknown"]);
  });

  test("of a pivot parks as pivot_unknown; a person resolves it", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "odd-pivot" }).addStep("pay", () => new Money(), undefined, {
      pivot: true,
    });
    const process = await stage.process(saga);
    const parked = await stage.run(process, saga, null);
    expect(parked).toMatchObject({ status: "parked", parked: { reason: "pivot_unknown" } });
    await stage.drive(
      process.sagas.resolve(parked.sagaId, "pay", {
        outcome: "done",
        result: { amount: 5 },
        reason: "looked",
      }),
    );
    expect(await stage.drive(process.sagas.result(parked.sagaId))).toMatchObject({ status: "completed" });
  });

  test("undefined is null to whoever reads it later, and properties that are undefined are dropped", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "undefined", sequential: true })
      .addStep("a", () => undefined)
      .addStep("b", () => ({ x: undefined, y: 1 }))
      .addStep("c", (ctx) => [ctx.results["a"] === undefined, ctx.results["b"]]);
    expect((await stage.run(await stage.process(saga), saga, null)).output).toMatchObject({
      c: [true, { y: 1 }],
    });
  });

  test("a result that does not fit its schema is not kept: the step may have been done", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = build("schema-result")
      .step("a", {
        do: () => ({ amount: -1 }),
        undo: trace.undo("a"),
        result: {
          "~standard": {
            version: 1,
            vendor: "test",
            validate: () => ({ issues: [{ message: "must be positive", path: ["amount"] }] }),
          },
        },
      })
      .build();
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({
      status: "compensated",
      failure: {
        error: {
          code: "SAGAZ_RESULT_INVALID",
          message: expect.stringContaining("amount: must be positive") as string,
        },
      },
    });
    expect(trace.calls).toEqual(["undo a"]);
  });
});

describe("a result that is too large", () => {
  test("50 MB: a coded error, undone, and the other sagas of the process go on", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const big = new ClassicSaga({ name: "big" }).addStep(
      "a",
      () => "x".repeat(50 * MEGABYTE),
      trace.undo("a"),
    );
    const small = new ClassicSaga({ name: "small" }).addStep("a", () => 1);
    const process = await stage.process(big, small);
    const [large, other] = await stage.drive(
      Promise.all([process.sagas.start(big, null), process.sagas.start(small, null)]),
    );
    expect(await stage.end(large)).toMatchObject({
      status: "compensated",
      failure: { error: { code: "SAGAZ_PAYLOAD_TOO_LARGE" } },
    });
    expect(await stage.end(other)).toMatchObject({ status: "completed" });
    expect(trace.calls).toEqual(["undo a"]);
  });

  test("payloadBytesMax is configurable and holds for lists, child inputs and signals too", async () => {
    await using stage = await Stage.open();
    const text = "x".repeat(2_000);
    const child = build("tiny", { input: unchecked<string>() })
      .step("a", { do: () => 1 })
      .build();
    const lists = build("lists")
      .map("m", { over: () => [text], do: () => 1 })
      .build();
    const parents = build("parents")
      .child("c", { saga: child, input: () => text })
      .build();
    const waits = build("waits").signal("go").build();
    const process = await stage.processWith({ sagas: [lists, parents, waits], payloadBytesMax: 1_000 });
    for (const name of ["lists", "parents"]) {
      expect(await stage.run(process, name, null)).toMatchObject({
        failure: { error: { code: "SAGAZ_PAYLOAD_TOO_LARGE" } },
      });
    }
    const handle = await stage.start(process, waits, null);
    await expect(stage.drive(process.sagas.signal(handle.id, "go", text))).rejects.toMatchObject({
      code: "SAGAZ_PAYLOAD_TOO_LARGE",
    });
  });

  test("an output that is too large parks as output_failed", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga<null, unknown>({
      name: "wide",
      output: () => "x".repeat(2 * MEGABYTE),
    }).addStep("a", () => 1);
    expect(await stage.run(await stage.process(saga), saga, null)).toMatchObject({
      status: "parked",
      parked: { reason: "output_failed" },
    });
  });
});

describe("a step that throws what is no error", () => {
  test.each<[string, unknown, string]>([
    ["undefined", undefined, "a step threw undefined instead of an Error"],
    ["null", null, "a step threw null instead of an Error"],
    ["a string", "oops", 'a step threw "oops" instead of an Error'],
    ["an object", { reason: 1 }, 'a step threw {"reason":1} instead of an Error'],
    ["a bigint", 1n, "a step threw bigint instead of an Error"],
  ])("%s: retried like any other, and recorded readably", async (_, thrown, message) => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "odd-throw" }).addStep(
      "a",
      trace.note("a", () => {
        throw thrown;
      }),
    );
    const result = await stage.run(await stage.process(saga), saga, null);
    expect(result).toMatchObject({
      status: "compensated",
      failure: { error: { name: "NonError", message } },
    });
    expect(trace.calls).toHaveLength(3);
  });

  test("an error whose properties throw, with a message of a megabyte and a NUL in it", async () => {
    await using stage = await Stage.open();
    const hostile = {
      name: "Hostile",
      message: `\0${"m".repeat(MEGABYTE)}`,
      get code(): string {
        throw new Error("no code for you");
      },
      get stack(): string {
        throw new Error("no stack either");
      },
    };
    const saga = new ClassicSaga({ name: "hostile", retry: { maxAttempts: 1 } }).addStep("a", () => {
      throw hostile;
    });
    const process = await stage.process(saga);
    const result = await stage.run(process, saga, null);
    expect(result).toMatchObject({ status: "compensated", failure: { error: { name: "Hostile" } } });
    expect(JSON.stringify(result.failure).length).toBeLessThan(5_000);
    expect((await stage.drive(process.sagas.get(result.sagaId))).status).toBe("compensated");
  });

  test("details of a business failure that are not JSON do not sink the saga", async () => {
    await using stage = await Stage.open();
    const { fail } = await import("../core/decide/outcome.ts");
    const circle: { self?: unknown } = {};
    circle.self = circle;
    for (const details of [circle, 1n, new Map([[1, 2]]), () => 1, "x".repeat(3 * MEGABYTE)]) {
      const saga = new ClassicSaga({ name: "odd-details", sequential: true })
        .addStep("a", () => 1)
        .addStep("b", () => {
          throw fail("no", details);
        });
      const process = await stage.process(saga);
      expect(await stage.run(process, saga, null)).toMatchObject({
        status: "compensated",
        failure: { step: "b", error: { kind: "business", message: "no" } },
      });
      await process.stop();
    }
  });
});

test("texts with a NUL, lone surrogates and every other character come back as they were", async () => {
  await using stage = await Stage.open();
  const odd = ["\0", "a\0b", "\ud800", "\u2028", "😀", "\\u0000", '"', "\u007f"];
  const saga = new ClassicSaga<string[]>({ name: "texts", sequential: true })
    .addStep("a", (ctx) => ctx.input)
    .addStep("b", (ctx) => ctx.results["a"]);
  const process = await stage.process(saga);
  const { sagaId, output } = await stage.run(process, saga, odd);
  expect(output).toEqual({ a: odd, b: odd });
  const again = await stage.process(saga);
  expect((await stage.drive(again.sagas.get(sagaId))).results).toEqual({ a: odd, b: odd });
});

test("a poisoned write does not sink its neighbours", async () => {
  await using stage = await Stage.open();
  const saga = new ClassicSaga({ name: "neighbours" }).addStep("a", () => 1);
  const process = await stage.process(saga);
  // Something that the storage will not take: that start is refused, the others of its batch are not.
  const { journal } = stage.storage;
  const append = journal.append.bind(journal);
  journal.append = async (batch) => {
    const isPoisoned = batch.entries.some(({ start }) => start?.attributes?.includes("poison") === true);
    if (isPoisoned) throw new SagaError("SAGAZ_STORAGE_REFUSED", { message: "a test says no" });
    return append(batch);
  };
  const starts = await stage.drive(
    Promise.allSettled(
      Array.from({ length: 20 }, (_, i) =>
        process.sagas.start(saga, null, { attributes: { n: i === 7 ? "poison" : "fine" } }),
      ),
    ),
  );
  expect(starts.map(({ status }) => status).filter((status) => status === "rejected")).toHaveLength(1);
  expect(starts[7]).toMatchObject({ status: "rejected", reason: { code: "SAGAZ_STORAGE_REFUSED" } });
  for (const start of starts)
    if (start.status === "fulfilled")
      expect(await stage.end(start.value)).toMatchObject({ status: "completed" });
});

test("a request without its reason is refused as one with an empty one, and an orchestrator that was stopped does not start", async () => {
  await using stage = await Stage.open();
  const saga = new ClassicSaga({ name: "s" }).addStep("a", () => {});
  const process = await stage.process(saga);
  const { id } = await stage.start(process, saga, null);
  const cancel = process.sagas.cancel.bind(process.sagas) as (id: string) => Promise<void>;
  await expect(cancel(id)).rejects.toMatchObject({ code: "SAGAZ_REASON_REQUIRED" });
  const answer = { outcome: "Done" as "done", reason: "the bank says so" };
  await expect(process.sagas.resolve(id, "a", answer)).rejects.toMatchObject({
    code: "SAGAZ_INVALID_OPTION",
  });
  await expect(process.sagas.get(undefined as unknown as string)).rejects.toThrow(
    "undefined is not a saga id",
  );
  await process.stop();
  await expect(process.orchestrator.start()).rejects.toMatchObject({ code: "SAGAZ_STOPPED" });
});

test("options of the orchestrator that make no sense are refused by name", async () => {
  await using stage = await Stage.open();
  for (const options of [
    { leaseMs: 1 },
    { sagasInFlightMax: -1 },
    { sagasInFlightMax: 2.5 },
    { sagasPerTenantMax: 0 },
    { sagasPerTenantMax: Number.POSITIVE_INFINITY },
    { stopMs: Number.NaN },
    { payloadBytesMax: 0 },
  ]) {
    await expect(stage.processWith({ sagas: [], ...options })).rejects.toMatchObject({
      code: "SAGAZ_INVALID_OPTION",
      details: { option: Object.keys(options)[0] },
    });
  }
});
