-- The journal's writer: one call writes a batch.
-- Without downtime: yes, it only creates. Runs inside one transaction.
--
-- Functions and not statements, because their plans are kept from call to call without any prepared statement or
-- other session state of ours (a transaction-mode pooler may give us another session each time), and because they
-- name what was wrong: SZ001 fenced, SZ002 conflict, SZ003 definition changed, each with JSON in its detail.
--
-- Plans are fixed to index scans of the primary keys, whatever the planner thinks of the tables: a plan made while a
-- partition was empty would scan it when it is not any more. Hence "offset 0", which keeps a look-up a look-up, and
-- "is not distinct from" where an equals sign would do, because no index serves it: a plan that found a batch's sagas
-- among all that the worker owns would compare each with each. And a range for created_at, not the saga's own: partitions
-- are left out once, when the statement starts, not row by row.

-- Throws SZ001 unless this worker may write. The lock is what a takeover waits for; a heartbeat passes it.
create function {{schema}}.hold_fence(p_epoch bigint) returns void language plpgsql as $$
begin
  perform 1 from {{schema}}.saga_workers w where w.epoch = p_epoch and w.fenced_at is null for key share;
  if not found then
    raise exception 'worker % is fenced', p_epoch using errcode = 'SZ001', detail = json_build_object('epoch', p_epoch);
  end if;
end $$;

-- Puts a request into a saga's mailbox, once, and wakes the saga if nobody owns it. 'missing' when there is no such saga.
create function {{schema}}.put_mail(
  p_mail text, p_saga uuid, p_created timestamptz, p_kind text, p_body text, p_now timestamptz
) returns text language plpgsql as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_row record;
begin
  select e.mail_seq, e.status, e.owner into v_row from {{schema}}.saga_executions e
    where e.saga_id = p_saga and e.created_at = p_created for no key update;
  if not found then return 'missing'; end if;
  insert into {{schema}}.saga_mailbox (saga_id, mail_id, mail_seq, created_at, kind, body, sent_at)
    values (p_saga, p_mail, v_row.mail_seq + 1, p_created, p_kind, p_body, v_now)
    on conflict do nothing;
  if not found then return 'known'; end if;
  if v_row.status = 'forced_closed' then
    perform {{schema}}.refuse_closed(array[p_saga], v_now);
  end if;
  update {{schema}}.saga_executions e set
      mail_seq = e.mail_seq + 1,
      wake_at = case when e.owner is null and e.status <> 'forced_closed' then v_now else e.wake_at end
    where e.saga_id = p_saga and e.created_at = p_created;
  return 'stored';
end $$;

-- A force-closed saga reads no mail: what is in its box is answered here.
create function {{schema}}.refuse_closed(p_sagas uuid[], p_now timestamptz) returns void language sql as $$
  update {{schema}}.saga_mailbox m set
      refused_at = p_now,
      refused_code = 'SAGAZ_SAGA_ENDED',
      refused_details = json_build_object('sagaId', m.saga_id, 'status', 'forced_closed', 'request', m.kind)
    where m.saga_id = any (p_sagas) and m.refused_at is null
$$;

-- What a batch does to each table, one array for each column: a row is what stands in one place of all of them. A column
-- that has no value in any row is null. Four parameters and not forty, since each costs both sides about a microsecond.
create type {{schema}}.event_columns as (
  saga uuid[], created timestamptz[], seq integer[], type text[], step text[], data text[]);

create type {{schema}}.new_saga_columns as (
  saga uuid[], created timestamptz[], name text[], version integer[], hash text[], tenant text[],
  correlation text[], parent uuid[], attributes text[], status text[], waiting text[], parked text[],
  paused boolean[], error text[], output text[], owned boolean[], wake timestamptz[], finished boolean[]);

-- "after" is the seq that the journal is gone on with from, which has to be stored: a journal has no gaps, also when a
-- failover that nobody noticed, because the connection was idle, has lost its tail.
create type {{schema}}.change_columns as (
  saga uuid[], created timestamptz[], after integer[], status text[], waiting text[], parked text[],
  paused boolean[], error text[], output text[], finished boolean[], release boolean[], wake timestamptz[],
  mail_seq integer[], wrote boolean[]);

