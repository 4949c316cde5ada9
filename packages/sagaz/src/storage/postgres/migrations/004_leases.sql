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
  -- By the clock, where that is ahead: a standby that takes over, and has lost a registration, does not give its epoch to
  -- another worker, while the first one goes on by it.
  select greatest(coalesce(max(w.epoch), 0) + 1, floor(extract(epoch from v_now) * 1000)) into v_epoch
    from {{schema}}.saga_workers w;
  loop
    begin
      insert into {{schema}}.saga_workers (epoch, worker_name, lease_ms, registered_at, heartbeat_at)
        values (v_epoch, p_name, p_lease_ms, v_now, v_now);
      exit;
    exception when unique_violation then -- somebody else came at the same time
      v_epoch := v_epoch + 1;
    end;
  end loop;
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
  update {{schema}}.saga_outbox_shards s set owner = null where s.owner = p_epoch;
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

-- Claims what is due, longest due first, of the given definitions, at most "room" of each (null: p_limit); or one given
-- saga, unless it is of one of the tenants in p_full.
create function {{schema}}.claim_due(
  p_epoch bigint, p_limit integer, p_definitions json, p_saga uuid, p_created timestamptz, p_full text[], p_now timestamptz
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
      select due.* from json_to_recordset(p_definitions) d(name text, version integer, room integer), lateral (
        select e.saga_id, e.created_at, e.wake_at from {{schema}}.saga_executions e
          where e.owner is null and e.saga_name = d.name and e.version = d.version and e.wake_at <= v_now
          order by e.owner, e.wake_at limit least(p_limit, d.room) for no key update skip locked) due
      order by due.wake_at, due.saga_id limit p_limit) c;
  else
    select array_agg(c.saga_id), array_agg(c.created_at) into v_sagas, v_created from (
      select e.saga_id, e.created_at from {{schema}}.saga_executions e
        where e.saga_id = p_saga and e.created_at = p_created and e.owner is null and e.wake_at <= v_now
          and (e.saga_name, e.version) in (select d.name, d.version from json_to_recordset(p_definitions) d(name text, version integer))
          and (e.tenant_id is null or e.tenant_id <> all (p_full))
        for no key update skip locked) c;
  end if;
  if v_sagas is not null then
    return query select * from {{schema}}.own_sagas(p_epoch, v_sagas, v_created);
  end if;
end $$;

-- Claims as claim_due does, but no more of a tenant than there is room for: l_left[i] of l_tenant[i], p_each of any
-- other; and at most d_room[i] of the i-th definition.
--
-- It looks at the head of each definition's queue, longest due first. Where that is taken up by what is full, it goes
-- on tenant by tenant, along saga_executions_queue: one probe tells which tenant comes next, and passes over all that
-- the one before has waiting. So what is read depends on the limit and the number of probes, never on how much waits.
-- With more tenants than probes the next claim goes on where this one stopped: that is p_after, from stopped_at of
-- this one, which comes with each row, and in a row of its own when nothing was claimed.
create function {{schema}}.claim_fairly(
  p_epoch bigint, p_limit integer, d_name text[], d_version integer[], d_room integer[],
  p_each integer, l_tenant text[], l_left integer[], p_after json, p_now timestamptz
) returns table (
  saga_id uuid, adoptions integer, mail_seq integer, seq integer, at_ms bigint, type text, step text, data text, stopped_at text
) language plpgsql
  set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off
  set enable_sort = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  -- A little more than is asked for: other workers are taking from the same head.
  v_head integer := p_limit + 100;
  v_probes integer := 100;
  v_left jsonb := jsonb_object(l_tenant, l_left::text[]);
  v_seen integer[] := array_fill(0, array[cardinality(d_name)]);
  v_sagas uuid[] := '{}';
  v_created timestamptz[] := '{}';
  v_room integer;
  v_from text;
  v_stopped text := p_after;
  d record;
  t record;
  r record;
