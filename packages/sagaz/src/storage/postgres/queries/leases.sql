-- name: registerWorker
select r.epoch::text as epoch, r.now_ms::text as now
  from {{schema}}.register_worker($1::text, $2::integer, $3::json, $4::timestamptz) r

-- name: beat
select b.now_ms::text as now, b.alive::text as alive, b.work::text as work, b.mail::text as mail, b.upkeep::text as upkeep
  from {{schema}}.beat($1::bigint, $2::timestamptz) b

-- Workers to be shut out, or shut out by somebody who did not finish.
-- name: expiredWorkers
select w.epoch::text as epoch, (w.fenced_at is not null)::text as is_fenced from {{schema}}.saga_workers w
  where w.ended_at is null
    and (w.fenced_at is not null
      or w.heartbeat_at + w.lease_ms * interval '1 ms' < coalesce($1::timestamptz, clock_timestamp()))
  order by w.epoch

-- name: ownPid
select pg_backend_pid()::text as pid

-- name: fenceWorker
select {{schema}}.fence_worker($1::bigint, $2::boolean, $3::timestamptz)::text as is_fenced

-- name: terminateBlockers
select count(pg_terminate_backend(b.pid))::text as count from unnest(pg_blocking_pids($1::integer)) b(pid)

-- name: releaseOwned
select {{schema}}.release_owned($1::bigint, $2::integer, $3::timestamptz)::text as count

-- name: claimDue
select c.saga_id::text as saga_id, c.adoptions::text as adoptions, c.mail_seq::text as mail_seq,
    c.seq::text as seq, c.at_ms::text as at, c.type, c.step, c.data
  from {{schema}}.claim_due($1::bigint, $2::integer, $3::json, $4::uuid, $5::timestamptz, $6::text[], $7::timestamptz) c

-- name: claimFairly
select c.saga_id::text as saga_id, c.adoptions::text as adoptions, c.mail_seq::text as mail_seq,
    c.seq::text as seq, c.at_ms::text as at, c.type, c.step, c.data, c.stopped_at
  from {{schema}}.claim_fairly($1::bigint, $2::integer, $3::text[], $4::integer[], $5::integer[],
    $6::integer, $7::text[], $8::integer[], $9::json, $10::timestamptz) c

-- name: claimOrphans
select c.saga_id::text as saga_id, c.adoptions::text as adoptions, c.mail_seq::text as mail_seq,
    c.seq::text as seq, c.at_ms::text as at, c.type, c.step, c.data
  from {{schema}}.claim_orphans($1::bigint, $2::integer, $3::bigint, $4::timestamptz) c

-- name: forgottenSagas
select e.saga_id::text as saga_id from {{schema}}.saga_executions e
  where e.owner = $1::bigint and not exists (select from unnest($2::uuid[]) k(saga) where k.saga = e.saga_id)

-- name: ownedSagas
select e.saga_id::text as saga_id, e.adoptions::text as adoptions, e.mail_seq::text as mail_seq,
    v.seq::text as seq, floor(extract(epoch from v.at) * 1000)::bigint::text as at, v.type, v.step, v.data
  from unnest($2::uuid[], $3::timestamptz[]) c(saga, created)
  join {{schema}}.saga_executions e on e.saga_id = c.saga and e.created_at = c.created
  left join {{schema}}.saga_events v on v.saga_id = c.saga and v.created_at = c.created
  where e.owner = $1::bigint
  order by e.saga_id, v.seq
