import type { Finding } from "../ledger.ts";
import type { DeliveryTown } from "./delivery-town.ts";

interface Law {
  readonly law: string;
  /** Answers one row for each thing looked at; `wrong` says what is, else it is null. May use `firsts` and `consumers`. */
  readonly sql: string;
}

const laws: readonly Law[] = [
  {
    law: "every event whose transaction committed was delivered, but for poison",
    sql: `select case when (d.event_id is null) <> f.is_poison
                 then format('%s version %s: %s', f.key, f.version, case when f.is_poison then 'poison, delivered' else 'lost' end) end as wrong
            from town.facts f left join firsts d using (event_id)`,
  },
  {
    law: "nothing was delivered whose transaction did not commit",
    sql: `select case when f.event_id is null or f.key <> d.key or f.version <> d.version
                 then format('%s version %s', d.key, d.version) end as wrong
            from firsts d left join town.facts f using (event_id)`,
  },
  {
    law: "first deliveries of a key come in the order of its versions",
    sql: `select case when array_agg(version order by n) <> array_agg(version order by version)
                 then format('%s: %s', key, array_agg(version order by n)) end as wrong
            from firsts group by key`,
  },
  {
    law: "every event took effect once for each consumer",
    sql: `select case when count(e.event_id) <> 1
                 then format('%s: %s version %s: %s effects', c.consumer, f.key, f.version, count(e.event_id)) end as wrong
            from town.facts f cross join consumers c
              left join town.effects e on e.event_id = f.event_id and e.consumer = c.consumer
            where not f.is_poison group by c.consumer, f.key, f.version`,
  },
  {
    law: "nothing else took effect",
    sql: `select case when f.event_id is null or f.is_poison then format('%s: %s version %s', e.consumer, e.key, e.version) end as wrong
            from town.effects e left join town.facts f using (event_id)`,
  },
  {
    law: "events of a key take effect in the order of its versions",
    sql: `select case when array_agg(version order by n) <> array_agg(version order by version)
                 then format('%s, %s: %s', consumer, key, array_agg(version order by n)) end as wrong
            from town.effects group by consumer, key`,
  },
  {
    law: "nothing is left to be published",
    sql: `select case when count(*) > 0 then format('%s events', count(*)) end as wrong from sagaz.saga_outbox_pending`,
  },
  {
    law: "the dead letters are the poison, and nothing else",
    sql: `select case when f.is_poison is distinct from (l.event_id is not null) or l.consumer_name is not null
                 then format('%s: %s %s', coalesce(l.event_id, f.event_id), l.consumer_name, coalesce(l.error, 'is missing')) end as wrong
            from town.facts f full join sagaz.saga_dead_letters l using (event_id)`,
  },
];

/** Holds what was delivered, and what it did, against what was committed. */
export async function auditDelivery(town: DeliveryTown): Promise<Finding[]> {
  const firsts = JSON.stringify(
    Array.from(town.raw.firsts.values(), ({ eventId: event_id, key, version }, n) => ({
      n,
      event_id,
      key,
      version,
    })),
  );
  const findings: Finding[] = [];
  for (const { law, sql } of laws) {
    const rows = await town.sql<{ wrong: string | null }>(
      `with firsts as materialized (select * from json_to_recordset($1) d(n int, event_id text, key text, version int)),
         consumers as (select unnest($2::text[]) as consumer) ${sql}`,
      [firsts, town.consumers],
    );
    findings.push({
      law,
      looked: rows.length,
      broken: rows.flatMap(({ wrong }) => (wrong === null ? [] : [wrong])),
    });
  }
  return findings;
}
