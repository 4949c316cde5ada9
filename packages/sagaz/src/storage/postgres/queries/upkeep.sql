-- name: upkeepLock
select pg_advisory_xact_lock(hashtext('sagaz upkeep of {{schema}}'))

-- name: ensurePartitions
select {{schema}}.ensure_partitions($1::timestamptz)::text as made

-- name: missingPartitions
select count(*)::text as count from {{schema}}.missing_partitions($1::timestamptz)

-- name: mayMakePartitions
select (pg_has_role(c.relowner, 'usage') and has_schema_privilege(c.relnamespace, 'create'))::text as may
  from pg_class c where c.oid = '{{schema}}.saga_outbox'::regclass

-- name: defaultIsolation
select current_setting('default_transaction_isolation') as isolation

-- name: databaseNow
select coalesce($1::timestamptz, clock_timestamp())::text as now,
  floor(extract(epoch from coalesce($1::timestamptz, clock_timestamp())) * 1000)::bigint::text as ms

-- name: removeAnswered
delete from {{schema}}.saga_mailbox m
  where m.refused_at < coalesce($1::timestamptz, clock_timestamp()) - $2::bigint * interval '1 ms'

-- name: removeEndedWorkers
delete from {{schema}}.saga_workers w
  where w.ended_at < coalesce($1::timestamptz, clock_timestamp()) - $2::bigint * interval '1 ms'

-- name: writeProjections
insert into {{schema}}.saga_executions as e (
    saga_id, created_at, saga_name, version, graph_hash, tenant_id, correlation_id, parent_id, attributes,
    status, waiting_for, parked_reason, paused, error, output, wake_at, mail_seq, updated_at, finished_at)
  select p.saga, p.created, p.name, p.version, p.hash, p.tenant, p.correlation, p.parent, p.attributes,
      p.status, p.waiting, p.parked, p.paused, p.error, p.output, p.wake,
      coalesce((select max(m.mail_seq) from {{schema}}.saga_mailbox m where m.saga_id = p.saga), 0), p.updated, p.finished
    from json_to_recordset($1::json) p(
      saga uuid, created timestamptz, name text, version integer, hash text, tenant text, correlation text, parent uuid,
      attributes jsonb, status text, waiting text, parked text, paused boolean, error text, output text,
      wake timestamptz, updated timestamptz, finished timestamptz)
    order by p.saga
  on conflict (saga_id, created_at) do update set
    saga_name = excluded.saga_name, version = excluded.version, graph_hash = excluded.graph_hash,
    tenant_id = excluded.tenant_id, correlation_id = excluded.correlation_id, parent_id = excluded.parent_id,
    attributes = excluded.attributes, status = excluded.status, waiting_for = excluded.waiting_for,
    parked_reason = excluded.parked_reason, paused = excluded.paused, error = excluded.error,
    output = excluded.output, updated_at = excluded.updated_at, finished_at = excluded.finished_at
