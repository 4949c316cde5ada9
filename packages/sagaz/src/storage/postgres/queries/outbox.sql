-- The caller's own statement: rows of values stand between these two. The first parameter is the time.
-- name: addEventsHead
with logged as (
  insert into {{schema}}.saga_outbox (
    created_at, shard, event_id, topic, partition_key, event_type, source, aggregate_type, aggregate_id, correlation_id, saga_id,
    traceparent, headers, payload, payload_bytes)

-- name: addEventsTail
  returning id, created_at, shard, partition_key)
insert into {{schema}}.saga_outbox_pending (id, created_at, shard, partition_key)
  select l.id, l.created_at, l.shard, l.partition_key from logged l

-- name: balanceShards
select array_to_json(b.held)::text as held, b.share::text as share from {{schema}}.balance_shards($1::bigint) b

-- name: releaseShards
update {{schema}}.saga_outbox_shards s set owner = null where s.owner = $1::bigint and s.shard = any ($2::integer[])

-- name: takeEvents
select * from {{schema}}.take_events($1, $2, $3, $4, $5)

-- name: settleEvents
select {{schema}}.settle_events($1, $2, $3, $4, $5)

-- name: undecidedIds
select u.last_id::text as last_id, u.writers from {{schema}}.undecided_ids() u

-- name: outboxBacklog
select count(*)::text as pending,
    floor(extract(epoch from min(p.created_at)) * 1000)::bigint::text as oldest,
    (select count(*) from {{schema}}.saga_dead_letters d where d.redriven_at is null)::text as dead
  from {{schema}}.saga_outbox_pending p