create type {{schema}}.known_columns as (saga uuid[], created timestamptz[], after integer[]);

-- Writes a batch and answers the time of the write, in milliseconds.
--   p_from, p_to the range of created_at in p_changed and p_checked: with it partitions are left out before a plan starts;
--   p_checked sagas that write events only, to check who owns them;
--   d_ mail that is answered; p_mails new mail, as JSON; p_closed sagas that are force-closed here;
--   p_missing sagas that park for want of their definition; p_definitions what the database may not know yet.
-- Whatever is not in the batch is null: it costs nothing.
create function {{schema}}.append_batch(
  p_epoch bigint, p_now timestamptz, p_floor timestamptz, p_from timestamptz, p_to timestamptz,
  p_events {{schema}}.event_columns, p_news {{schema}}.new_saga_columns, p_changed {{schema}}.change_columns,
  p_checked {{schema}}.known_columns,
  d_saga uuid[], d_mail text[],
  p_mails json, p_closed uuid[], p_missing json, p_definitions json
) returns bigint language plpgsql
  set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_memoize = off
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  -- Journals are never seen to go back in time, also when the database's clock does.
  v_at timestamptz := date_trunc('milliseconds', greatest(v_now, p_floor));
  v_rows bigint;
  v_adopted boolean;
  v_mail record;
