/** A saga as a class: two steps, each with its undo. The second order's card is declined, so the stock goes back. */
import { Saga, action, compensate, fail, type StepContext, type UndoContext } from "sagaz";

interface Order {
  readonly orderId: string;
  readonly card: string;
}

class OrderSaga extends Saga<Order> {
  static sagaName = "order-processing";
  static sequential = true;

  @action("reserve_stock")
  async reserve(ctx: StepContext<Order>) {
    console.log(`  reserve stock for ${ctx.input.orderId}`);
    return { shelf: "B7" };
  }

  @compensate("reserve_stock")
  async release(ctx: UndoContext<Order>) {
    console.log(`  put it back for ${ctx.input.orderId}`);
  }

  @action("charge_card")
  async charge(ctx: StepContext<Order>) {
    const { shelf } = ctx.resultOf(this.reserve);
    console.log(`  charge for what lies on shelf ${shelf}`);
    if (ctx.input.card === "expired") throw fail("card expired");
    return { receipt: `R-${ctx.input.orderId}` };
  }

  @compensate("charge_card")
  async refund(ctx: UndoContext<Order>) {
    console.log(`  give the money back for ${ctx.input.orderId}`); // when a later step fails, or no answer came
  }
}

for (const order of [
  { orderId: "4711", card: "visa" },
  { orderId: "4712", card: "expired" },
]) {
  const { status, failure } = await new OrderSaga().run(order);
  console.log(`${order.orderId}: ${status}${failure?.kind === "step" ? `, ${failure.error.message}` : ""}`);
}

/* prints:
  reserve stock for 4711
  charge for what lies on shelf B7
4711: completed
  reserve stock for 4712
  charge for what lies on shelf B7
  put it back for 4712
4712: compensated, card expired
*/
