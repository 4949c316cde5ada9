-- Everyone notes ids in one order: two batches never wait for each other.
-- name: noteProcessed
-- Those that are new are answered as one text: a row for each is work for both sides.
with noted as (
  insert into {{schema}}.consumer_inbox (consumer_name, event_id, source_topic, event_type, processed_at)
    select $1::text, m.id, m.topic, m.type, coalesce($5::timestamptz, clock_timestamp())
      from unnest($2::text[], $3::text[], $4::text[]) m(id, topic, type)
      order by m.id
    on conflict do nothing
    returning event_id)
select array_to_json(array_agg(n.event_id))::text as ids from noted n

-- A duplicate's result comes with the same answer, but for one that another transaction has only just written.
-- name: noteOneProcessed
with noted as (
  insert into {{schema}}.consumer_inbox (consumer_name, event_id, source_topic, event_type, processed_at)
    values ($1::text, $2::text, $3::text, $4::text, coalesce($5::timestamptz, clock_timestamp()))
    on conflict do nothing
    returning event_id)
select n.event_id, 'new' as became, null as result from noted n
union all
select i.event_id, 'known', i.result from {{schema}}.consumer_inbox i
  where i.consumer_name = $1::text and i.event_id = $2::text

-- name: keptResults
select i.event_id, 'known' as became, i.result from unnest($2::text[]) m(id)
  join {{schema}}.consumer_inbox i on i.consumer_name = $1::text and i.event_id = m.id

-- name: keptResult
select i.event_id, 'known' as became, i.result from {{schema}}.consumer_inbox i
  where i.consumer_name = $1::text and i.event_id = $2::text

-- name: keepResults
update {{schema}}.consumer_inbox i set result = m.result from unnest($2::text[], $3::text[]) m(id, result)
  where i.consumer_name = $1::text and i.event_id = m.id

-- name: keepResult
update {{schema}}.consumer_inbox i set result = $3::text where i.consumer_name = $1::text and i.event_id = $2::text

-- name: clearInbox
with cleared as (
  delete from {{schema}}.consumer_inbox i
    where i.ctid = any (array(
      select o.ctid from {{schema}}.consumer_inbox o
        where o.processed_at < coalesce($1::timestamptz, clock_timestamp()) - $2::bigint * interval '1 ms'
        limit $3::integer))
    returning 1)
select count(*)::text as count from cleared
