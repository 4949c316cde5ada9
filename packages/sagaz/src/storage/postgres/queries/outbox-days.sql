-- Old days of the outbox's log of which nothing waits to be sent, with the statement that makes each of them leave.
-- name: oldOutboxDays
select o.name, {{schema}}.plain_time(o.from_time) as "from", {{schema}}.plain_time(o.to_time) as "to",
    {{schema}}.leave_statement('saga_outbox', o.name, o.state) as leave
  from {{schema}}.old_partitions('saga_outbox', '1 day',
    coalesce($1::timestamptz, clock_timestamp()) - $2::integer * interval '1 day') o
  where o.state <> 'attached' or not exists (
    select from {{schema}}.saga_outbox_pending p where p.created_at >= o.from_time and p.created_at < o.to_time)
  order by o.state <> 'leaving', o.name -- one at a time can be leaving

-- name: clearOutboxDay
select {{schema}}.clear_outbox_day($1, $2::timestamptz, $3::timestamptz, $4) as done
