import { describe, expectTypeOf, test } from "vitest";
import { saga } from "../core/definition/builder.ts";
import type {
  MapContext,
  StepContext,
  UndoContext,
  Verdict,
  VerifyContext,
} from "../core/definition/context.ts";
import {
  action,
  child,
  compensate,
  map,
  payload,
  signal,
  sleep,
  verify,
} from "../core/definition/decorators.ts";
import { definitionOf } from "../core/definition/definition-of.ts";
import type { SagaDefinition } from "../core/definition/definition.ts";
import type { Sagaish } from "../core/definition/sagaish.ts";
import { unchecked } from "../core/definition/standard-schema.ts";
import { ClassicSaga } from "./classic-saga.ts";
import { Saga } from "./saga.ts";
import type { SagaResult } from "./saga-result.ts";

interface Order {
  readonly orderId: string;
  readonly items: readonly string[];
}

const askProvider = async (ctx: VerifyContext<Order>) =>
  ({ outcome: "done", result: ctx.input.orderId }) as const;

class OrderSaga extends Saga<Order, { total: number }> {
  static sagaName = "order";
  static strategy = "WAIT_ALL";
  static input = unchecked<Order>();
  static output = (results: Readonly<Record<string, unknown>>, input: Order) => ({
    total: Object.keys(results).length + input.items.length,
  });

  @action("reserve", { verify: askProvider })
  async reserve(ctx: StepContext<Order>) {
    return { id: ctx.input.orderId };
  }

  @compensate("reserve", { after: ["ship"] })
  async release(ctx: UndoContext<Order, { id: string }>) {
    expectTypeOf(ctx.result.id).toEqualTypeOf<string>();
  }

  readonly boxes = 3;

  @map("ship", {
    over(this: OrderSaga, ctx: StepContext<Order>) {
      return ctx.input.items.slice(0, this.boxes);
    },
    dependsOn: ["reserve"],
  })
  ship(ctx: MapContext<Order, string>) {
    return ctx.item.length;
  }

  @signal("approval")
  approval = payload<{ ok: boolean }>();

  @sleep("wait")
  wait() {
    return 5;
  }

  @action("charge", { dependsOn: ["ship", "approval"] })
  charge(ctx: StepContext<Order>) {
    expectTypeOf(ctx.resultOf(this.reserve)).toEqualTypeOf<{ id: string }>();
    expectTypeOf(ctx.resultOf(this.ship)).toEqualTypeOf<readonly number[]>();
    expectTypeOf(ctx.resultOf(this.approval)).toEqualTypeOf<{ ok: boolean }>();
    expectTypeOf(ctx.results["anything"]).toBeUnknown();
  }

  @verify("charge")
  async findCharge(ctx: VerifyContext<Order>): Promise<Verdict<void>> {
    expectTypeOf(ctx.input).toEqualTypeOf<Order>();
    return this.boxes > 0 ? { outcome: "done", result: undefined } : { outcome: "not_done" };
  }
}

describe("a saga class", () => {
  test("types input and output", () => {
    const order = new OrderSaga();
    expectTypeOf(order.run).parameter(0).toEqualTypeOf<Order>();
    expectTypeOf(order.run({ orderId: "1", items: [] })).resolves.toEqualTypeOf<
      SagaResult<{ total: number }>
    >();
    expectTypeOf(definitionOf(OrderSaga)).toEqualTypeOf<SagaDefinition<Order, { total: number }>>();
    expectTypeOf(definitionOf(order)).toEqualTypeOf<SagaDefinition<Order, { total: number }>>();
  });

  test("has a name", () => {
    class Nameless extends Saga {}
    // @ts-expect-error there is no static sagaName
    definitionOf(Nameless);
  });

  test("made with arguments is passed as an instance", () => {
    class Needy extends Saga<Order> {
      static sagaName = "needy";
      readonly stock: number;
      constructor(stock: number) {
        super();
        this.stock = stock;
      }
    }
    // @ts-expect-error the class cannot be made without its argument
    definitionOf(Needy);
    definitionOf(new Needy(3));
  });
});

describe("decorators", () => {
  test("stand only where they make sense", () => {
    class Wrong {
      // @ts-expect-error without a MapContext the type of ctx.resultOf(this.ship) would be wrong
      @map("ship", { over: () => [1] })
      ship(ctx: StepContext) {
        return ctx.item;
      }

      // @ts-expect-error a sleep returns milliseconds
      @sleep("wait")
      wait() {
        return "5s";
      }

      // @ts-expect-error a signal is a field
      @signal("go")
      go() {}

      // @ts-expect-error an action is a method
      @action("a")
      a = 5;

      // @ts-expect-error there is no such option
      @action("b", { dependOn: ["a"] })
      b() {}

      // @ts-expect-error a verify answers with a verdict
      @verify("b")
      findB() {
        return true;
      }

      // @ts-expect-error the list belongs to another class
      @map("pack", {
        over(this: OrderSaga) {
          return [this.boxes];
        },
      })
      pack(ctx: MapContext) {
        return ctx.item;
      }

      // @ts-expect-error a child needs its saga
      @child("c", {})
      c() {}
    }
    expectTypeOf(Wrong).toBeObject();
  });
});

describe("ClassicSaga", () => {
  test("types input, the compensation's result and the output", () => {
    const classic = new ClassicSaga<Order, string>({ name: "order", output: (_, input) => input.orderId })
      .addStep(
        "reserve",
        async (ctx) => ({ id: ctx.input.orderId }),
        (ctx) => expectTypeOf(ctx.result).toEqualTypeOf<{ id: string }>(),
        { dependsOn: [], verify: () => ({ outcome: "done", result: { id: "1" } }) },
      )
      .addStep("charge", () => 1, null, { pivot: true });
    expectTypeOf(classic.execute({ orderId: "1", items: [] })).resolves.toEqualTypeOf<SagaResult<string>>();
    // @ts-expect-error verify answers with what the action would have returned
    classic.addStep("a", () => 1, null, { verify: () => ({ outcome: "done", result: "1" }) });
  });

  test("takes the input's type from a schema", () => {
    const classic = new ClassicSaga({ name: "order", input: unchecked<Order>() });
    expectTypeOf(classic.execute).parameter(0).toEqualTypeOf<Order>();
  });
});

test("every style fits a list of sagas, and a function that infers its input and output", () => {
  const built = saga<Order>("s")
    .step("a", { do: () => 1 })
    .build();
  const classic = new ClassicSaga<Order, string>({ name: "c" });
  expectTypeOf([OrderSaga, new OrderSaga(), classic, built]).toExtend<Sagaish[]>();
  function start<Input, Output>(_: Sagaish<Input, Output>, input: NoInfer<Input>): Output {
    return input as never;
  }
  const order = { orderId: "1", items: [] };
  expectTypeOf(start(OrderSaga, order)).toEqualTypeOf<{ total: number }>();
  expectTypeOf(start(new OrderSaga(), order)).toEqualTypeOf<{ total: number }>();
  expectTypeOf(start(classic, order)).toEqualTypeOf<string>();
  expectTypeOf(start(built, order)).toEqualTypeOf<{ readonly a: number }>();
  // @ts-expect-error the order id is missing
  start(OrderSaga, { items: [] });
});
