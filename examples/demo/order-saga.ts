import { saga } from "sagaz";
import { Order } from "./order.ts";
import type { Shop } from "./shop.ts";

/**
 * One order, from the shelf to the confirmation. Up to `confirm_order` every step can be undone; after it the customer
 * has a contract, and the saga only goes forward.
 */
export function orderSaga({ warehouse, payments, carrier, desk, mail }: Shop) {
  return saga("order-processing", { input: Order, retry: { initialMs: 50 } })
    .step("reserve_stock", {
      do: (ctx) => warehouse.reserve(ctx.input, ctx.idempotencyKey),
      undo: (ctx) => warehouse.release(ctx.actionKey),
    })
    .step("charge_card", {
      after: ["reserve_stock"],
      timeoutMs: 1_000,
      do: (ctx) => {
        const { totalCents } = ctx.results.reserve_stock;
        return payments.charge({ order: ctx.input, totalCents, attempt: ctx.attempt }, ctx);
      },
      // The reply was lost, or this process died: the provider knows whether it charged.
      verify: (ctx) => payments.findCharge(ctx.idempotencyKey),
      undo: (ctx) => payments.refund(ctx.actionKey, ctx.attempt),
      undoRetry: { initialMs: 50 },
    })
    .step("book_parcel", {
      after: ["charge_card"],
      do: (ctx) => carrier.book(ctx.input, ctx.idempotencyKey),
      undo: (ctx) => carrier.cancel(ctx.actionKey),
    })
    .pivot("confirm_order", {
      after: ["book_parcel"],
      transactional: true, // the row of the order and the step's result commit together
      do: (ctx) => desk.confirm(ctx.input, ctx.tx),
    })
    .step("send_confirmation", {
      after: ["confirm_order"],
      do: (ctx) => mail.confirm({ order: ctx.input, ...ctx.results.book_parcel }, ctx.idempotencyKey),
    })
    .build();
}
