import { describe, expect, test } from "vitest";
import { z } from "zod";
import { saga } from "./builder.ts";
import type { MapContext, StepContext, UndoContext, Verdict, VerifyContext } from "./context.ts";
import {
  action,
  child,
  compensate,
  map,
  payload,
  signal,
  sleep,
  step,
  stepNameOf,
  verify as verified,
} from "./decorators.ts";
import { definitionOf, definitionOfInstance } from "./definition-of.ts";
import type { SagaDefinition } from "./definition.ts";
import { definitionKey } from "./sagaish.ts";

interface Order {
  readonly items: readonly string[];
}
interface Reservation {
  readonly id: number;
}

/** What the runtime's `Saga` is to the definitions. */
abstract class AnySaga<Input = unknown, Output = unknown> {
  [definitionKey](): SagaDefinition<Input, Output> {
    return definitionOfInstance(this);
  }
}

const shipping = saga<{ address: string }>("shipping")
  .step("post", { do: () => 1 })
  .build();
const verify = () => ({ outcome: "unknown" }) as const;
const approvalSchema = z.object({ ok: z.boolean() });

class OrderSaga extends AnySaga<Order> {
  static sagaName = "order";
  static version = 2;
  static strategy = "WAIT_ALL";
  static timeoutMs = 60_000;
  static input = z.object({ items: z.array(z.string()) });
  static output = (results: Readonly<Record<string, unknown>>, input: Order) => [results["charge"], input];

  readonly stock = new Map([["pen", 3]]);

  @signal("approval", { waitMs: 5, payload: approvalSchema })
  approval = payload<{ ok: boolean }>();

  @action("reserve", { timeoutMs: 5, verify, transactional: true })
  async reserve(ctx: StepContext<Order>): Promise<Reservation> {
    return { id: ctx.input.items.length + this.stock.size };
  }

  @compensate("reserve", { retry: { maxAttempts: 2 }, onExhausted: "continue" })
  release(ctx: UndoContext<Order, Reservation>) {
    return [this.stock.size, ctx.result.id];
  }

  @map("pack", {
    over(this: OrderSaga, ctx: StepContext<Order>) {
      return ctx.input.items.slice(0, this.stock.size + 1);
    },
    dependsOn: ["reserve"],
    concurrency: 2,
  })
  pack(ctx: MapContext<Order, string>) {
    return ctx.item.length + this.stock.size;
  }

  @compensate("pack", { after: ["reserve"] })
  unpack() {}

  @sleep("cool_down", { dependsOn: ["approval"] })
  coolDown() {
    return 5 + this.stock.size;
  }

  @child("ship", { saga: shipping, dependsOn: ["pack"] })
  ship(ctx: StepContext<Order>) {
    return { address: `${ctx.input.items.length} ${this.stock.size}` };
  }

  @step("charge", { pivot: true, dependsOn: ["ship"] })
  charge(ctx: StepContext<Order>) {
    return ctx.resultOf(this.reserve).id;
  }

  @verified("charge")
  findCharge(ctx: VerifyContext<Order>): Verdict<number> {
    return { outcome: "done", result: ctx.input.items.length + this.stock.size };
  }
}

