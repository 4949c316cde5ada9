import { type } from "arktype";
import * as v from "valibot";
import { describe, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { saga } from "./builder.ts";
import type { StepContext, UndoContext, Verdict } from "./context.ts";
import type { SagaDefinition } from "./definition.ts";
import { unchecked } from "./standard-schema.ts";

interface Order {
  readonly orderId: string;
  readonly items: readonly Item[];
}
interface Item {
  readonly sku: string;
}

const count = (ctx: StepContext<Order>) => Promise.resolve(ctx.input.items.length);
const uncount = (ctx: UndoContext<Order, number>) => ctx.result.toFixed();
const trim = (ctx: UndoContext<Order, string>) => ctx.result.trim();

const order = saga("order", { input: unchecked<Order>() });
const reserved = order.step("reserve", {
  do: async () => ({ reservationId: "r1" }),
  undo: (ctx) => ctx.result.reservationId,
});

describe("input", () => {
  test("comes from the schema of zod, valibot, arktype, or from a type alone", () => {
    saga("s", { input: z.object({ n: z.number() }) }).step("a", {
      do: (ctx) => expectTypeOf(ctx.input).toEqualTypeOf<{ n: number }>(),
    });
    saga("s", { input: v.object({ n: v.number() }) }).step("a", {
      do: (ctx) => expectTypeOf(ctx.input).toEqualTypeOf<{ n: number }>(),
    });
    saga("s", { input: type({ n: "number" }) }).step("a", {
      do: (ctx) => expectTypeOf(ctx.input).toEqualTypeOf<{ n: number }>(),
    });
    order.step("a", { do: (ctx) => expectTypeOf(ctx.input).toEqualTypeOf<Order>() });
    saga<Order>("s").step("a", { do: (ctx) => expectTypeOf(ctx.input).toEqualTypeOf<Order>() });
    saga("s").step("a", { do: (ctx) => expectTypeOf(ctx.input).toBeUnknown() });
  });

  test("goes into the definition, and so does the output", () => {
    expectTypeOf(reserved.build()).toEqualTypeOf<
      SagaDefinition<Order, { readonly reserve: { reservationId: string } }>
    >();
    const built = reserved.build({
      output: (results, input) => `${results.reserve.reservationId} ${input.orderId}`,
    });
    expectTypeOf(built).toEqualTypeOf<SagaDefinition<Order, string>>();
    expectTypeOf(built).toExtend<SagaDefinition>();
  });
});

describe("results", () => {
  test("are awaited, and those of exactly the dependencies, through others too", () => {
    reserved
      .step("check", { after: ["reserve"], do: () => true })
      .step("other", { do: () => "beside" })
      .step("last", {
        after: ["check"],
        do: (ctx) =>
          expectTypeOf(ctx.results).toEqualTypeOf<{
            readonly reserve: { reservationId: string };
            readonly check: boolean;
          }>(),
        verify: (ctx) => {
          expectTypeOf(ctx.results.check).toEqualTypeOf<boolean>();
          return { outcome: "unknown" };
        },
        undo: (ctx) => expectTypeOf(ctx.results.reserve).toEqualTypeOf<{ reservationId: string }>(),
      });
  });

  test("without `after` there are none", () => {
    reserved.step("b", { do: (ctx) => expectTypeOf(ctx.results).toEqualTypeOf<{}>() });
    reserved.step("b", {
      // @ts-expect-error b does not come after reserve, so it cannot see its result
      do: (ctx) => ctx.results.reserve,
    });
  });

  test("of a step with a schema are what the schema yields", () => {
    order
      .step("a", {
        do: () => ({ n: "1" }),
        result: z.object({ n: z.coerce.number() }),
        undo: (ctx) => expectTypeOf(ctx.result).toEqualTypeOf<{ n: number }>(),
      })
      .step("b", { after: ["a"], do: (ctx) => expectTypeOf(ctx.results.a.n).toEqualTypeOf<number>() });
  });
});

describe("a compensation", () => {
  test("gets the awaited result of its action", () => {
    order.step("a", {
      do: async (ctx) => ({ id: ctx.input.orderId }),
      undo: (ctx) => {
        expectTypeOf(ctx).toEqualTypeOf<UndoContext<Order, { id: string }, {}>>();
        expectTypeOf(ctx.result).toEqualTypeOf<{ id: string }>();
      },
    });
  });

  test("may be a function declared elsewhere", () => {
    order.step("a", { do: count, undo: uncount });
    // @ts-expect-error the action returns a number, the compensation wants a string
    order.step("a", { do: count, undo: trim });
  });
});

describe("verify", () => {
  test("answers with the result that the action would have returned", () => {
    order.step("a", { do: () => 1, verify: async () => ({ outcome: "done", result: 2 }) });
    order.step("a", { do: () => 1, verify: (): Verdict<number> => ({ outcome: "not_done" }) });
    // @ts-expect-error the result is a number
    order.step("a", { do: () => 1, verify: () => ({ outcome: "done", result: "2" }) });
  });
});

describe("names", () => {
  test("of dependencies must be those of earlier steps", () => {
    reserved.step("charge", { after: ["reserve"], do: () => 1 });
    // @ts-expect-error "reserv" is misspelt
    reserved.step("charge", { after: ["reserv"], do: () => 1 });
    // @ts-expect-error a step cannot come after itself
    reserved.step("charge", { after: ["charge"], do: () => 1 });
    // @ts-expect-error there is no step before the first
    order.step("charge", { after: ["reserve"], do: () => 1 });
    // @ts-expect-error undone after a step that does not exist is found when built, but options must exist
    reserved.step("charge", { afer: ["reserve"], do: () => 1 });
  });

  test("are used once", () => {
    // @ts-expect-error a step named "reserve" exists already
    reserved.step("reserve", { do: () => 1 });
    // @ts-expect-error a step named "reserve" exists already
    reserved.pivot("reserve", { after: ["reserve"], do: () => 1 });
    // @ts-expect-error a step named "reserve" exists already
    reserved.sleep("reserve", { forMs: 1 });
    // @ts-expect-error a step named "reserve" exists already
    reserved.signal("reserve");
    // @ts-expect-error a step named "reserve" exists already
    reserved.map("reserve", { over: () => [1], do: () => 1 });
  });
});

describe("the pivot", () => {
  const paid = reserved.pivot("pay", {
    after: ["reserve"],
    do: (ctx) => ({ paid: ctx.results.reserve.reservationId }),
    verify: () => ({ outcome: "done", result: { paid: "yes" } }),
  });

  test("lets no undo follow", () => {
    paid.step("tickets", { after: ["pay"], do: (ctx) => ctx.results.pay.paid });
    paid.step("beside", { do: () => 1 });
    // @ts-expect-error after the pivot "pay" nothing is undone
    paid.step("tickets", { after: ["pay"], do: () => 1, undo: () => 1 });
    // @ts-expect-error nor beside it
    paid.step("beside", { do: () => 1, undo: () => 1 });
    // @ts-expect-error nor the items of a map step
    paid.map("ship", { after: ["pay"], over: () => [1], do: () => 1, undo: () => 1 });
    // @ts-expect-error nor further on
    paid.step("a", { after: ["pay"], do: () => 1 }).step("b", { after: ["a"], do: () => 1, undo: () => 1 });
  });

  test("is the only one", () => {
    // @ts-expect-error the saga has a pivot already: "pay"
    paid.pivot("again", { after: ["pay"], do: () => 1 });
  });

  test("has no undo", () => {
    // @ts-expect-error a pivot cannot be undone
    reserved.pivot("pay", { after: ["reserve"], do: () => 1, undo: () => 1 });
  });

  test("comes after every step that can be undone", () => {
    const two = reserved.step("hotel", { do: () => 1, undo: () => 1 });
    two.pivot("pay", { after: ["reserve", "hotel"], do: () => 1 });
    two
      .step("check", { after: ["reserve", "hotel"], do: () => 1 })
      .pivot("pay", { after: ["check"], do: () => 1 });
    // @ts-expect-error the pivot must come after "hotel", which can be undone
    two.pivot("pay", { after: ["reserve"], do: () => 1 });
    // @ts-expect-error the pivot must come after both
    two.pivot("pay", { do: () => 1 });
    // a step without undo may run beside the pivot
    reserved.step("mail", { do: () => 1 }).pivot("pay", { after: ["reserve"], do: () => 1 });
    const mapped = order.map("ship", {
      over: (ctx) => ctx.input.items,
      do: () => 1,
      undo: async () => undefined,
    });
    // @ts-expect-error the pivot must come after "ship", whose items can be undone
    mapped.pivot("pay", { do: () => 1 });
  });
});

describe("other kinds", () => {
  test("map types its items, and its result is a list", () => {
    order
      .map("ship", {
        over: (ctx) => ctx.input.items,
        do: async (ctx) => {
          expectTypeOf(ctx.item).toEqualTypeOf<Item>();
          expectTypeOf(ctx.index).toEqualTypeOf<number>();
          return ctx.item.sku.length;
        },
        undo: (ctx) => {
          expectTypeOf(ctx.item).toEqualTypeOf<Item>();
          expectTypeOf(ctx.result).toEqualTypeOf<number>();
        },
      })
      .step("sum", {
        after: ["ship"],
        do: (ctx) => expectTypeOf(ctx.results.ship).toEqualTypeOf<readonly number[]>(),
      });
  });

  test("signal has its payload as its result, sleep has none", () => {
    reserved
      .signal("approval", { after: ["reserve"], payload: z.object({ ok: z.boolean() }) })
      .signal("note", { payload: unchecked<string>() })
      .signal("anything")
      .sleep("wait", {
        after: ["approval", "note", "anything"],
        forMs: (ctx) => (ctx.results.approval.ok ? 1 : 2),
      })
      .step("last", {
        after: ["wait"],
        do: (ctx) => {
          expectTypeOf(ctx.results.approval).toEqualTypeOf<{ ok: boolean }>();
          expectTypeOf(ctx.results.note).toEqualTypeOf<string>();
          expectTypeOf(ctx.results.anything).toBeUnknown();
          expectTypeOf(ctx.results.wait).toEqualTypeOf<undefined>();
        },
      });
  });

  test("child takes that saga's input and has its output", () => {
    const shipping = saga<{ address: string }>("shipping")
      .step("post", { do: () => 7 })
      .build({ output: (results) => ({ parcel: results.post }) });
    order.child("ship", { saga: shipping, input: (ctx) => ({ address: ctx.input.orderId }) }).step("tell", {
      after: ["ship"],
      do: (ctx) => expectTypeOf(ctx.results.ship).toEqualTypeOf<{ parcel: number }>(),
    });
    // @ts-expect-error the child wants an address
    order.child("ship", { saga: shipping, input: (ctx) => ({ adress: ctx.input.orderId }) });
  });
});
