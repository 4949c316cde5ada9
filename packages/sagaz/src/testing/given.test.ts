import { setTimeout as realTimeout } from "node:timers";
import { describe, expect, test } from "vitest";
import { saga as build } from "../core/definition/builder.ts";
import type { StepContext, UndoContext } from "../core/definition/context.ts";
import { action, compensate } from "../core/definition/decorators.ts";
import { unchecked } from "../core/definition/standard-schema.ts";
import { Saga } from "../runtime/saga.ts";
import {
  fails,
  given,
  inTurn,
  losesReply,
  neverSettles,
  receives,
  returns,
  runs,
  throwsError,
  timesOut,
} from "./index.ts";
import type { Expected } from "./index.ts";

interface Order {
  readonly items: readonly string[];
}

class OrderSaga extends Saga<Order> {
  static readonly sagaName = "order-processing";
  readonly log: string[] = [];

  @action("reserve_inventory")
  reserve(ctx: StepContext<Order>) {
    this.log.push(`reserve ${ctx.input.items.join()}`);
    return { id: "r-1" };
  }
  @compensate("reserve_inventory")
  release(ctx: UndoContext<Order, { id: string }>) {
    this.log.push(ctx.outcome === "done" ? `release ${ctx.result.id}` : "release unknown");
  }
  @action("charge_payment", { dependsOn: ["reserve_inventory"], timeoutMs: 5_000 })
  charge() {
    this.log.push("charge");
    return "c-1";
  }
  @compensate("charge_payment")
  refund() {
    this.log.push("refund");
  }
  @action("ship", { dependsOn: ["charge_payment"] })
  ship() {
    return "shipped";
  }
}

const order: Order = { items: ["a", "b"] };

describe("given", () => {
  test("runs the user's own code where no script is", async () => {
    const saga = new OrderSaga();
    await given(saga, order).expect({
      status: "completed",
      done: ["ship", "charge_payment", "reserve_inventory"],
      undone: [],
      output: { reserve_inventory: { id: "r-1" }, charge_payment: "c-1", ship: "shipped" },
    });
    expect(saga.log).toEqual(["reserve a,b", "charge"]);
  });

  test("reads as in the documentation, from the class alone", async () => {
    await given(OrderSaga, order)
      .when({ charge_payment: fails("card declined") })
      .expect({ status: "compensated", undone: ["reserve_inventory"] });
  });

  test.each([
    ["fails", fails("no", { code: 51 }), 1, ["reserve_inventory"]],
    ["throwsError", throwsError("down"), 3, ["reserve_inventory"]],
    ["throwsError of a value", throwsError(undefined), 3, ["reserve_inventory"]],
    ["timesOut", timesOut(), 3, ["charge_payment", "reserve_inventory"]],
    ["neverSettles", neverSettles(), 3, ["charge_payment", "reserve_inventory"]],
    ["losesReply", losesReply(), 3, ["charge_payment", "reserve_inventory"]],
  ])("%s: what it means for the saga", async (_, script, attempts, undone) => {
    await given(OrderSaga, order)
      .when({ charge_payment: script })
      .expect({
        status: "compensated",
        failedAt: "charge_payment",
        attempts: { charge_payment: attempts, ship: 0 },
        undone,
        done: [],
      });
  });

  test("losesReply runs the user's code, returns does not", async () => {
    const saga = new OrderSaga();
    const story = await given(saga, order)
      .when({ charge_payment: inTurn(losesReply(), returns("c-2")) })
      .expect({ status: "completed", attempts: { charge_payment: 2 } });
    expect(saga.log).toEqual(["reserve a,b", "charge"]);
    expect(story.output).toMatchObject({ charge_payment: "c-2" });
    expect(story.calls).toEqual(["reserve_inventory", "charge_payment", "charge_payment", "ship"]);
  });

  test("inTurn: one script for each attempt, the last for all that follow", async () => {
    await given(OrderSaga, order)
      .when({ ship: inTurn(throwsError(), throwsError(), runs()) })
      .expect({ status: "completed", attempts: { ship: 3 } });
    await given(OrderSaga, order)
      .when({ ship: inTurn(throwsError("always")) })
      .expect({ failure: "always" });
  });

  test("a plain function is a script, and gets the context and the user's code", async () => {
    await given(OrderSaga, order)
      .when({ ship: async (ctx, own) => [ctx.attempt, await own()] })
      .expect({ output: { reserve_inventory: { id: "r-1" }, charge_payment: "c-1", ship: [1, "shipped"] } });
  });

  test("whenUndone: compensations have scripts too", async () => {
    await given(OrderSaga, order)
      .when({ ship: fails() })
      .whenUndone({ charge_payment: throwsError("provider down") })
      .expect({ status: "parked", parked: "compensation_failed", undone: [], failure: /scripted/ });
  });

  test("others: stub runs none of the user's code", async () => {
    const saga = new OrderSaga();
    await given(saga, order, { others: "stub" })
      .when({ ship: fails() })
      .expect({ status: "compensated", undone: ["charge_payment", "reserve_inventory"] });
    expect(saga.log).toEqual([]);
  });

  test("verify is the user's, and is not asked when its step is stubbed", async () => {
    const asked: string[] = [];
    const saga = build("verified")
      .step("charge", {
        do: () => "charged",
        verify: () => {
          asked.push("verify");
          return { outcome: "done", result: "found" };
        },
      })
      .build();
    const story = await given(saga, null)
      .when({ charge: losesReply() })
      .expect({ output: { charge: "found" } });
    expect(story.calls).toEqual(["charge", "verify charge"]);
    await given(saga, null, { others: "stub" })
      .when({ charge: timesOut() })
      .expect({ status: "compensated" });
    expect(asked).toHaveLength(1);
  });

  test("signals, timers of days and children take no time; items of a map have scripts of their own", async () => {
    const child = build("child", { input: unchecked<number>() })
      .step("x", { do: (ctx) => ctx.input * 2 })
      .build();
    const saga = build("long", { input: unchecked<number[]>() })
      .signal("approval")
      .sleep("week", { after: ["approval"], forMs: 7 * 86_400_000 })
      .child("double", { after: ["week"], saga: child, input: () => 21 })
      .map("each", { after: ["double"], over: (ctx) => ctx.input, do: (ctx) => ctx.item, undo: () => {} })
      .step("last", { after: ["each"], do: (ctx) => ctx.results.double })
      .build();
    const story = await given(saga, [1, 2])
      .when({ approval: receives({ by: "ann" }), "each[1]": returns(20) })
      .expect({ status: "completed" });
    expect(story.output).toMatchObject({ approval: { by: "ann" }, each: [1, 20], last: { x: 42 } });
    expect(story.tookMs).toBeGreaterThanOrEqual(7 * 86_400_000);
    await given(saga, [1, 2])
      .when({ approval: receives(), last: fails() })
      .expect({ status: "compensated", undone: ["each[1]", "each[0]", "double"] });
    await given(saga, []).expect({ status: "parked", parked: "signal_timeout" });
  });

  test("code that waits for something real is waited for before the clock moves", async () => {
    const saga = build("real")
      .step("file", {
        do: () => new Promise((resolve) => realTimeout(() => resolve("read"), 5)),
        timeoutMs: 10,
      })
      .build();
    await given(saga, null).expect({ output: { file: "read" }, attempts: { file: 1 } });
  });

  test("a saga that stays open is given up after limitMs", async () => {
    const saga = build("open")
      .sleep("year", { forMs: 365 * 86_400_000 })
      .build();
    await expect(given(saga, null, { limitMs: 60_000 }).run()).rejects.toThrow("after 60000 ms");
  });

  test("is immutable: each call makes another one", async () => {
    const base = given(OrderSaga, order);
    const broken = base.when({ charge_payment: fails() });
    await base.expect({ status: "completed" });
    await broken.expect({ status: "compensated" });
    await broken.when({ charge_payment: runs() }).expect({ status: "completed" });
  });
});

