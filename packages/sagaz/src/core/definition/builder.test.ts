import { describe, expect, test } from "vitest";
import { z } from "zod";
import { saga } from "./builder.ts";
import { unchecked } from "./standard-schema.ts";

const nothing = () => undefined;

describe("the builder", () => {
  test("is immutable: two sagas may share a beginning", () => {
    const base = saga("base").step("a", { do: nothing });
    const one = base.step("b", { do: nothing }).build();
    const other = base.step("c", { do: nothing }).build();
    expect([one, other].map(({ steps }) => steps.map(({ name }) => name))).toEqual([
      ["a", "b"],
      ["a", "c"],
    ]);
  });

  test("carries schemas, output and functions into the definition", () => {
    const input = z.object({ n: z.number() });
    const payload = z.object({ ok: z.boolean() });
    const result = z.number();
    const functions = { do: () => 1, undo: nothing, verify: () => ({ outcome: "not_done" }) as const };
    const definition = saga("order", { input })
      .step("a", { ...functions, result, transactional: true, onExhausted: "continue", undoAfter: [] })
      .signal("approval", { payload })
      .signal("other")
      .build({ output: (results, { n }) => results.a + n });
    expect(definition.inputSchema).toBe(input);
    expect(definition.output?.({ a: 1 }, { n: 2 })).toBe(3);
    expect(definition.graph.byName.get("a")).toMatchObject({
      ...functions,
      resultSchema: result,
      transactional: true,
    });
    expect(definition.graph.byName.get("approval")?.resultSchema).toBe(payload);
    expect(definition.graph.byName.get("other")?.resultSchema).toBeUndefined();
  });
});

test("unchecked lets everything pass", () => {
  expect(unchecked<number>()["~standard"].validate("x")).toEqual({ value: "x" });
});
