import type { Pool } from "pg";

/** What is delivered before each run. Of the espresso machine there are fewer than the orders ask for. */
const delivery = [
  { sku: "KET-1200", name: "Gooseneck kettle", priceCents: 8_900, quantity: 20 },
  { sku: "GRD-0040", name: "Burr grinder", priceCents: 14_900, quantity: 12 },
  { sku: "POT-0600", name: "French press", priceCents: 3_900, quantity: 15 },
  { sku: "FLT-0100", name: "Filter papers, 100", priceCents: 450, quantity: 60 },
  { sku: "SCL-0005", name: "Brew scale", priceCents: 4_900, quantity: 10 },
  { sku: "MUG-0330", name: "Stoneware mug", priceCents: 1_450, quantity: 50 },
  { sku: "ESP-9000", name: "Espresso machine", priceCents: 89_900, quantity: 3 },
  { sku: "BEA-1000", name: "Espresso beans, 1 kg", priceCents: 2_400, quantity: 60 },
  { sku: "TMP-0002", name: "Tamper", priceCents: 2_900, quantity: 14 },
] as const;

/** Puts a delivery on the shelf. */
export async function deliver(pool: Pool): Promise<void> {
  await pool.query(
    `insert into demo_shop.products (sku, name, price_cents, delivered, available)
     select sku, name, "priceCents", quantity, quantity
     from jsonb_to_recordset($1) as d(sku text, name text, "priceCents" int, quantity int)
     on conflict (sku) do update set
       delivered = products.delivered + excluded.delivered, available = products.available + excluded.available`,
    [JSON.stringify(delivery)],
  );
}
