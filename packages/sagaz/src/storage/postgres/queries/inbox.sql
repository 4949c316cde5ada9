-- name: noteProcessed
select {{schema}}.note_messages($1::text, $2::text[], $3::text[], $4::text[], $5::timestamptz) as ids

-- name: noteOneProcessed
select n.id, n.became, n.kept
  from {{schema}}.note_message($1::text, $2::text, $3::text, $4::text, $5::timestamptz) n

-- name: boundTransaction
select {{schema}}.bound_transaction($1)

-- name: keptResults
select i.event_id, 'known' as became, i.result from unnest($2::text[]) m(id)
  join {{schema}}.consumer_inbox i on i.consumer_name = $1::text and i.event_id = m.id

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