describe("a decorated class", () => {
  class Simple extends OrderSaga {
    static override sagaName = "simple";
    @compensate("pack")
    override unpack() {}
  }
  const definition = definitionOf(Simple);
  const { byName } = definition.graph;
  const ctx = { input: { items: ["a", "b"] }, item: "abc", result: { id: 7 } } as never;

  test("becomes the same definition as any other style", () => {
    expect(definition).toMatchObject({
      name: "simple",
      version: 2,
      strategy: "WAIT_ALL",
      timeoutMs: 60_000,
      inputSchema: OrderSaga.input,
      output: OrderSaga.output,
      pivot: "charge",
    });
    expect(byName.get("reserve")).toMatchObject({
      kind: "action",
      attemptTimeoutMs: 5,
      verify,
      transactional: true,
      undoRetry: { maxAttempts: 2 },
      onExhausted: "continue",
    });
    expect(byName.get("approval")).toMatchObject({
      kind: "signal",
      signal: "approval",
      waitMs: 5,
      resultSchema: approvalSchema,
    });
    expect(byName.get("pack")).toMatchObject({
      kind: "map",
      concurrency: 2,
      dependsOn: ["reserve"],
      undoAfter: [],
    });
    expect(byName.get("cool_down")).toMatchObject({ kind: "sleep", dependsOn: ["approval"] });
    expect(byName.get("ship")).toMatchObject({ kind: "child", child: shipping });
  });

  test("runs its methods on an instance", async () => {
    const reserve = byName.get("reserve");
    const pack = byName.get("pack");
    const coolDown = byName.get("cool_down");
    const ship = byName.get("ship");
    const charge = byName.get("charge");
    if (
      reserve?.kind !== "action" ||
      charge?.kind !== "action" ||
      pack?.kind !== "map" ||
      coolDown?.kind !== "sleep" ||
      ship?.kind !== "child"
    ) {
      return expect.unreachable("wrong kinds");
    }
    expect(await reserve.do(ctx)).toEqual({ id: 3 });
    expect(reserve.undo?.(ctx)).toEqual([1, 7]);
    expect(charge.verify?.(ctx)).toEqual({ outcome: "done", result: 3 });
    expect(pack.over(ctx)).toEqual(["a", "b"]);
    expect(pack.do(ctx)).toBe(4);
    expect(coolDown.forMs(ctx)).toBe(6);
    expect(ship.input(ctx)).toEqual({ address: "2 1" });
  });

  test("has one definition, and each instance its own", () => {
    expect(definitionOf(Simple)).toBe(definition);
    const [one, other] = [new Simple(), new Simple()];
    expect(definitionOf(one)).toBe(definitionOf(one));
    expect(definitionOf(one)).not.toBe(definitionOf(other));
    expect(definitionOf(one).graphHash).toBe(definition.graphHash);
  });

  test("keeps its methods as they are, and knows them by identity", () => {
    const instance = new OrderSaga();
    expect(stepNameOf(instance.reserve)).toBe("reserve");
    expect(stepNameOf(instance.pack)).toBe("pack");
    expect(stepNameOf(instance.charge)).toBe("charge");
    expect(stepNameOf(instance.release)).toBeUndefined();
    expect(stepNameOf(instance.coolDown)).toBeUndefined(); // returns a duration, not a result
    const simple = new Simple();
    definitionOf(simple);
    expect(stepNameOf(simple.approval)).toBe("approval");
    expect(simple.approval()).toBeUndefined();
  });

  test("orders the undo of a map as told, and the circle that this makes is found", () => {
    expect(() => definitionOf(OrderSaga)).toThrow(/SAGAZ_COMPENSATION_CYCLE .*reserve → pack → reserve/);
  });
});

describe("order", () => {
  test("is that of writing, fields among methods, when the class is sequential", () => {
    class Sequential extends AnySaga {
      static sagaName = "sequential";
      static sequential = true;
      @action("first") first() {}
      @signal("second") second = payload();
      @action("third") third() {}
      @action("free", { dependsOn: [] }) free() {}
    }
    expect(definitionOf(Sequential).steps.map(({ name, dependsOn }) => [name, dependsOn])).toEqual([
      ["first", []],
      ["second", ["first"]],
      ["third", ["second"]],
      ["free", []],
    ]);
  });
});