begin
  -- As hold_fence does, which is called only to say what is wrong: one call less for each write.
  perform 1 from {{schema}}.saga_workers w where w.epoch = p_epoch and w.fenced_at is null for key share;
  if not found then perform {{schema}}.hold_fence(p_epoch); end if;

  if p_mails is not null then
    -- Rows are locked in one order by everyone who locks rows that others own.
    perform 1 from {{schema}}.saga_executions e
      join (select m.saga as id, m.created as created from json_to_recordset(p_mails) m(saga uuid, created timestamptz)
            union select u.id, u.created from unnest(p_changed.saga, p_changed.created) u(id, created)) l
        on e.saga_id = l.id and e.created_at = l.created
      order by e.saga_id for no key update of e;
  end if;

  if p_news.saga is not null then
    insert into {{schema}}.saga_executions (
        saga_id, created_at, saga_name, version, graph_hash, tenant_id, correlation_id, parent_id, attributes,
        status, waiting_for, parked_reason, paused, error, output, owner, wake_at, updated_at, finished_at)
      select n.saga, n.created, n.name, n.version, n.hash, n.tenant, n.correlation, n.parent, n.attributes::jsonb,
          n.status, n.waiting, n.parked, n.paused, n.error, n.output,
          case when n.owned then p_epoch end,
          -- A time before the saga was born means at once.
          case when n.wake < n.created then least(n.created, v_now) else n.wake end,
          v_at, case when n.finished then v_at end
        from unnest(
            p_news.saga, p_news.created, p_news.name, p_news.version, p_news.hash, p_news.tenant, p_news.correlation,
            p_news.parent, p_news.attributes, p_news.status, p_news.waiting, p_news.parked, p_news.paused, p_news.error,
            p_news.output, p_news.owned, p_news.wake, p_news.finished)
          n(saga, created, name, version, hash, tenant, correlation, parent, attributes,
            status, waiting, parked, paused, error, output, owned, wake, finished);
  end if;

  if p_checked.saga is not null then
    select count(*), coalesce(bool_or(e.adoptions > 0), false) into v_rows, v_adopted
      from unnest(p_checked.saga, p_checked.created, p_checked.after) o(saga, created, after)
      cross join lateral (
        select e.adoptions from {{schema}}.saga_executions e
          where e.saga_id = o.saga and e.created_at between p_from and p_to and e.owner is not distinct from p_epoch
          offset 0) e
      cross join lateral (
        select from {{schema}}.saga_events v
          where v.saga_id = o.saga and v.created_at between p_from and p_to and v.seq = o.after
          offset 0) v;
    if v_rows <> cardinality(p_checked.saga) then
      perform {{schema}}.raise_conflict(p_epoch, p_checked.saga, p_checked.created, p_checked.after);
    end if;
    if v_adopted then
      update {{schema}}.saga_executions e set adoptions = 0
        from unnest(p_checked.saga, p_checked.created) o(saga, created)
        where e.saga_id = o.saga and e.created_at = o.created and e.adoptions > 0
          and e.created_at between p_from and p_to;
    end if;
  end if;

  if p_changed.saga is not null then
    update {{schema}}.saga_executions e set
        status = c.status, waiting_for = c.waiting, parked_reason = c.parked, paused = c.paused,
        error = c.error, output = c.output,
        owner = case when not c.release then e.owner end,
        wake_at = case
          when not c.release then null
          -- More was sent than was taken. (A force-closed saga takes no mail.)
          when e.mail_seq > c.mail_seq and c.status <> 'forced_closed' then v_now
          else c.wake
        end,
        adoptions = case when not c.wrote then e.adoptions else 0 end, updated_at = v_at,
        -- An ended saga that writes on has not ended again.
        finished_at = case
          when not c.finished then null
          when e.status = c.status then coalesce(e.finished_at, v_at)
          else v_at
        end
      from unnest(
          p_changed.saga, p_changed.created, p_changed.after, p_changed.status, p_changed.waiting, p_changed.parked,
          p_changed.paused, p_changed.error, p_changed.output, p_changed.finished, p_changed.release, p_changed.wake,
          p_changed.mail_seq, p_changed.wrote)
        c(saga, created, after, status, waiting, parked, paused, error, output, finished,
          release, wake, mail_seq, wrote)
        cross join lateral (
          select from {{schema}}.saga_events v
            where v.saga_id = c.saga and v.created_at between p_from and p_to and v.seq = c.after
            offset 0) v
      where e.saga_id = c.saga and e.created_at between p_from and p_to and e.owner is not distinct from p_epoch
        -- Always true, but not to the planner: it expects one row, so it looks the target's rows up by their key.
        and c.after between 1 and 2147483647;
    get diagnostics v_rows = row_count;
    if v_rows <> cardinality(p_changed.saga) then
      perform {{schema}}.raise_conflict(p_epoch, p_changed.saga, p_changed.created, p_changed.after);
    end if;
  end if;

  if p_events.saga is not null then
    insert into {{schema}}.saga_events (saga_id, created_at, at, seq, type, step, data)
      select e.saga, e.created, v_at, e.seq, e.type, e.step, e.data
        from unnest(p_events.saga, p_events.created, p_events.seq, p_events.type, p_events.step, p_events.data)
          e(saga, created, seq, type, step, data);
  end if;

  if d_saga is not null then
    delete from {{schema}}.saga_mailbox m using unnest(d_saga, d_mail) d(saga, mail)
      where m.saga_id = d.saga and m.mail_id = d.mail;
  end if;
  if p_mails is not null then
    for v_mail in
      select m.* from json_to_recordset(p_mails)
        m(n integer, id text, saga uuid, created timestamptz, kind text, body text) order by m.saga, m.n
    loop
      perform {{schema}}.put_mail(v_mail.id, v_mail.saga, v_mail.created, v_mail.kind, v_mail.body, p_now);
    end loop;
  end if;
  if p_closed is not null then perform {{schema}}.refuse_closed(p_closed, v_now); end if;
  if p_definitions is not null then perform {{schema}}.note_definitions(p_definitions, v_now); end if;
  if p_missing is not null then perform {{schema}}.wake_held(p_missing, v_now); end if;
  return floor(extract(epoch from v_at) * 1000);
end $$;

-- What append_batch does for a batch that is one event of one saga, which is most of what is written when little goes on:
-- plain parameters and scalar look-ups are less work for the database. The range of created_at is the saga's own here, since
-- a parameter leaves partitions out as well when the plan starts. The fence is locked by a statement of its own, as there:
-- what the next one sees was committed before, or belongs to a takeover that waits.
create function {{schema}}.append_event(
  p_epoch bigint, p_now timestamptz, p_floor timestamptz,
  p_saga uuid, p_created timestamptz, p_seq integer, p_type text, p_step text, p_data text
) returns bigint language plpgsql
  set jit = off set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_at timestamptz := date_trunc('milliseconds', greatest(coalesce(p_now, clock_timestamp()), p_floor));
  v_adoptions integer;
  v_goes_on boolean;
