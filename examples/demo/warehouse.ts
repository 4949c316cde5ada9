import { fail, type SqlRunner } from "sagaz";
import type { Pool } from "pg";
import { overNetwork } from "./network.ts";
import type { Order } from "./order.ts";
import { Participant } from "./participant.ts";

/** What was set aside for an order. */
export interface Reservation {
  readonly orderNumber: string;
  readonly totalCents: number;
}

/** The shelf: never sells what is not there. */
export class Warehouse {
  readonly #participant: Participant<Reservation>;

  constructor(pool: Pool) {
    this.#participant = new Participant(pool);
  }

  async reserve(order: Order, key: string): Promise<Reservation> {
    const { reply } = await overNetwork(key, () =>
      this.#participant.once(key, async (sql) => {
        let totalCents = 0;
        // Always in the same order, so that two orders cannot wait for each other.
        for (const { sku, quantity } of order.items.toSorted((a, b) => a.sku.localeCompare(b.sku)))
          totalCents += quantity * (await take(sql, { sku, quantity, orderNumber: order.number }));
        return { orderNumber: order.number, totalCents };
      }),
    );
    return reply;
  }

  release(key: string): Promise<void> {
    return overNetwork(key, () =>
      this.#participant.undo(key, (sql, { orderNumber }) => putBack(sql, orderNumber)),
    );
  }
}

async function putBack(sql: SqlRunner, orderNumber: string): Promise<void> {
  await sql(
    `with released as (
       update demo_shop.reservations set released_at = now()
       where order_number = $1 and released_at is null returning sku, quantity)
     update demo_shop.products p set available = available + r.quantity from released r where p.sku = r.sku`,
    [orderNumber],
  );
}

/** Takes one line of an order off the shelf and answers its price in cents. */
async function take(
  sql: SqlRunner,
  { sku, quantity, orderNumber }: { sku: string; quantity: number; orderNumber: string },
): Promise<number> {
  const [product] = await sql(
    `update demo_shop.products set available = available - $2
     where sku = $1 and available >= $2 returning price_cents`,
    [sku, quantity],
  );
  if (!product) throw fail(`out of stock: ${sku}`);
  await sql("insert into demo_shop.reservations values ($1, $2, $3)", [orderNumber, sku, quantity]);
  return product["price_cents"] as number;
}
