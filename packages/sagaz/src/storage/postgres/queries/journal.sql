-- name: appendBatch
select {{schema}}.append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)::text as at

-- name: appendAndPublish
select {{schema}}.append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)::text as at,
  array_to_json(e.ids)::text as ids, e.at_ms::text as added_at, array_to_json(e.behind)::text as behind, e.lowest::text as lowest
  from {{schema}}.add_events($16, $2, $17, $18, $19) e

-- name: appendEvent
select {{schema}}.append_event($1, $2, $3, $4, $5, $6, $7, $8, $9)::text as at

-- name: startKeyed
select (s.n - 1)::text as n, s.is_new::text as is_new, s.held_by::text as saga_id, s.same_input::text as same_input
  from {{schema}}.start_keyed($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) s

-- name: startIn
select {{schema}}.start_in($1::text, $2::timestamptz) as outcome

-- name: readTails
select s.saga::text as saga_id, t.seq::text as seq, e.owner::text as owner
  from unnest($1::uuid[], $2::timestamptz[]) s(saga, created)
  cross join lateral (
    select v.seq from {{schema}}.saga_events v where v.saga_id = s.saga and v.created_at = s.created
      order by v.seq desc limit 1) t
  left join {{schema}}.saga_executions e on e.saga_id = s.saga and e.created_at = s.created

-- name: lockWorker
select w.epoch::text as epoch from {{schema}}.saga_workers w where w.epoch = $1::bigint for update