describe("a subclass", () => {
  class Base extends AnySaga {
    static sagaName = "base";
    @action("a") a(): string {
      return "base a";
    }
    @compensate("a") undoA(): string {
      return "base undo a";
    }
    @verified("a") findA(): Verdict {
      return { outcome: "done", result: "base" };
    }
    @action("b", { dependsOn: ["a"] }) b(): string {
      return "base b";
    }
    @action("c") #c() {
      return "base c";
    }
    c() {
      return this.#c();
    }
  }
  const run = (sagaClass: typeof Base) =>
    Object.fromEntries(
      definitionOf(sagaClass).steps.map((each) => [
        each.name,
        each.kind === "action" ? [each.do({} as never), each.undo?.({} as never)] : [],
      ]),
    );

  test("adds steps, and leaves its parent alone", () => {
    class Sub extends Base {
      static override sagaName = "sub";
      @action("d", { dependsOn: ["b"] }) d() {
        return "sub d";
      }
      @compensate("b") undoB() {
        return "sub undo b";
      }
    }
    expect(run(Sub)).toEqual({
      a: ["base a", "base undo a"],
      b: ["base b", "sub undo b"],
      c: ["base c", undefined],
      d: ["sub d", undefined],
    });
    expect(Object.keys(run(Base))).toEqual(["a", "b", "c"]);
  });

  test("keeps how its parent verifies a step, overrides the method, or replaces it", () => {
    class Keeps extends Base {}
    class Overrides extends Base {
      override findA(): Verdict {
        return { outcome: "unknown" };
      }
    }
    class Replaces extends Base {
      @verified("a") other(): Verdict {
        return { outcome: "not_done" };
      }
    }
    const answers = [Keeps, Overrides, Replaces].map((sagaClass) => {
      const a = definitionOf(sagaClass).graph.byName.get("a");
      return a?.kind === "action" && a.verify?.({} as never);
    });
    expect(answers).toEqual([
      { outcome: "done", result: "base" },
      { outcome: "unknown" },
      { outcome: "not_done" },
    ]);
  });

  test("replaces a step by its name, by its method, or just the method", () => {
    class ByName extends Base {
      @action("a") other() {
        return "sub a";
      }
    }
    class ByMethod extends Base {
      @action("a2") override a() {
        return "sub a2";
      }
      @action("b", { dependsOn: ["a2"] }) override b() {
        return "sub b";
      }
      @action("c") #c() {
        return "sub c";
      }
      own() {
        return this.#c();
      }
      @compensate("a2") override undoA() {
        return "sub undo a2";
      }
    }
    class Plain extends Base {
      override a() {
        return "plain a";
      }
    }
    expect(run(ByName)).toMatchObject({ a: ["sub a", "base undo a"], b: ["base b", undefined] });
    expect(() => run(ByMethod)).toThrow(/SAGAZ_UNKNOWN_COMPENSATION .*compensates "a"/);
    expect(run(Plain)).toMatchObject({ a: ["plain a", "base undo a"] });
    expect(stepNameOf(Plain.prototype.a)).toBe("a");
  });
});

describe("decorators of others", () => {
  test("share the metadata and change nothing", () => {
    const note = (_: unknown, { metadata }: ClassMethodDecoratorContext) => {
      metadata["noted"] = true;
    };
    class Base extends AnySaga {
      static sagaName = "noted";
      @action("a") a() {}
    }
    class Sub extends Base {
      @note b() {}
    }
    expect(definitionOf(Sub).steps.map(({ name }) => name)).toEqual(["a"]);
  });
});

