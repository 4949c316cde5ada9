-- The caller's own statements, through any driver: they take texts and numbers, and answer texts, if anything.
-- name: addEvent
call {{schema}}.add_event($1::timestamptz, $2::text::text[], $3::text, $4::text)

-- name: addHeldEvent
select array_to_json(e.ids)::text as ids, e.at_ms::text as added_at, array_to_json(e.behind)::text as behind, e.lowest::text as lowest
  from {{schema}}.add_held_event(
    $1::timestamptz, $2::integer, $3::bigint, $4::text, $5::text::text[], $6::text, $7::text) e

-- name: addEvents
select array_to_json(e.ids)::text as ids, e.at_ms::text as added_at, array_to_json(e.behind)::text as behind, e.lowest::text as lowest
  from {{schema}}.add_events(
    json_populate_record(null::{{schema}}.outbox_columns, $5::text::json), $1::timestamptz, $2::integer, $3::bigint, $4::text) e

-- name: balanceShards
select array_to_json(b.held)::text as held, b.share::text as share from {{schema}}.balance_shards($1::bigint) b

-- name: releaseShards
update {{schema}}.saga_outbox_shards s set owner = null where s.owner = $1::bigint and s.shard = any ($2::integer[])

-- The columns are read in their order.
-- name: takeEvents
copy (select * from {{schema}}.take_events($1, $2, $3, $4, $5, $6)) to stdout (format binary)

-- name: settleEvents
select {{schema}}.settle_events($1, $2, $3, $4, $5)

-- name: undecidedIds
select u.last_id::text as last_id, u.writers, u.logged::text as logged, u.flushed::text as flushed, u.life
  from {{schema}}.undecided_ids() u

-- name: outboxBacklog
select count(*)::text as pending,
    floor(extract(epoch from min(p.created_at)) * 1000)::bigint::text as oldest,
    (select count(*) from {{schema}}.saga_dead_letters d where d.redriven_at is null)::text as dead
  from {{schema}}.saga_outbox_pending p

-- name: behindOthers
select array_to_json(b.behind)::text as behind, b.lowest::text as lowest from {{schema}}.behind_others($1, $2, $3, $4) b

-- name: settleHeld
with sent as (
  delete from {{schema}}.saga_outbox_pending p using unnest($1::bigint[]) s(id) where p.id = s.id)
update {{schema}}.saga_outbox_pending p set available_at = null
  from unnest($2::bigint[]) r(id) where p.id = r.id and p.attempts = 0 and p.available_at is not null
