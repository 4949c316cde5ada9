import type { PlacedOrder, Town } from "./town.ts";

/** A law of what is left in the end: how much it looked at, and what broke it. */
export interface Finding {
  readonly law: string;
  readonly looked: number;
  readonly broken: readonly string[];
}

interface Law {
  readonly law: string;
  /** Answers one row for each thing looked at; `wrong` says what is, else it is null. May use `orders` and `$2`, the zombies. */
  readonly sql: string;
}

const laws: readonly Law[] = [
  {
    law: "every saga has ended, and as its order must",
    sql: `select case when e.status is distinct from o.ends then format('order %s: %s, waits for %s, parked for %s',
                   o.number, coalesce(e.status, 'lost'), e.waiting_for, e.parked_reason) end as wrong
            from orders o left join sagaz.saga_executions e using (saga_id)`,
  },
  {
    law: "no start made two sagas",
    sql: `select case when count(*) <> 1 then format('order %s: %s sagas', v.data::json -> 'input' ->> 'number', count(*)) end as wrong
            from sagaz.saga_events v where v.type = 'saga_started' and v.data::json ->> 'name' = 'order'
            group by v.data::json -> 'input' ->> 'number'`,
  },
  {
    law: "every journal is numbered without gaps, has one start and one end, and the end is last",
    sql: `select case when min(seq) <> 1 or max(seq) <> count(*) or array_agg(type order by seq) filter (where type = 'saga_started') <> '{saga_started}'
                   or count(*) filter (where type in ('saga_completed', 'saga_compensated')) <> 1
                   or (array_agg(type order by seq desc))[1] not in ('saga_completed', 'saga_compensated')
                 then format('%s: %s', saga_id, array_agg(type order by seq)) end as wrong
            from sagaz.saga_events join orders using (saga_id) group by saga_id`,
  },
  {
    law: "no outcome is recorded twice",
    sql: `select case when count(*) > 1 then format('%s: %s(%s) %s times', saga_id, type, step, count(*)) end as wrong
            from sagaz.saga_events where type in ('step_done', 'step_compensated', 'pivot_started', 'map_listed')
            group by saga_id, type, step`,
  },
  {
    // A zombie may call once more, because nobody can stop it; its participants refuse.
    law: "no recorded step is run again",
    sql: `select case when was_recorded and worker <> all ($2) and exists (
                     select from sagaz.saga_events e where e.saga_id = r.saga_id and e.step = r.step and e.at < r.called_at
                       and e.type = case r.way when 'do' then 'step_done' else 'step_compensated' end)
                   then format('%s: %s of %s by %s', saga_id, way, step, worker) end as wrong
            from shop.runs r where is_heard`,
  },
  {
    law: "an undo comes after its effect, and undoes it once",
    sql: `select case when undone < done or entries <> (done is not null)::int + (done is not null and undone is not null)::int
                 then format('%s: done %s, undone %s, %s entries', key, done, undone, entries) end as wrong
            from shop.calls c, lateral (select count(*) as entries from shop.ledger l where l.key = c.key) l`,
  },
  {
    law: "what is recorded has happened: done in the shop, or undone there",
    sql: `select case when (v.type = 'step_done' and c.done is null) or (v.type = 'step_compensated' and c.undone is null)
                 then format('%s: %s(%s) is recorded and did not happen', v.saga_id, v.type, v.step) end as wrong
            from sagaz.saga_events v left join shop.calls c on c.saga_id = v.saga_id and c.step = v.step
            where v.type in ('step_done', 'step_compensated') and v.step not in ('confirm', 'pack')`,
  },
  {
    law: "a completed order has everything and an undone one nothing; what the engine's transaction wrote is there once",
    sql: `select case when books <> wanted then format('order %s, %s: %s instead of %s', number, ends, books, wanted) end as wrong
            from (
              select o.number, o.ends,
                array[
                  (select coalesce(sum(amount), 0) from shop.ledger l where l.saga_id = o.saga_id and account = 'till'),
                  (select coalesce(sum(amount), 0) from shop.ledger l where l.saga_id = o.saga_id and account = 'stock'),
                  (select coalesce(sum(amount), 0) from shop.ledger l where l.saga_id = o.saga_id and account = 'packed'),
                  (select coalesce(sum(amount), 0) from shop.ledger l where l.saga_id = o.saga_id and account = 'parcels'),
                  (select coalesce(sum(amount), 0) from shop.ledger l where l.saga_id = o.saga_id and account = 'mails'),
                  (select count(*) from shop.confirmations c where c.saga_id = o.saga_id and what = 'confirmed'),
                  (select count(*) from shop.confirmations c where c.saga_id = o.saga_id and what = 'cancelled')] as books,
                case o.ends when 'completed' then array[o.cents, -o.items, o.items, 1, 1, 1, 0]
                  else array[0, 0, 0, 0, 0, 1, 1] end::bigint[] as wanted
              from orders o) b`,
  },
  {
    law: "the sums add up",
    sql: `select case when held <> sold then format('%s: %s instead of %s', account, held, sold) end as wrong
            from (values ('till', (select sum(cents) from orders where ends = 'completed')),
                         ('stock', (select -sum(items) from orders where ends = 'completed'))) s(account, sold),
              lateral (select coalesce(sum(amount), 0) as held from shop.ledger l where l.account = s.account) h`,
  },
];

/** Holds the journals against the shop's books. `zombies` are workers that were frozen beyond their lease. */
export async function audit(
  town: Town,
  { zombies = [] }: { zombies?: readonly string[] } = {},
): Promise<Finding[]> {
  const orders = JSON.stringify(town.placed.map(toExpected));
  const findings: Finding[] = [];
  for (const { law, sql } of laws) {
    const rows = await town.sql<{ wrong: string | null }>(
      `with orders as (select * from json_to_recordset($1) o(saga_id uuid, number int, cents int, items int, ends text)),
         zombies as (select $2::text[]) ${sql}`,
      [orders, zombies],
    );
    findings.push({
      law,
      looked: rows.length,
      broken: rows.flatMap(({ wrong }) => (wrong === null ? [] : [wrong])),
    });
  }
  return findings;
}

function toExpected({ sagaId, number, cents, items, hasCarrier }: PlacedOrder) {
  return {
    saga_id: sagaId,
    number,
    cents,
    items: items.length,
    ends: hasCarrier ? "completed" : "compensated",
  };
}

/** What an audit answers when no law is broken and none looked at nothing. */
export function nothingBroken(findings: readonly Finding[]): unknown[] {
  return findings.map(({ law, looked }) => ({ law, looked: looked > 0 ? looked : "something", broken: [] }));
}
