-- Workers: registration, heartbeat, takeover, claims.
-- Without downtime: yes, it only creates. Runs inside one transaction.

-- Enters a worker and what it can run. Throws SZ003 when a version is known with another graph.
create function {{schema}}.register_worker(
  p_name text, p_lease_ms integer, p_definitions json, p_now timestamptz
) returns table (epoch bigint, now_ms bigint) language plpgsql as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_epoch bigint;
  v_changed record;
begin
  insert into {{schema}}.saga_definitions as known (saga_name, version, graph_hash, graph, held_at)
    select d.name, d.version, d.hash, d.graph, v_now
      from json_to_recordset(p_definitions) d(name text, version integer, hash text, graph text)
      order by 1, 2
    on conflict (saga_name, version) do update
      set held_at = v_now, graph_hash = excluded.graph_hash, graph = excluded.graph
      where known.graph is null or known.graph_hash = excluded.graph_hash;
  select d.*, k.graph_hash as known into v_changed
    from json_to_recordset(p_definitions) d(name text, version integer, hash text)
    join {{schema}}.saga_definitions k on k.saga_name = d.name and k.version = d.version
    where k.graph_hash <> d.hash limit 1;
  if found then
    raise exception '% version % has another graph', v_changed.name, v_changed.version using errcode = 'SZ003',
      detail = json_build_object('saga', v_changed.name, 'version', v_changed.version,
        'known', v_changed.known, 'held', v_changed.hash);
  end if;
  insert into {{schema}}.saga_workers (worker_name, lease_ms, registered_at, heartbeat_at)
    values (p_name, p_lease_ms, v_now, v_now) returning saga_workers.epoch into v_epoch;
  insert into {{schema}}.saga_worker_definitions (epoch, saga_name, version)
    select distinct v_epoch, d.name, d.version from json_to_recordset(p_definitions) d(name text, version integer);
  update {{schema}}.saga_executions e set wake_at = v_now
    from json_to_recordset(p_definitions) d(name text, version integer)
    where e.status = 'parked' and e.saga_name = d.name and e.version = d.version
      and e.parked_reason = 'definition_missing' and e.owner is null and e.wake_at is null;
  return query select v_epoch, floor(extract(epoch from v_now) * 1000)::bigint;
end $$;

-- One heartbeat: renews the lease and looks around. Everything it looks at is as small as the work at hand.
create function {{schema}}.beat(p_epoch bigint, p_now timestamptz)
returns table (now_ms bigint, alive boolean, work boolean, mail boolean, upkeep boolean) language plpgsql
  set jit = off set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_alive boolean;
begin
  update {{schema}}.saga_workers w set heartbeat_at = v_now where w.epoch = p_epoch and w.fenced_at is null;
  v_alive := found;
  return query select
    floor(extract(epoch from v_now) * 1000)::bigint,
    v_alive,
    v_alive and exists (
      select from {{schema}}.saga_worker_definitions d, lateral (
        select from {{schema}}.saga_executions e
          where e.owner is null and e.saga_name = d.saga_name and e.version = d.version and e.wake_at <= v_now limit 1) due
      where d.epoch = p_epoch),
    v_alive and exists (
      select from {{schema}}.saga_mailbox m
        join {{schema}}.saga_executions e on e.saga_id = m.saga_id and e.created_at = m.created_at
        where m.refused_at is null and e.owner = p_epoch),
    exists (
      select from {{schema}}.saga_workers w
        where w.epoch <> p_epoch and w.ended_at is null
          and (w.fenced_at is not null or w.heartbeat_at + w.lease_ms * interval '1 ms' < v_now))
    or exists (
      select from {{schema}}.unheld_definitions() d, lateral (
        select from {{schema}}.saga_executions e
          where e.owner is null and e.saga_name = d.saga_name and e.version = d.version and e.wake_at <= v_now limit 1) due);
end $$;

-- Definitions that no worker holds now, and since when.
create function {{schema}}.unheld_definitions() returns table (saga_name text, version integer, held_at timestamptz)
language sql stable as $$
  select d.saga_name, d.version, d.held_at from {{schema}}.saga_definitions d
    where not exists (
      select from {{schema}}.saga_worker_definitions h join {{schema}}.saga_workers w on w.epoch = h.epoch
        where h.saga_name = d.saga_name and h.version = d.version and w.fenced_at is null)
$$;

-- Shuts a worker out: nothing that it sends from now on is written. Waits for its writes in flight up to lock_timeout
-- (55P03). Answers whether it did: false when the worker came back to life or is shut out already.
create function {{schema}}.fence_worker(p_epoch bigint, p_retire boolean, p_now timestamptz) returns boolean
language plpgsql as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
begin
  perform 1 from {{schema}}.saga_workers w
    where w.epoch = p_epoch and w.fenced_at is null
      and (p_retire or w.heartbeat_at + w.lease_ms * interval '1 ms' < v_now)
    for update;
  if not found then return false; end if;
  update {{schema}}.saga_workers w set fenced_at = v_now, retired = p_retire where w.epoch = p_epoch;
  -- From the time on when it held them last, orphans are counted.
  update {{schema}}.saga_definitions d set held_at = greatest(d.held_at, w.heartbeat_at)
    from {{schema}}.saga_worker_definitions h, {{schema}}.saga_workers w
    where h.epoch = p_epoch and w.epoch = p_epoch and d.saga_name = h.saga_name and d.version = h.version;
  delete from {{schema}}.saga_worker_definitions h where h.epoch = p_epoch;
  return true;
