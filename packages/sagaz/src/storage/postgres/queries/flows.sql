-- In one order: two trackers never wait for each other.
-- name: recordFlows
insert into {{schema}}.saga_flow_events as f (
    flow_id, event_id, causation_id, topic, key, type, source, role, saga_id, at, seen_at)
  select e."flowId", e."eventId", e."causationId", e.topic, e.key, e.type, e.source, e.role, e."sagaId", e.at,
      coalesce($2::timestamptz, clock_timestamp())
    from json_to_recordset($1::json) e("flowId" text, "eventId" text, "causationId" text, topic text, key text, type text,
      source text, role text, "sagaId" text, at timestamptz)
    order by 1, 2
  on conflict do nothing

-- name: listFlow
select f.flow_id, f.event_id, f.causation_id, f.topic, f.key, f.type, f.source, f.role, f.saga_id,
    floor(extract(epoch from f.at) * 1000)::bigint::text as at
  from {{schema}}.saga_flow_events f where f.flow_id = $1 order by f.at, f.event_id limit $2

-- name: clearFlows
with cleared as (
  delete from {{schema}}.saga_flow_events f
    where f.ctid = any (array(
      select o.ctid from {{schema}}.saga_flow_events o
        where o.seen_at < coalesce($1::timestamptz, clock_timestamp()) - $2::bigint * interval '1 ms'
        limit $3::integer))
    returning 1)
select count(*)::text as count from cleared
