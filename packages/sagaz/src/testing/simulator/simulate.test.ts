import { describe, expect, test } from "vitest";
import { saga } from "../../core/definition/builder.ts";
import { fail } from "../../core/decide/outcome.ts";
import { action, compensate } from "../../core/definition/decorators.ts";
import type { StepContext, UndoContext } from "../../core/definition/context.ts";
import { Saga } from "../../runtime/saga.ts";
import { FencedParticipant } from "./fenced-participant.ts";
import { simulate } from "./simulate.ts";

class Shop {
  stock = 100;
  reserved = 0;
  readonly reservations = new FencedParticipant<number>();

  reserve(key: string, count: number): number {
    return this.reservations.do(key, () => {
      this.stock -= count;
      this.reserved += count;
      return count;
    });
  }

  release(key: string): void {
    this.reservations.undo(key, (count) => {
      this.stock += count;
      this.reserved -= count;
    });
  }
}

const order = { count: 3 };

function orderSaga(shop: Shop, release = (ctx: { actionKey: string }) => shop.release(ctx.actionKey)) {
  return saga<{ count: number }>("order")
    .step("reserve", {
      do: (ctx) => shop.reserve(ctx.idempotencyKey, ctx.input.count),
      undo: release,
      retry: { initialMs: 10, maxMs: 100 },
    })
    .step("charge", {
      after: ["reserve"],
      do: () => {
        throw fail("declined");
      },
    })
    .build();
}

const noneReserved = (shop: Shop, sagas: readonly { status: string }[]) =>
  shop.stock + shop.reserved === 100 &&
  (sagas.some(({ status }) => status === "parked") || shop.reserved === 0);

describe("simulate", () => {
  test("a saga that is right passes, and the report says what it went through", async () => {
    const { seeds, seen } = await simulate(orderSaga, {
      world: () => new Shop(),
      input: order,
      seeds: 60,
      invariant: noneReserved,
    });
    expect(seeds).toBe(60);
    for (const sight of ["crashes", "takeovers", "lost acks", "lost replies", "undos"] as const)
      expect([sight, seen[sight]]).not.toEqual([sight, undefined]);
  });

  test("an undo that is not idempotent is found, and one seed repeats it", async () => {
    const broken = (shop: Shop) =>
      orderSaga(shop, () => {
        shop.stock += order.count;
        shop.reserved -= order.count;
      });
    const options = { world: () => new Shop(), input: order, invariant: noneReserved };
    const failure = await simulate(broken, { ...options, seeds: 300 }).then(
      () => undefined,
      (error: unknown) => error as Error,
    );
    expect(failure?.message).toContain("your invariant");
    const seed = Number(/seed: (\d+)/.exec(failure?.message ?? "")?.[1]);
    await expect(simulate(broken, { ...options, seed })).rejects.toThrow(failure?.message);
  });

  test("an invariant may throw, and its words are in the message", async () => {
    const invariant = () => {
      throw new Error("three are missing");
    };
    await expect(
      simulate(orderSaga, { world: () => new Shop(), input: order, seed: 5, invariant }),
    ).rejects.toThrow("three are missing");
  });

  test("chance that the seed does not rule is found out", async () => {
    let runs = 0;
    const fickle = () =>
      saga("fickle")
        .step("a", {
          do: () => {
            if (runs++ % 2 === 0) throw fail("sometimes");
          },
        })
        .build();
    await expect(simulate(fickle, { input: undefined, seeds: 20 })).rejects.toThrow(
      "one seed has one history",
    );
  });

  test("a class takes its world from where its steps do", async () => {
    let shop = new Shop();
    class OrderSaga extends Saga<{ count: number }> {
      static sagaName = "class-order";

      @action("reserve")
      reserve(ctx: StepContext<{ count: number }>) {
        return shop.reserve(ctx.idempotencyKey, ctx.input.count);
      }

      @compensate("reserve")
      release(ctx: UndoContext<{ count: number }, number>) {
        shop.release(ctx.actionKey);
      }
    }
    const { seeds } = await simulate(OrderSaga, {
      world: () => (shop = new Shop()),
      input: order,
      seeds: 20,
      invariant: ({ stock, reserved }) => stock + reserved === 100,
    });
    expect(seeds).toBe(20);
  });
});

describe("FencedParticipant", () => {
  test("does a thing once", () => {
    const participant = new FencedParticipant<number>();
    let count = 0;
    expect([participant.do("a", () => ++count), participant.do("a", () => ++count)]).toEqual([1, 1]);
    expect(participant.has("a")).toBe(true);
    expect([...participant.effects]).toEqual([["a", 1]]);
  });

  test("undoes it once, and refuses it afterwards", () => {
    const participant = new FencedParticipant<number>();
    const undone: number[] = [];
    participant.do("a", () => 7);
    participant.undo("a", (effect) => undone.push(effect));
    participant.undo("a", (effect) => undone.push(effect));
    expect(undone).toEqual([7]);
    expect(() => participant.do("a", () => 8)).toThrow("was undone");
  });

  test("an undo that comes first leaves a tombstone", () => {
    const participant = new FencedParticipant<number>();
    participant.undo("a", () => expect.unreachable("there is nothing to undo"));
    expect(() => participant.do("a", () => 8)).toThrow("was undone");
    expect(participant.has("a")).toBe(false);
  });
});