end $$;

-- Lets go of at most p_limit sagas of a fenced worker: claimable at once and before what became due later. Answers
-- how many; when none is left, the worker's row is closed.
create function {{schema}}.release_owned(p_epoch bigint, p_limit integer, p_now timestamptz) returns integer
language plpgsql
  set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_count integer;
begin
  update {{schema}}.saga_executions e set
      owner = null, wake_at = least(e.created_at, v_now), updated_at = date_trunc('milliseconds', v_now),
      adoptions = e.adoptions + case when w.retired then 0 else 1 end
    from {{schema}}.saga_workers w, (
      select o.saga_id, o.created_at from {{schema}}.saga_executions o
        where o.owner = p_epoch limit p_limit for update skip locked) c
    where w.epoch = p_epoch and w.fenced_at is not null and e.saga_id = c.saga_id and e.created_at = c.created_at;
  get diagnostics v_count = row_count;
  if v_count = 0 then
    update {{schema}}.saga_workers w set ended_at = v_now
      where w.epoch = p_epoch and w.fenced_at is not null
        and not exists (select from {{schema}}.saga_executions e where e.owner = p_epoch);
  end if;
  return v_count;
end $$;

-- Takes ownership of the given sagas (locked by the caller) and reads their journals.
create function {{schema}}.own_sagas(p_epoch bigint, p_sagas uuid[], p_created timestamptz[])
returns table (saga_id uuid, adoptions integer, mail_seq integer, seq integer, at_ms bigint, type text, step text, data text)
language plpgsql
  set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
begin
  update {{schema}}.saga_executions e set owner = p_epoch, wake_at = null
    from unnest(p_sagas, p_created) c(saga, created) where e.saga_id = c.saga and e.created_at = c.created;
  return query
    select e.saga_id, e.adoptions, e.mail_seq, v.seq, floor(extract(epoch from v.at) * 1000)::bigint, v.type, v.step, v.data
      from unnest(p_sagas, p_created) with ordinality c(saga, created, n)
      join {{schema}}.saga_executions e on e.saga_id = c.saga and e.created_at = c.created
      left join {{schema}}.saga_events v on v.saga_id = c.saga and v.created_at = c.created
      order by c.n, v.seq;
end $$;

-- Claims what is due, longest due first, of the given definitions (or one given saga).
create function {{schema}}.claim_due(
  p_epoch bigint, p_limit integer, p_definitions json, p_saga uuid, p_created timestamptz, p_now timestamptz
) returns table (saga_id uuid, adoptions integer, mail_seq integer, seq integer, at_ms bigint, type text, step text, data text)
language plpgsql
  set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off
as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_sagas uuid[];
  v_created timestamptz[];
begin
  -- Who is shut out gets nothing.
  perform 1 from {{schema}}.saga_workers w where w.epoch = p_epoch and w.fenced_at is null for key share;
  if not found then return; end if;
  if p_saga is null then
    select array_agg(c.saga_id), array_agg(c.created_at) into v_sagas, v_created from (
      select due.* from json_to_recordset(p_definitions) d(name text, version integer), lateral (
        select e.saga_id, e.created_at, e.wake_at from {{schema}}.saga_executions e
          where e.owner is null and e.saga_name = d.name and e.version = d.version and e.wake_at <= v_now
          order by e.owner, e.wake_at limit p_limit for no key update skip locked) due
      order by due.wake_at, due.saga_id limit p_limit) c;
  else
    select array_agg(c.saga_id), array_agg(c.created_at) into v_sagas, v_created from (
      select e.saga_id, e.created_at from {{schema}}.saga_executions e
        where e.saga_id = p_saga and e.created_at = p_created and e.owner is null and e.wake_at <= v_now
          and (e.saga_name, e.version) in (select d.name, d.version from json_to_recordset(p_definitions) d(name text, version integer))
        for no key update skip locked) c;
  end if;
  if v_sagas is not null then
    return query select * from {{schema}}.own_sagas(p_epoch, v_sagas, v_created);
  end if;
end $$;

-- Claims what is due of definitions that nobody has held for a while.
create function {{schema}}.claim_orphans(p_epoch bigint, p_limit integer, p_missing_ms bigint, p_now timestamptz)
returns table (saga_id uuid, adoptions integer, mail_seq integer, seq integer, at_ms bigint, type text, step text, data text)
language plpgsql as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
begin
  return query select c.* from {{schema}}.claim_due(p_epoch, p_limit, (
      select coalesce(json_agg(json_build_object('name', d.saga_name, 'version', d.version)), '[]')
        from {{schema}}.unheld_definitions() d where d.held_at + p_missing_ms * interval '1 ms' <= v_now),
    null, null, p_now) c;
end $$;
