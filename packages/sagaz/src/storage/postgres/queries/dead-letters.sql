-- name: buryMessage
insert into {{schema}}.saga_dead_letters (
    died_at, consumer_name, event_id, topic, partition_key, event_type, source, aggregate_type, aggregate_id,
    correlation_id, saga_id, traceparent, headers, payload, payload_bytes, created_at, attempts, error_code, error, stack)
  select coalesce($1::timestamptz, clock_timestamp()), $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text,
      $9::text, $10::text, $11::text, $12::text, $13::text, $14::text, decode($15::text, 'base64'), $16::timestamptz,
      $17::integer, $18::text, $19::text, $20::text
    where not exists (
      select from {{schema}}.saga_dead_letters d
        where d.consumer_name = $2::text and d.event_id = $3::text and d.redriven_at is null)

-- name: listDeadLetters
select d.id::text as id, d.consumer_name, floor(extract(epoch from d.died_at) * 1000)::bigint::text as died,
    d.event_id, d.topic, d.partition_key as key, d.event_type as type, d.source, d.aggregate_type, d.aggregate_id,
    d.correlation_id, d.saga_id, d.traceparent, d.headers, d.payload, d.payload_bytes::text as payload_bytes,
    floor(extract(epoch from d.created_at) * 1000)::bigint::text as created, d.attempts::text as attempts, d.error_code,
    d.error, d.stack, floor(extract(epoch from d.redriven_at) * 1000)::bigint::text as redriven, d.redriven_by
  from {{schema}}.saga_dead_letters d
  where d.id > $1::bigint
    and (not $2::boolean or d.consumer_name is not distinct from $3::text)
    and ($4::text is null or d.topic = $4::text)
    and ($5::boolean is null or (d.redriven_at is null) = $5::boolean)
  order by d.id limit $6::integer

-- Locked in one order; who comes second finds them redriven.
-- name: takeDeadLetters
with open as (
  select d.id, d.died_at from {{schema}}.saga_dead_letters d
    where d.id = any ($1::bigint[]) and d.redriven_at is null order by d.id for update)
update {{schema}}.saga_dead_letters d
  set redriven_at = coalesce($2::timestamptz, clock_timestamp()), redriven_by = $3::text
  from open where d.id = open.id and d.died_at = open.died_at and d.redriven_at is null
  returning d.id::text as id, d.consumer_name, floor(extract(epoch from d.died_at) * 1000)::bigint::text as died,
    d.event_id, d.topic, d.partition_key as key, d.event_type as type, d.source, d.aggregate_type, d.aggregate_id,
    d.correlation_id, d.saga_id, d.traceparent, d.headers, d.payload, d.payload_bytes::text as payload_bytes,
    floor(extract(epoch from d.created_at) * 1000)::bigint::text as created, d.attempts::text as attempts, d.error_code,
    d.error, d.stack, floor(extract(epoch from d.redriven_at) * 1000)::bigint::text as redriven, d.redriven_by
