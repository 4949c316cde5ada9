/** Tests without a server, on a fake clock: say what goes wrong, and what must come of it. In any test runner. */
import { Saga, action, compensate, type StepContext } from "sagaz";
import { fails, given, inTurn, losesReply, runs, throwsError, timesOut } from "sagaz/testing";

interface Order {
  readonly orderId: string;
}

class OrderSaga extends Saga<Order> {
  static sagaName = "order-processing";
  static sequential = true;

  @action("reserve_stock")
  reserve(ctx: StepContext<Order>) {
    return `stock for ${ctx.input.orderId}`;
  }
  @compensate("reserve_stock")
  release() {}

  @action("charge_card")
  charge(ctx: StepContext<Order>) {
    return `receipt for ${ctx.input.orderId}`;
  }
  @compensate("charge_card")
  refund() {}
}

const order = given(OrderSaga, { orderId: "4711" });

// A refusal: the card was not charged, so only the stock goes back.
await order
  .when({ charge_card: fails("card declined") })
  .expect({ status: "compensated", failedAt: "charge_card", undone: ["reserve_stock"] });

// No answer: perhaps the card was charged, so the charge is undone too.
await order
  .when({ charge_card: timesOut() })
  .expect({ status: "compensated", undone: ["charge_card", "reserve_stock"] });

// A lost reply and an error, and then it works: three attempts with one idempotency key.
await order
  .when({ charge_card: inTurn(losesReply(), throwsError("503"), runs()) })
  .expect({ status: "completed", attempts: { charge_card: 3 } });

// A refund that is refused: a person has to look.
await order
  .when({ charge_card: timesOut() })
  .whenUndone({ charge_card: fails("disputed") })
  .expect({ status: "parked", parked: "compensation_failed" });

// An expectation that does not hold says what happened instead.
await order.expect({ status: "compensated" }).catch((error: unknown) => console.log(String(error)));

/* prints:
AssertionError [ERR_ASSERTION]: "order-processing" went differently:
  status: expected "compensated", was "completed"
What happened:
  1. saga_started
  2. step_done reserve_stock
  3. step_done charge_card
  4. saga_completed
*/
