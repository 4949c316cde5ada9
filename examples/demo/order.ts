import { readFileSync } from "node:fs";
import { z } from "zod";

/** An order as a customer places it. The saga checks its input against this, so nothing else ever gets into a journal. */
export const Order = z.object({
  number: z.string().min(1),
  customer: z.object({ name: z.string(), email: z.email() }),
  address: z.object({
    street: z.string(),
    city: z.string(),
    postalCode: z.string(),
    country: z.string().length(2),
  }),
  items: z.array(z.object({ sku: z.string(), quantity: z.int().positive() })).min(1),
  payment: z.object({ method: z.literal("card"), card: z.string() }),
});
export type Order = z.infer<typeof Order>;

/** The orders of `examples/orders.json`, numbered anew for each run, so that a second run brings new orders. */
export function readOrders(run: number): Order[] {
  const text = readFileSync(new URL("../orders.json", import.meta.url), "utf8");
  const orders = z.array(Order).parse(JSON.parse(text));
  return orders.map((order) => ({ ...order, number: `R${run}-${order.number}` }));
}
