-- name: findSaga
select e.saga_id::text as saga_id, e.saga_name, e.version::text as version, e.graph_hash, e.status, e.waiting_for,
  e.parked_reason, e.paused::text as paused, e.tenant_id, e.correlation_id, e.parent_id::text as parent_id,
  e.attributes::text as attributes, e.error, e.output, e.owner::text as owner, e.adoptions::text as adoptions,
  floor(extract(epoch from e.wake_at) * 1000)::bigint::text as wake_at,
  floor(extract(epoch from e.updated_at) * 1000)::bigint::text as updated_at,
  floor(extract(epoch from e.finished_at) * 1000)::bigint::text as finished_at
  from {{schema}}.saga_executions e where e.saga_id = $1::uuid and e.created_at = $2::timestamptz

-- name: readJournal
select v.seq::text as seq, floor(extract(epoch from v.at) * 1000)::bigint::text as at, v.type, v.step, v.data
  from {{schema}}.saga_events v
  where v.saga_id = $1::uuid and v.created_at = $2::timestamptz and v.seq >= $3::integer
  order by v.seq limit $4::integer

-- A condition that is not asked for is gone when the statement is planned: it is planned anew each time, with its
-- values. So are the branches that are not asked for ($13 all, $14 unfinished, $15 finished). Unfinished sagas are read
-- whole and sorted: in the order of ids, one month after the other would be searched for a first one in vain.
-- name: listSagas
select e.saga_id::text as saga_id, e.saga_name, e.version::text as version, e.graph_hash, e.status, e.waiting_for,
  e.parked_reason, e.paused::text as paused, e.tenant_id, e.correlation_id, e.parent_id::text as parent_id,
  e.attributes::text as attributes, e.error, e.output, e.owner::text as owner, e.adoptions::text as adoptions,
  floor(extract(epoch from e.wake_at) * 1000)::bigint::text as wake_at,
  floor(extract(epoch from e.updated_at) * 1000)::bigint::text as updated_at,
  floor(extract(epoch from e.finished_at) * 1000)::bigint::text as finished_at
  from (
    (select * from {{schema}}.saga_executions e where $13::boolean and
      ($1::text is null or e.saga_name = $1)
      and ($2::text[] is null or e.status = any ($2))
      and ($3::text is null or e.tenant_id = $3)
      and ($4::text is null or e.correlation_id = $4)
      and ($5::text is null or e.parked_reason = $5)
      and ($6::boolean is null or e.paused = $6)
      and ($7::jsonb is null or e.attributes @> $7)
      and ($8::timestamptz is null or e.created_at >= $8)
      and ($9::timestamptz is null or e.created_at < $9)
      and ($10::uuid is null or (e.saga_id < $10 and e.created_at <= $11::timestamptz))
      order by e.saga_id desc limit $12::integer)
    union all
    (select * from (
      select * from {{schema}}.saga_executions e where $14::boolean and e.finished_at is null and
        ($1::text is null or e.saga_name = $1)
      and ($2::text[] is null or e.status = any ($2))
      and ($3::text is null or e.tenant_id = $3)
      and ($4::text is null or e.correlation_id = $4)
      and ($5::text is null or e.parked_reason = $5)
      and ($6::boolean is null or e.paused = $6)
      and ($7::jsonb is null or e.attributes @> $7)
      and ($8::timestamptz is null or e.created_at >= $8)
      and ($9::timestamptz is null or e.created_at < $9)
      and ($10::uuid is null or (e.saga_id < $10 and e.created_at <= $11::timestamptz))
      offset 0) e order by e.saga_id desc limit $12::integer)
    union all
    (select * from {{schema}}.saga_executions e where $15::boolean and e.finished_at is not null and
      ($1::text is null or e.saga_name = $1)
      and ($2::text[] is null or e.status = any ($2))
      and ($3::text is null or e.tenant_id = $3)
      and ($4::text is null or e.correlation_id = $4)
      and ($5::text is null or e.parked_reason = $5)
      and ($6::boolean is null or e.paused = $6)
      and ($7::jsonb is null or e.attributes @> $7)
      and ($8::timestamptz is null or e.created_at >= $8)
      and ($9::timestamptz is null or e.created_at < $9)
      and ($10::uuid is null or (e.saga_id < $10 and e.created_at <= $11::timestamptz))
      order by e.saga_id desc limit $12::integer)
  ) e order by e.saga_id desc limit $12::integer

-- name: endedSagas
select e.saga_id::text as saga_id, e.status
  from unnest($1::uuid[], $2::timestamptz[]) s(saga, created)
  join {{schema}}.saga_executions e on e.saga_id = s.saga and e.created_at = s.created
  where e.status in ('completed', 'compensated', 'compensated_with_exceptions', 'forced_closed', 'parked')

-- name: countSagas
select c.saga_name, c.version::text as version, c.status, sum(c.count)::text as count
  from (
    select e.saga_name, e.version, e.status, count(*) as count from {{schema}}.saga_executions e
      where e.finished_at is null group by 1, 2, 3
    union all
    select e.saga_name, e.version, e.status, count(*) from {{schema}}.saga_executions e
      where e.finished_at >= coalesce($2::timestamptz, now()) - $1::bigint * interval '1 ms' group by 1, 2, 3
  ) c group by 1, 2, 3 order by 1, 2, 3

-- name: journalledSagas
select v.saga_id::text as saga_id from {{schema}}.saga_events v
  where v.seq = 1 and ($1::uuid is null or (v.saga_id > $1 and v.created_at >= $2::timestamptz))
  order by v.saga_id limit $3::integer
