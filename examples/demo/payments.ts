import { fail, type Verdict } from "sagaz";
import type { Pool } from "pg";
import { brokenLine, overNetwork, silence } from "./network.ts";
import type { Order } from "./order.ts";
import { Participant } from "./participant.ts";

/** What the provider answers to a charge; it keeps it under the idempotency key. */
export interface Charge {
  readonly chargeId: string;
  readonly orderNumber: string;
  readonly amountCents: number;
}

/** What to charge. */
export interface ChargeRequest {
  readonly order: Order;
  readonly totalCents: number;
  readonly attempt: number;
}

const refusals: Readonly<Record<string, string>> = {
  tok_declined: "card declined",
  tok_insufficient_funds: "insufficient funds",
  tok_expired: "card expired",
};

/** A sandbox payment provider: the token on the card says how it behaves. The ledger is the truth. */
export class Payments {
  readonly #participant: Participant<Charge>;

  constructor(pool: Pool) {
    this.#participant = new Participant(pool);
  }

  charge(
    { order, totalCents, attempt }: ChargeRequest,
    { idempotencyKey: key, signal }: { readonly idempotencyKey: string; readonly signal: AbortSignal },
  ): Promise<Charge> {
    const { card } = order.payment;
    const refusal = refusals[card];
    return overNetwork(key, async () => {
      if (refusal) throw fail(refusal);
      if (card === "tok_provider_busy" && attempt <= 2) throw new Error("503 Service Unavailable");
      if (card === "tok_request_lost" && attempt === 1) throw brokenLine();
      const { reply, isFirst } = await this.#book(order, { key, totalCents });
      if (card === "tok_reply_lost" && isFirst) throw brokenLine();
      if (card === "tok_no_answer" && isFirst) return silence(signal);
      return reply;
    });
  }

  #book(order: Order, { key, totalCents }: { readonly key: string; readonly totalCents: number }) {
    return this.#participant.once(key, async (sql) => {
      const charge = { chargeId: `ch_${order.number}`, orderNumber: order.number, amountCents: totalCents };
      await sql("insert into demo_shop.ledger values ($1, 'customer', -$2::int), ($1, 'shop', $2)", [
        order.number,
        totalCents,
      ]);
      if (order.payment.card === "tok_disputed")
        await sql("insert into demo_shop.disputes values ($1)", [order.number]);
      return charge;
    });
  }

  /** Asks the provider whether a charge with this key took place. */
  async findCharge(key: string): Promise<Verdict<Charge>> {
    const charge = await overNetwork(key, () => this.#participant.find(key));
    return charge ? { outcome: "done", result: charge } : { outcome: "not_done" };
  }

  /** Pays back, unless nothing was charged. Refused while the bank disputes the charge. */
  refund(key: string, attempt: number): Promise<void> {
    return overNetwork(key, () => this.#payBack(key, attempt));
  }

  #payBack(key: string, attempt: number): Promise<void> {
    return this.#participant.undo(key, async (sql, { orderNumber, amountCents }) => {
      const [dispute] = await sql(
        "select 1 from demo_shop.disputes where order_number = $1 and closed_at is null",
        [orderNumber],
      );
      if (dispute) throw fail("refund refused: the bank disputes this charge");
      if (attempt === 1) throw new Error("503 Service Unavailable"); // refunds work at the second attempt
      await sql("insert into demo_shop.ledger values ($1, 'customer', $2), ($1, 'shop', -$2::int)", [
        orderNumber,
        amountCents,
      ]);
    });
  }
}