describe("mistakes in a class", () => {
  test("are told when its definition is made", () => {
    class Twice extends AnySaga {
      static sagaName = "twice";
      @action("a") one() {}
      @action("a") two() {}
    }
    class TwoUndos extends AnySaga {
      static sagaName = "two-undos";
      @action("a") a() {}
      @compensate("a") one() {}
      @compensate("a") two() {}
    }
    class Misspelt extends AnySaga {
      static sagaName = "misspelt";
      @action("reserve") a() {}
      @compensate("resreve") b() {}
    }
    class NoSteps extends AnySaga {
      static sagaName = "none";
    }
    class NoName extends AnySaga {
      @action("a") a() {}
    }
    class WrongOption extends AnySaga {
      static sagaName = "wrong";
      @action("a", { dependOn: ["b"] } as object) a() {}
    }
    class WrongUndoOption extends AnySaga {
      static sagaName = "wrong-undo";
      @action("a") a() {}
      @compensate("a", { dependsOn: ["b"] } as object) b() {}
    }
    class WrongStatic extends AnySaga {
      static sagaName = "wrong-static";
      static strategy = "WAIT_AL";
      @action("a") a() {}
    }
    expect(() => definitionOf(Twice)).toThrow(/SAGAZ_DUPLICATE_STEP/);
    expect(() => definitionOf(TwoUndos)).toThrow(/SAGAZ_DUPLICATE_COMPENSATION/);
    expect(() => definitionOf(Misspelt)).toThrow(/SAGAZ_UNKNOWN_COMPENSATION .*Did you mean "reserve"\?/);
    expect(() => definitionOf(NoSteps)).toThrow(/SAGAZ_EMPTY_SAGA/);
    expect(() => definitionOf(NoName as never)).toThrow(/SAGAZ_INVALID_NAME .*undefined/);
    expect(() => definitionOf(WrongOption)).toThrow(/dependOn is an array; .*Did you mean "dependsOn"\?/);
    expect(() => definitionOf(WrongUndoOption)).toThrow(
      /compensation of step "a" of "wrong-undo": dependsOn/,
    );
    expect(() => definitionOf(WrongStatic)).toThrow(/strategy is "WAIT_AL".*Did you mean "WAIT_ALL"\?/);
  });

  test("a @verify without its step, or beside another way to verify it, is refused", () => {
    const answer = (): Verdict => ({ outcome: "not_done" });
    class Misspelt extends AnySaga {
      static sagaName = "misspelt";
      @action("charge") a() {}
      @verified("chagre") b() {
        return answer();
      }
    }
    class NeverInDoubt extends AnySaga {
      static sagaName = "never-in-doubt";
      @sleep("charge") a() {
        return 1;
      }
      @verified("charge") b() {
        return answer();
      }
    }
    class Two extends AnySaga {
      static sagaName = "two";
      @action("charge") a() {}
      @verified("charge") b() {
        return answer();
      }
      @verified("charge") c() {
        return answer();
      }
    }
    class TwoWays extends AnySaga {
      static sagaName = "two-ways";
      @map("charge", { over: () => [1], verify }) a(ctx: MapContext) {
        return ctx.item;
      }
      @verified("charge") b() {
        return answer();
      }
    }
    expect(() => definitionOf(Misspelt)).toThrow(/SAGAZ_UNKNOWN_VERIFY .*Did you mean "charge"\?/);
    expect(() => definitionOf(NeverInDoubt)).toThrow(
      /SAGAZ_UNKNOWN_VERIFY .* A sleep step is never in doubt/,
    );
    expect(() => definitionOf(Two)).toThrow(/SAGAZ_DUPLICATE_VERIFY/);
    expect(() => definitionOf(TwoWays)).toThrow(/SAGAZ_DUPLICATE_VERIFY/);
  });

  test("a map needs a function that lists its items", () => {
    class NoList extends AnySaga {
      static sagaName = "no-list";
      @map("a", { over: [1] as never }) a(ctx: MapContext) {
        return ctx.item;
      }
    }
    expect(() => definitionOf(NoList)).toThrow(/over is an array; it must be a function/);
  });

  test("a signal field that stands for nothing still is a step", () => {
    class Bare extends AnySaga {
      static sagaName = "bare";
      @signal("go", { signal: "start" }) go = undefined as never;
    }
    expect(definitionOf(Bare).steps[0]).toMatchObject({
      kind: "signal",
      signal: "start",
      resultSchema: undefined,
    });
  });

  test("decorators of another build, or in a wrong place, say so", () => {
    const method = () => undefined;
    const context = (changes: object) =>
      ({
        kind: "method",
        static: false,
        private: false,
        name: "m",
        metadata: {},
        access: {},
        ...changes,
      }) as never;
    expect(() => action("a")(method, "m" as never)).toThrow(
      /SAGAZ_MISUSED_DECORATOR .*experimentalDecorators/,
    );
    expect(() => action("a")(method, context({ static: true }))).toThrow(
      /@action\("a"\) cannot .* static member/,
    );
    expect(() => action("a")(method, context({ kind: "getter" }))).toThrow(
      /it decorates a method, not a getter/,
    );
    expect(() => signal("a")(undefined, context({}))).toThrow(/it decorates a field, not a method/);
    expect(() => compensate("a")(method, context({ metadata: undefined }))).toThrow(
      /gives decorators no metadata/,
    );
  });
});

describe("definitionOf", () => {
  test("takes a definition as it is", () => {
    expect(definitionOf(shipping)).toBe(shipping);
  });

  test.each([
    ["a function", () => 1],
    ["a class of something else", Map],
    ["an unbuilt builder", saga("s")],
    ["a name", "order"],
    ["null", null],
    ["nothing", undefined],
    ["an object", { name: "order" }],
  ])("refuses %s", (_, value) => {
    expect(() => definitionOf(value as never)).toThrow(/SAGAZ_NOT_A_DEFINITION .*Pass a Saga class/);
  });
});
