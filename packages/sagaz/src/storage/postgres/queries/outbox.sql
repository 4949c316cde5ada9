-- The caller's own statements, through any driver: they take texts and numbers, and answer texts, if anything.
-- name: addEvent
call {{schema}}.add_event($1::timestamptz, $2::text::text[], $3::text, $4::text)

-- name: addHeldEvent
select {{schema}}.add_held_event($1::timestamptz, $2::integer, $3::text::text[], $4::text, $5::text) as added

-- name: addEvents
select {{schema}}.add_events_in($1::timestamptz, $2::integer, $3::text::json) as added

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
select u.last_id::text as last_id, u.writers, u.logged::text as logged, u.flushed::text as flushed, u.server
  from {{schema}}.undecided_ids() u

-- name: outboxBacklog
select count(*)::text as pending,
    floor(extract(epoch from min(p.created_at)) * 1000)::bigint::text as oldest,
    (select count(*) from {{schema}}.saga_dead_letters d where d.redriven_at is null)::text as dead
  from {{schema}}.saga_outbox_pending p

-- Which of these events wait behind an earlier one of their key, and the lowest id that waits beside them. Behind very
-- many others all of them wait: then relays have work enough.
-- name: behindOthers
with mine as (select m.id, m.key from unnest($1::bigint[], $2::text[]) m(id, key)),
before as (
  select p.id, p.partition_key from {{schema}}.saga_outbox_pending p
    where p.id > $3::bigint and p.id < (select max(m.id) from mine m) and p.id <> all ($1::bigint[])
    order by p.id limit $4::integer)
select array_to_json(case
    when (select count(*) from before) >= $4::integer then $1::bigint[]
    else array(
      select m.id from mine m where exists (select from before b where b.partition_key = m.key and b.id < m.id))
  end)::text as behind,
  (select min(b.id) from before b)::text as lowest

-- name: settleHeld
with sent as (
  delete from {{schema}}.saga_outbox_pending p using unnest($1::bigint[]) s(id) where p.id = s.id)
update {{schema}}.saga_outbox_pending p set available_at = null
  from unnest($2::bigint[]) r(id) where p.id = r.id and p.attempts = 0 and p.available_at is not null