begin
  perform 1 from {{schema}}.saga_workers w where w.epoch = p_epoch and w.fenced_at is null for key share;
  if not found then perform {{schema}}.hold_fence(p_epoch); end if;
  select
      (select e.adoptions from {{schema}}.saga_executions e
        where e.saga_id = p_saga and e.created_at = p_created and e.owner is not distinct from p_epoch),
      (select true from {{schema}}.saga_events v
        where v.saga_id = p_saga and v.created_at = p_created and v.seq = p_seq - 1)
    into v_adoptions, v_goes_on;
  if v_adoptions is null or v_goes_on is null then
    perform {{schema}}.raise_conflict(p_epoch, array[p_saga], array[p_created], array[p_seq - 1]);
  end if;
  insert into {{schema}}.saga_events (saga_id, created_at, at, seq, type, step, data)
    values (p_saga, p_created, v_at, p_seq, p_type, p_step, p_data);
  if v_adoptions > 0 then
    update {{schema}}.saga_executions e set adoptions = 0 where e.saga_id = p_saga and e.created_at = p_created;
  end if;
  return floor(extract(epoch from v_at) * 1000);
end $$;

-- Throws SZ002 for the first of these sagas that this worker does not own, or whose journal ends elsewhere.
create function {{schema}}.raise_conflict(
  p_epoch bigint, p_sagas uuid[], p_created timestamptz[], p_after integer[]
) returns void language plpgsql as $$
declare
  v_saga uuid;
begin
  select s.saga into v_saga from unnest(p_sagas, p_created, p_after) s(saga, created, after)
    left join {{schema}}.saga_executions e on e.saga_id = s.saga and e.created_at = s.created
    where e.owner is distinct from p_epoch or not exists (
      select from {{schema}}.saga_events v
        where v.saga_id = s.saga and v.created_at = s.created and v.seq = s.after)
    order by s.saga limit 1;
  v_saga := coalesce(v_saga, p_sagas[1]); -- when it has come right since
  raise exception 'saga % is not this worker''s (epoch %) to go on with', v_saga, p_epoch
    using errcode = 'SZ002', detail = json_build_object('epoch', p_epoch, 'sagaId', v_saga);
end $$;

-- Wakes those of these sagas whose definition a worker holds after all. A registration locks the definition's row, enters
-- itself, then wakes what is parked; this locks the same row first. So one of the two sees the other.
create function {{schema}}.wake_held(p_sagas json, p_now timestamptz) returns void language plpgsql as $$
begin
  perform 1 from {{schema}}.saga_definitions d
    where exists (
      select from json_to_recordset(p_sagas) s(saga uuid, created timestamptz)
        join {{schema}}.saga_executions e on e.saga_id = s.saga and e.created_at = s.created
        where e.saga_name = d.saga_name and e.version = d.version)
    order by d.saga_name, d.version for share of d;
  update {{schema}}.saga_executions e set wake_at = p_now
    from json_to_recordset(p_sagas) s(saga uuid, created timestamptz)
    where e.saga_id = s.saga and e.created_at = s.created and e.owner is null and e.wake_at is null
      and exists (
        select from {{schema}}.saga_worker_definitions h join {{schema}}.saga_workers w on w.epoch = h.epoch
          where h.saga_name = e.saga_name and h.version = e.version and w.fenced_at is null);
end $$;

-- Definitions that sagas were started of, whether or not a worker holds them: how orphans are found.
create function {{schema}}.note_definitions(p_definitions json, p_now timestamptz) returns void language sql as $$
  insert into {{schema}}.saga_definitions (saga_name, version, graph_hash, held_at)
    select d.name, d.version, d.hash, p_now from json_to_recordset(p_definitions) d(name text, version integer, hash text)
    order by 1, 2
    on conflict do nothing
$$;
