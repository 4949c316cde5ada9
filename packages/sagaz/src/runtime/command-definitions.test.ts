import { describe, expect, test } from "vitest";
import { saga } from "../core/definition/builder.ts";
import { command, compensate, verify } from "../core/definition/decorators.ts";
import type { StepContext, UndoContext, VerifyContext } from "../core/definition/context.ts";
import { toMermaid } from "../core/definition/mermaid.ts";
import { validate } from "../core/definition/plan.ts";
import { given } from "../testing/given.ts";
import { fails, losesReply, returns } from "../testing/scripts.ts";
import { ClassicSaga } from "./classic-saga.ts";
import { Saga } from "./saga.ts";

interface Order {
  readonly sku: string;
}

class OrderSaga extends Saga<Order> {
  static sagaName = "order";
  readonly asked: string[] = [];

  @command("reserve", { topic: "inventory-commands", replyTimeoutMs: 1_000 })
  reserve(ctx: StepContext<Order>) {
    return { sku: ctx.input.sku };
  }

  @compensate("reserve")
  release(ctx: UndoContext<Order>) {
    return { outcome: ctx.outcome };
  }

  @verify("reserve")
  find(ctx: VerifyContext<Order>) {
    this.asked.push(ctx.input.sku);
    return { outcome: "done" as const, result: { id: "found" } };
  }

  @command("charge", { topic: "payment-commands", command: "take_money", dependsOn: ["reserve"] })
  charge() {
    return null;
  }
}

describe("a command step", () => {
  test("is a method that makes what is sent along", async () => {
    const order = new OrderSaga();
    const story = await given(order, { sku: "a" })
      .when({ reserve: losesReply(), charge: returns("charged") })
      .expect({ status: "completed", done: ["reserve", "charge"] });
    expect(story.output).toMatchObject({ reserve: { id: "found" }, charge: "charged" });
    expect(order.asked).toEqual(["a"]);
  });

  test("of a class is undone by asking for it", async () => {
    await given(OrderSaga, { sku: "a" })
      .when({ reserve: returns({ id: "r" }), charge: fails("declined") })
      .expect({ status: "compensated", undone: ["reserve"] });
  });

  test("is added to a classic saga", async () => {
    const order = new ClassicSaga<Order>({ name: "order" })
      .addCommand("reserve", {
        topic: "inventory-commands",
        payload: ({ input }) => input,
        undo: () => null,
      })
      .addCommand("charge", { topic: "payment-commands", payload: () => null, dependsOn: ["reserve"] });
    await given(order, { sku: "a" })
      .when({ reserve: returns({ id: "r" }), charge: fails("declined") })
      .expect({ status: "compensated", undone: ["reserve"] });
  });

  test("may be the pivot", async () => {
    const order = saga("order")
      .command("reserve", { topic: "inventory-commands", payload: () => null, undo: () => null })
      .pivot("charge", { topic: "payment-commands", payload: () => null, after: ["reserve"] })
      .command("ship", { topic: "shipping-commands", payload: () => null, after: ["charge"] })
      .build();
    await given(order, undefined)
      .when({ reserve: returns(1), charge: returns(2), ship: returns(3) })
      .expect({ status: "completed", done: ["reserve", "charge", "ship"] });
    await given(order, undefined)
      .when({ reserve: returns(1), charge: fails("declined") })
      .expect({ status: "compensated", undone: ["reserve"] });
    expect(toMermaid(order)).toContain('"ship<br/>asks shipping-commands"');
  });

  test("has a worst case: how long a reply is waited for, as often as it is asked", () => {
    const one = { topic: "t", payload: () => null };
    const patient = saga("patient")
      .command("ask", { ...one, waitMs: 1_000 })
      .build();
    const retry = { maxAttempts: 2, initialMs: 0 };
    const hasty = saga("hasty")
      .command("ask", { ...one, replyTimeoutMs: 1_000, retry })
      .build();
    const [long, twice] = [validate(patient), validate(hasty)].map(({ worstCase }) => worstCase.ms ?? 0);
    expect(long).toBeGreaterThan(1_000);
    expect(twice).toBeGreaterThan(2_000);
  });

  test.each([
    ["a topic that no broker takes", { topic: "a b", payload: (): null => null }, "a-z A-Z 0-9"],
    ["no topic", { payload: (): null => null }, "topic"],
  ])("is refused with %s", (_, options: object, rule) => {
    const written = options as { readonly topic: string; readonly payload: () => null };
    expect(() => saga("order").command("ask", written).build()).toThrow(rule);
  });
});
