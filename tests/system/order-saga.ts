import { fail, saga, unchecked, type SagaDefinition, type SqlRunner } from "sagaz";
import { waitUntil } from "../../tools/servers/wait-until.ts";
import type { Shop } from "./shop.ts";

/** An order of the system tests. */
export interface Order {
  readonly number: number;
  readonly cents: number;
  readonly items: readonly string[];
  /** Without a carrier everything is undone. */
  readonly hasCarrier: boolean;
  /** Where it waits until the gate opens, deaf to being told to stop, or inside the engine's transaction. */
  readonly waits?: "in charge" | "in charge, deaf" | "in confirm";
}

/** Faults last for seconds: steps that meet one try again until it is over. */
const patient = { maxAttempts: Number.POSITIVE_INFINITY, forMs: 60_000, initialMs: 20, maxMs: 200 };

/** Parallel steps, a map, a step in the engine's own transaction, a pivot and a step behind it. */
export function orderSaga(shop: Shop): SagaDefinition<Order> {
  // Every call of a participant is over in less time than an attempt has to settle: so no attempt begins beside another.
  return saga("order", { input: unchecked<Order>(), retry: patient, settleMs: 15_000 })
    .step("reserve", {
      do: async (ctx) =>
        shop.ask(await shop.begin(ctx), ctx, { account: "stock", amount: -ctx.input.items.length }),
      undo: (ctx) => shop.undo(ctx),
      undoRetry: patient,
    })
    .step("charge", {
      do: async (ctx) => {
        const run = await shop.begin(ctx);
        const { waits, cents } = ctx.input;
        if (waits === "in charge") await shop.waitAtGate(ctx.signal);
        if (waits === "in charge, deaf") await shop.waitAtGate(ctx.signal, { isDeaf: true });
        return shop.ask(run, ctx, { account: "till", amount: cents });
      },
      verify: (ctx) => shop.find(ctx.idempotencyKey),
      undo: (ctx) => shop.undo(ctx),
      undoRetry: patient,
    })
    .map("pack", {
      after: ["reserve"],
      over: (ctx) => ctx.input.items,
      do: async (ctx) => shop.ask(await shop.begin(ctx), ctx, { account: "packed", amount: 1 }),
      undo: (ctx) => shop.undo(ctx),
      undoRetry: patient,
    })
    .step("confirm", {
      after: ["charge"],
      transactional: true,
      do: async (ctx) => {
        await shop.begin(ctx);
        await ctx.tx("insert into shop.confirmations values ($1, 'confirmed')", [ctx.sagaId]);
        if (ctx.input.waits === "in confirm") await gateOpens(ctx.tx, ctx.signal);
      },
      undo: async (ctx) => {
        await ctx.tx("insert into shop.confirmations values ($1, 'cancelled')", [ctx.sagaId]);
      },
      undoRetry: patient,
    })
    .pivot("ship", {
      after: ["pack", "confirm"],
      do: async (ctx) => {
        const run = await shop.begin(ctx);
        if (!ctx.input.hasCarrier) throw fail("no carrier");
        return shop.ask(run, ctx, { account: "parcels", amount: 1 });
      },
      verify: (ctx) => shop.find(ctx.idempotencyKey),
    })
    .step("notify", {
      after: ["ship"],
      do: async (ctx) => shop.ask(await shop.begin(ctx), ctx, { account: "mails", amount: 1 }),
    })
    .build();
}

/** The look goes through the transaction itself, which would end if it were idle. */
async function gateOpens(tx: SqlRunner, signal: AbortSignal): Promise<void> {
  await waitUntil(
    "the gate is open",
    async () => {
      signal.throwIfAborted();
      return (await tx("select 1 from shop.gate where is_open")).length > 0;
    },
    { withinMs: 60_000, everyMs: 50 },
  );
}
