-- Starts with idempotency keys, and starts inside the caller's transaction.
-- Without downtime: yes, it only creates. Runs inside one transaction.

-- Starts sagas by key. Each key is inserted or waited for in order of key, so that two batches cannot wait for each
-- other. Answers which of them are new and which saga holds the key of the others. Throws 55P03 when a key has been
-- held by another open transaction for longer than p_lock_ms.
create function {{schema}}.start_keyed(
  p_epoch bigint, p_now timestamptz, p_floor timestamptz, p_lock_ms integer, k_key text[], k_input_hash text[],
  p_news {{schema}}.new_saga_columns, e_type text[], e_data text[], p_definitions json
) returns table (n bigint, is_new boolean, held_by uuid, same_input boolean) language plpgsql
  set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_at timestamptz := date_trunc('milliseconds', greatest(v_now, p_floor));
  v_new uuid[];
begin
  perform set_config('lock_timeout', p_lock_ms::text, true);
  -- A process that runs nothing may start sagas for others to run: it has no epoch.
  if p_epoch is not null then perform {{schema}}.hold_fence(p_epoch); end if;
  with taken as (
    insert into {{schema}}.saga_idempotency_keys (tenant_id, saga_name, key, saga_id, input_hash)
      select coalesce(k.tenant, ''), k.name, k.key, k.saga, k.input_hash
        from unnest(k_key, k_input_hash, p_news.saga, p_news.name, p_news.tenant) k(key, input_hash, saga, name, tenant)
        order by 1, 2, 3, 4
      on conflict do nothing returning saga_id)
    select coalesce(array_agg(t.saga_id), '{}') into v_new from taken t;
  insert into {{schema}}.saga_executions (
      saga_id, created_at, saga_name, version, graph_hash, tenant_id, correlation_id, parent_id, attributes,
      status, waiting_for, owner, wake_at, updated_at)
    select n.saga, n.created, n.name, n.version, n.hash, n.tenant, n.correlation, n.parent, n.attributes::jsonb,
        n.status, n.waiting, case when n.owned then p_epoch end,
        case when n.wake < n.created then least(n.created, v_now) else n.wake end, v_at
      from unnest(
          p_news.saga, p_news.created, p_news.name, p_news.version, p_news.hash, p_news.tenant, p_news.correlation,
          p_news.parent, p_news.attributes, p_news.status, p_news.waiting, p_news.owned, p_news.wake)
        n(saga, created, name, version, hash, tenant, correlation, parent, attributes, status, waiting, owned, wake)
      where n.saga = any (v_new);
  insert into {{schema}}.saga_events (saga_id, created_at, at, seq, type, step, data)
    select e.saga, e.created, v_at, 1, e.type, null, e.data
      from unnest(p_news.saga, p_news.created, e_type, e_data) e(saga, created, type, data) where e.saga = any (v_new);
  if p_definitions is not null then perform {{schema}}.note_definitions(p_definitions, v_now); end if;
  return query
    select k.n, k.saga = any (v_new), h.saga_id, h.input_hash is not distinct from k.input_hash
      from unnest(k_key, k_input_hash, p_news.saga, p_news.name, p_news.tenant)
          with ordinality k(key, input_hash, saga, name, tenant, n)
      join {{schema}}.saga_idempotency_keys h
        on h.tenant_id = coalesce(k.tenant, '') and h.saga_name = k.name and h.key = k.key
      order by k.n;
end $$;

-- Starts one unowned saga in the transaction of whoever calls. Everything comes as one JSON text and goes as one: so
-- every driver can call it. A key held for longer than a second answers "busy" and leaves the transaction usable.
create function {{schema}}.start_in(p_start text, p_now timestamptz) returns text language plpgsql
  set lock_timeout = '1s' set jit = off set enable_seqscan = off
as $$
declare
  s record;
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_at timestamptz := date_trunc('milliseconds', v_now);
  v_held record;
begin
  select * into s from json_to_record(p_start::json) s(
    saga uuid, created timestamptz, name text, version integer, hash text, tenant text, correlation text, parent uuid,
    attributes text, wake timestamptz, key text, input_hash text, type text, data text);
  if s.key is not null then
    begin
      insert into {{schema}}.saga_idempotency_keys (tenant_id, saga_name, key, saga_id, input_hash)
        values (coalesce(s.tenant, ''), s.name, s.key, s.saga, s.input_hash) on conflict do nothing;
    exception when lock_not_available then
      return json_build_object('kind', 'busy');
    end;
    if not found then
      select k.saga_id, k.input_hash into v_held from {{schema}}.saga_idempotency_keys k
        where k.tenant_id = coalesce(s.tenant, '') and k.saga_name = s.name and k.key = s.key;
      return json_build_object('kind', 'existing', 'sagaId', v_held.saga_id,
        'sameInput', v_held.input_hash is not distinct from s.input_hash);
    end if;
  end if;
  insert into {{schema}}.saga_executions (
      saga_id, created_at, saga_name, version, graph_hash, tenant_id, correlation_id, parent_id, attributes,
      status, waiting_for, wake_at, updated_at)
    values (s.saga, s.created, s.name, s.version, s.hash, s.tenant, s.correlation, s.parent, s.attributes::jsonb,
      'pending', 'start', coalesce(s.wake, least(s.created, v_now)), v_at);
  insert into {{schema}}.saga_events (saga_id, created_at, at, seq, type, step, data)
    values (s.saga, s.created, v_at, 1, s.type, null, s.data);
  perform {{schema}}.note_definitions(json_build_array(json_build_object('name', s.name, 'version', s.version, 'hash', s.hash)), v_now);
  return json_build_object('kind', 'started', 'sagaId', s.saga);
end $$;
