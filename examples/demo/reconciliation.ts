import type { Pool } from "pg";

/** How the saga of an order ended. */
export interface Outcome {
  readonly number: string;
  readonly status: string;
}

/** One thing that must add up, with what does not. */
export interface Finding {
  readonly what: string;
  /** What was looked at, in a few words: a check that looked at nothing has shown nothing. */
  readonly looked: string;
  readonly wrong: readonly string[];
}

interface Check {
  readonly what: string;
  /** Rows `(looked text, wrong text)`; `wrong` is null in a row that is fine. `$1`: order numbers, `$2`: how they ended. */
  readonly sql: string;
}

/** Every query reads what the services wrote, and holds it against how the sagas ended. */
const checks: readonly Check[] = [
  {
    what: "every order's saga has ended, as completed or as compensated",
    sql: `select 'orders' as looked, o.number || ' ' || coalesce(e.status, 'unknown') as wrong
          from demo_shop.orders o left join ended e using (number)
          where e.status is distinct from 'completed' and e.status is distinct from 'compensated'
          union all select 'orders', null from demo_shop.orders o join ended e using (number)
          where e.status in ('completed', 'compensated')`,
  },
  {
    what: "stock: delivered = on the shelf + sold",
    sql: `select 'products' as looked,
            case when delivered <> available + sold then format('%s: %s delivered, %s there, %s sold', sku, delivered, available, sold) end as wrong
          from demo_shop.products p cross join lateral (
            select coalesce(sum(r.quantity), 0) as sold
            from demo_shop.reservations r join ended e on e.number = r.order_number
            where r.sku = p.sku and r.released_at is null and e.status = 'completed') s`,
  },
  {
    what: "money: the ledger balances, and the shop has exactly the price of what it sold",
    sql: `select 'bookings' as looked, null as wrong from demo_shop.ledger
          union all
          select 'sums', format('the ledger is off by %s', sum(amount_cents)) from demo_shop.ledger having sum(amount_cents) <> 0
          union all
          select 'sums', format('the shop holds %s, but sold for %s', holds, sold) from
            (select coalesce(sum(amount_cents), 0) as holds from demo_shop.ledger where account = 'shop') h,
            (select coalesce(sum(r.quantity * p.price_cents), 0) as sold from demo_shop.reservations r
             join demo_shop.products p using (sku) join ended e on e.number = r.order_number
             where e.status = 'completed') s
          where holds <> sold`,
  },
  {
    what: "nothing half done: a completed order has everything, an undone one nothing, and nobody has it twice",
    sql: `select 'orders' as looked,
            case when array[reserved > 0, paid > 0, parcels = 1, confirmed, mails = 1] <> array_fill(done, array[5])
                   or charges > 1 or parcels > 1 or mails > 1 or refunds <> charges - done::int * charges
              then format('%s %s: reserved %s, paid %s, charges %s, refunds %s, parcels %s, confirmed %s, mails %s',
                number, status, reserved, paid, charges, refunds, parcels, confirmed, mails) end as wrong
          from (
            select o.number, e.status, e.status = 'completed' as done, o.confirmed_at is not null as confirmed,
              (select count(*) from demo_shop.reservations r where r.order_number = o.number and released_at is null) as reserved,
              (select coalesce(sum(amount_cents), 0) from demo_shop.ledger where order_number = o.number and account = 'shop') as paid,
              (select count(*) from demo_shop.ledger where order_number = o.number and account = 'shop' and amount_cents > 0) as charges,
              (select count(*) from demo_shop.ledger where order_number = o.number and account = 'shop' and amount_cents < 0) as refunds,
              (select count(*) from demo_shop.parcels c where c.order_number = o.number and cancelled_at is null) as parcels,
              (select count(*) from demo_shop.mails m where m.order_number = o.number) as mails
            from demo_shop.orders o join ended e using (number)) facts`,
  },
];

/** Holds the shop's books against the outcomes of all its orders, of earlier runs too. */
export async function reconcile(pool: Pool, outcomes: readonly Outcome[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  const values = [outcomes.map(({ number }) => number), outcomes.map(({ status }) => status)];
  for (const { what, sql } of checks) {
    const text = `with ended(number, status) as (select * from unnest($1::text[], $2::text[])) ${sql}`;
    const { rows } = await pool.query<{ looked: string; wrong: string | null }>(text, values);
    const wrong = rows.flatMap((row) => (row.wrong === null ? [] : [row.wrong]));
    findings.push({ what, looked: `${rows.length} ${rows[0]?.looked ?? "rows"}`, wrong });
  }
  return findings;
}

/** How often services were asked again for what they had done already; with their keys that does no harm. */
export async function countRepeats(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ repeats: number }>(
    "select coalesce(sum(asked - 1), 0)::int as repeats from demo_shop.calls where asked > 1",
  );
  return rows[0]?.repeats ?? 0;
}