describe("what is misspelt is found", () => {
  test("a script for no step", async () => {
    await expect(given(OrderSaga, order).when({ charge_paymnt: fails() }).run()).rejects.toMatchObject({
      code: "SAGAZ_UNKNOWN_STEP",
      message: expect.stringContaining("charge_payment") as string,
    });
    await expect(given(OrderSaga, order).whenUndone({ x: fails() }).run()).rejects.toMatchObject({
      code: "SAGAZ_UNKNOWN_STEP",
    });
  });

  test("a script that does not fit its step", async () => {
    const saga = build("kinds")
      .signal("go")
      .sleep("nap", { forMs: 1 })
      .step("a", { do: () => 1 })
      .build();
    for (const scripts of [{ go: returns(1) }, { nap: returns(1) }, { a: receives(1) }]) {
      await expect(given(saga, null).when(scripts).run()).rejects.toMatchObject({
        code: "SAGAZ_INVALID_OPTION",
      });
    }
  });

  test("an expectation that does not exist", async () => {
    await expect(given(OrderSaga, order).expect({ state: "completed" } as never)).rejects.toThrow(
      'expect() knows no "state"',
    );
  });
});

describe("expect", () => {
  test("lists all differences at once, and tells what happened", async () => {
    const failing = given(OrderSaga, order)
      .when({ charge_payment: fails("card declined") })
      .expect({
        status: "completed",
        undone: [],
        failedAt: "ship",
        attempts: { ship: 1 },
        output: { x: 1 },
      });
    const error = await failing.then(
      () => undefined,
      (thrown: unknown) => thrown as Error,
    );
    expect(error?.name).toBe("AssertionError");
    expect(error?.message).toMatchInlineSnapshot(`
      ""order-processing" went differently:
        status: expected "completed", was "compensated"
        undone: expected [], was ["reserve_inventory"]
        failedAt: expected "ship", was "charge_payment"
        attempts: expected {"ship":1}, was {"ship":0}
        output: expected {"x":1}, was nothing
      What happened:
        1. saga_started
        2. step_done reserve_inventory
        3. step_failed charge_payment: card declined
        4. compensation_started
        5. step_compensated reserve_inventory
        6. saga_compensated"
    `);
  });

  test.each<[Expected<Readonly<Record<string, unknown>>>, string]>([
    [{ undone: ["reserve_inventory", "charge_payment"] }, "an order that the saga does not allow"],
    [{ undone: ["charge_payment"] }, "one too few"],
    [{ done: ["ship"] }, "not done"],
    [{ failure: "other" }, "another message"],
    [{ failure: /other/ }, "another pattern"],
    [{ parked: "stuck" as const }, "not parked"],
    [{ exceptions: ["ship"] }, "no exception"],
  ])("%j is refused: %s", async (expected) => {
    await expect(
      given(OrderSaga, order)
        .when({ ship: fails("no") })
        .expect(expected),
    ).rejects.toThrow("went differently");
  });

  test("a time-out and a cancel have a message too", async () => {
    const saga = build("slow", { timeoutMs: 1_000 })
      .step("a", { do: () => 1 })
      .build();
    await given(saga, null)
      .when({ a: timesOut() })
      .expect({ failure: "the saga timed out", failedAt: undefined as never });
  });
});