begin
  -- Who is shut out gets nothing.
  perform 1 from {{schema}}.saga_workers w where w.epoch = p_epoch and w.fenced_at is null for key share;
  if not found then return; end if;

  for r in
    select o.n, due.* from unnest(d_name, d_version) with ordinality o(name, version, n), lateral (
      select e.saga_id, e.created_at, e.wake_at, coalesce(e.tenant_id, '') as tenant from {{schema}}.saga_executions e
        where e.owner is null and e.saga_name = o.name and e.version = o.version and e.wake_at <= v_now
        order by e.owner, e.wake_at limit v_head) due
      order by due.wake_at, due.saga_id
  loop
    exit when cardinality(v_sagas) = p_limit;
    v_seen[r.n] := v_seen[r.n] + 1;
    v_room := case when r.tenant = '' then p_limit else coalesce((v_left ->> r.tenant)::integer, p_each) end;
    continue when v_room <= 0 or d_room[r.n] <= 0;
    perform 1 from {{schema}}.saga_executions e
      where e.saga_id = r.saga_id and e.created_at = r.created_at and e.owner is null and e.wake_at <= v_now
      for no key update skip locked;
    if found then
      v_sagas := v_sagas || r.saga_id;
      v_created := v_created || r.created_at;
      d_room[r.n] := d_room[r.n] - 1;
      if r.tenant <> '' then v_left := v_left || jsonb_build_object(r.tenant, (v_room - 1)::text); end if;
    end if;
  end loop;

  if cardinality(v_sagas) < p_limit then v_stopped := null; end if;
  for d in
    select o.* from unnest(d_name, d_version) with ordinality o(name, version, n)
      where p_after is null
        or (o.name collate "C", o.version) >= (p_after ->> 'name', (p_after ->> 'version')::integer)
      order by o.name collate "C", o.version
  loop
    exit when cardinality(v_sagas) = p_limit or v_probes = 0;
    -- All of it that is due was in the head, or none of it has room.
    continue when v_seen[d.n] < v_head or d_room[d.n] <= 0;
    v_from := case
      when d.name = p_after ->> 'name' and d.version = (p_after ->> 'version')::integer then p_after ->> 'from' else ''
    end;
    for t in
      with recursive tenants as (
        (select coalesce(e.tenant_id, '') as tenant, e.wake_at from {{schema}}.saga_executions e
          where e.owner is null and e.wake_at is not null and e.saga_name = d.name and e.version = d.version
            and coalesce(e.tenant_id, '') >= v_from
          order by coalesce(e.tenant_id, ''), e.wake_at limit 1)
        union all
        select further.* from tenants before, lateral (
          select coalesce(e.tenant_id, ''), e.wake_at from {{schema}}.saga_executions e
            where e.owner is null and e.wake_at is not null and e.saga_name = d.name and e.version = d.version
              and coalesce(e.tenant_id, '') > before.tenant
            order by coalesce(e.tenant_id, ''), e.wake_at limit 1) further)
      select * from tenants limit v_probes
    loop
      v_probes := v_probes - 1;
      v_room := case when t.tenant = '' then p_limit else coalesce((v_left ->> t.tenant)::integer, p_each) end;
      if t.wake_at <= v_now and v_room > 0 then
        for r in
          select e.saga_id, e.created_at from {{schema}}.saga_executions e
            where e.owner is null and e.saga_name = d.name and e.version = d.version and e.wake_at <= v_now
              and coalesce(e.tenant_id, '') between t.tenant and t.tenant -- a range, so that no other index gives this order
              and e.saga_id <> all (v_sagas) -- locks of our own are not skipped
            order by coalesce(e.tenant_id, ''), e.wake_at
            limit least(v_room, d_room[d.n], p_limit - cardinality(v_sagas)) for no key update skip locked
        loop
          v_sagas := v_sagas || r.saga_id;
          v_created := v_created || r.created_at;
          d_room[d.n] := d_room[d.n] - 1;
          v_room := v_room - 1;
        end loop;
        if t.tenant <> '' then v_left := v_left || jsonb_build_object(t.tenant, v_room::text); end if;
      end if;
      if cardinality(v_sagas) = p_limit or v_probes = 0 then
        -- No tenant is between this one and itself with the least of all letters after it.
        v_stopped := json_build_object('name', d.name, 'version', d.version, 'from', t.tenant || chr(1));
        exit;
      end if;
      exit when d_room[d.n] <= 0;
    end loop;
  end loop;

  if cardinality(v_sagas) > 0 then
    return query select o.*, v_stopped from {{schema}}.own_sagas(p_epoch, v_sagas, v_created) o;
  elsif v_stopped is not null then
    return query select null::uuid, null::integer, null::integer, null::integer, null::bigint, null, null, null, v_stopped;
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
    null, null, '{}', p_now) c;
end $$;
