import { describe, expect, test } from "vitest";
import { definitionOf } from "../core/definition/definition-of.ts";
import { unchecked } from "../core/definition/standard-schema.ts";
import { ClassicSaga } from "./classic-saga.ts";

interface Order {
  readonly id: string;
}
const reserve = async () => ({ ref: "r" });
const release = () => undefined;

describe("ClassicSaga", () => {
  test("makes the same definition as any other style", () => {
    const input = unchecked<Order>();
    const output = () => "done";
    const verify = () => ({ outcome: "not_done" }) as const;
    const classic = new ClassicSaga<Order, string>({
      name: "order",
      version: 2,
      strategy: "WAIT_ALL",
      input,
      output,
    })
      .addStep("reserve", reserve, release, { timeoutMs: 5, undoAfter: [], onExhausted: "continue", verify })
      .addStep("charge", (ctx) => ctx.input.id, null, { dependsOn: ["reserve"], pivot: true })
      .addStep("mail", () => 1, undefined, { dependsOn: ["charge"], transactional: true })
      .addStep("log", () => 1);
    const definition = definitionOf(classic);
    expect(definition).toMatchObject({ name: "order", version: 2, strategy: "WAIT_ALL", pivot: "charge" });
    expect(definition).toMatchObject({ inputSchema: input, output });
    expect(definition.steps).toMatchObject([
      { name: "reserve", do: reserve, undo: release, verify, attemptTimeoutMs: 5, onExhausted: "continue" },
      { name: "charge", undo: undefined, role: "pivot", dependsOn: ["reserve"] },
      { name: "mail", role: "retriable", transactional: true },
      { name: "log", role: "plain", dependsOn: [] },
    ]);
  });

  test("chains its steps when it is sequential", () => {
    const classic = new ClassicSaga({ name: "s", sequential: true })
      .addStep("a", reserve)
      .addStep("b", reserve);
    expect(definitionOf(classic).steps.map(({ dependsOn }) => dependsOn)).toEqual([[], ["a"]]);
  });

  test("has one definition until a step is added", () => {
    const classic = new ClassicSaga({ name: "s" }).addStep("a", reserve);
    const before = definitionOf(classic);
    expect(definitionOf(classic)).toBe(before);
    classic.addStep("b", reserve);
    expect(before.steps).toHaveLength(1);
    expect(definitionOf(classic).steps).toHaveLength(2);
  });

  test("refuses options that do not exist", () => {
    expect(() => new ClassicSaga({ name: "s", sequentia: true } as never)).toThrow(
      /saga "s": sequentia .*Did you mean "sequential"\?/,
    );
    expect(() =>
      new ClassicSaga({ name: "s" }).addStep("a", reserve, release, { after: ["b"] } as never),
    ).toThrow(/step "a" of "s": after is an array; there is no such option/);
  });
});
