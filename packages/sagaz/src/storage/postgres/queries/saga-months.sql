-- Old months of sagas that nobody needs, with the statements that make each of them leave. Where one of its tables has begun to
-- leave, a month is gone on with, whatever it holds: it is looked at once more when both have left.
-- name: oldSagaMonths
select right(s.name, 7) as month, {{schema}}.plain_time(s.from_time) as "from", {{schema}}.plain_time(s.to_time) as "to",
    {{schema}}.leave_statement('saga_executions', s.name, s.state) as leave_sagas,
    {{schema}}.leave_statement('saga_events', e.name, e.state) as leave_events
  from {{schema}}.old_partitions('saga_executions', '1 month',
      coalesce($1::timestamptz, clock_timestamp()) - $2::integer * interval '1 day') s
    join {{schema}}.old_partitions('saga_events', '1 month', 'infinity') e on right(e.name, 7) = right(s.name, 7)
  where s.state <> 'attached' or e.state <> 'attached'
    or not {{schema}}.month_is_needed(s.name, s.from_time, s.to_time)
  order by s.state <> 'leaving', e.state <> 'leaving', s.name -- one at a time can be leaving

-- name: judgeSagaMonth
select {{schema}}.judge_saga_month($1, $2::timestamptz, $3::timestamptz) as verdict

-- name: dropSagaMonth
select {{schema}}.drop_saga_month($1)

-- name: pagesOfKeys
select pg_relation_size('{{schema}}.saga_idempotency_keys') / current_setting('block_size')::bigint as count

-- Keys of sagas created in a time, of some pages: no index knows their age, which is asked for once a month.
-- name: removeKeys
delete from {{schema}}.saga_idempotency_keys k
  where k.ctid >= format('(%s,0)', $1::bigint)::tid and k.ctid < format('(%s,0)', $2::bigint)::tid
    and k.saga_id >= {{schema}}.first_id($3::timestamptz) and k.saga_id < {{schema}}.first_id($4::timestamptz)
