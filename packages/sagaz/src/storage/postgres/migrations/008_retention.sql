-- Retention: days of the outbox's log, and months of sagas, that are older than what is kept.
-- Without downtime: yes, it only creates. Runs inside one transaction.

-- What is kept for how long, for all processes: one that says nothing must not drop what another one is to keep. Null: nobody
-- has said anything yet.
create table {{schema}}.saga_retention (
  single boolean primary key default true check (single),
  ended_kept_days integer,
  outbox_kept_days integer,
  old_outbox_days text
);
insert into {{schema}}.saga_retention default values;

-- Partitions of a table that have ended before p_before: those that are still in it, with whether leaving has begun, and
-- those that have left and were not cleared away, because whoever began was stopped. Their names end with their day or month.
create function {{schema}}.old_partitions(p_table text, p_width interval, p_before timestamptz)
returns table (name text, state text, from_time timestamptz, to_time timestamptz) language sql stable as $$
  select p.name, p.state, p.start at time zone 'UTC', (p.start + p_width) at time zone 'UTC'
    from (
      select c.relname::text as name,
          to_date(left(substr(c.relname, length(p_table) + 2) || '_01', 10), 'YYYY_MM_DD')::timestamp as start,
          case when i.inhrelid is null then 'left' when i.inhdetachpending then 'leaving' else 'attached' end as state
        from pg_class c left join pg_inherits i on i.inhrelid = c.oid
        where c.relnamespace = '{{schema}}'::regnamespace and c.relkind = 'r'
          and c.relname ~ ('^' || p_table || '_\d{4}_\d\d(_\d\d)?$')) p
    where (p.start + p_width) at time zone 'UTC' <= p_before
$$;

-- A time as every session reads it, whatever its settings.
create function {{schema}}.plain_time(p_at timestamptz) returns text language sql immutable as $$
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')
$$;

-- What makes a partition leave its table. It runs by itself: "concurrently" holds up neither writers nor readers, which a
-- drop of a partition would. Null when it has left.
create function {{schema}}.leave_statement(p_table text, p_name text, p_state text) returns text language sql immutable as $$
  select format('alter table {{schema}}.%I detach partition {{schema}}.%I %s', p_table, p_name,
      case p_state when 'attached' then 'concurrently' when 'leaving' then 'finalize' end)
    where p_state <> 'left'
$$;

-- Brings a partition back that has left.
create function {{schema}}.bring_back(p_table text, p_name text, p_from timestamptz, p_to timestamptz) returns void
language plpgsql set datestyle = 'ISO' as $$
begin
  execute format('alter table {{schema}}.%I attach partition {{schema}}.%I for values from (%L) to (%L)',
    p_table, p_name, p_from, p_to);
end $$;

-- Clears away a day that has left the log, or brings it back when an event of it is still to be sent. The look before it
-- left may have missed one that was being written; now nobody can write to it any more. Answers what it did.
create function {{schema}}.clear_outbox_day(p_name text, p_from timestamptz, p_to timestamptz, p_archive boolean) returns text
language plpgsql set lock_timeout = '1s' as $$
begin
  perform pg_advisory_xact_lock(hashtext('sagaz upkeep of {{schema}}'));
  -- Another worker was first. The catalog itself is asked: to_regclass() may answer from what this session knew before.
  perform from {{schema}}.old_partitions('saga_outbox', '1 day', 'infinity') o where o.name = p_name and o.state = 'left';
  if not found then return 'gone'; end if;
  execute format('lock table {{schema}}.%I in access exclusive mode', p_name);
  perform from {{schema}}.saga_outbox_pending p where p.created_at >= p_from and p.created_at < p_to;
  if found then
    perform {{schema}}.bring_back('saga_outbox', p_name, p_from, p_to);
    return 'kept';
  end if;
  if p_archive then
    execute format('alter table {{schema}}.%I rename to %I', p_name, replace(p_name, 'saga_outbox_', 'saga_outbox_archive_'));
    return 'archived';
  end if;
  execute format('drop table {{schema}}.%I', p_name);
  return 'dropped';
end $$;

-- Whether a saga of a month has still something to do, or has to stay for another one: it has not ended, somebody owns it,
-- mail for it is unread, or its parent may still want it undone. Asks the table of that month, in {{schema}}.saga_executions or not.
create function {{schema}}.month_is_needed(p_name text, p_from timestamptz, p_to timestamptz) returns boolean
language plpgsql stable as $$
declare
  v_needed boolean;
begin
  execute format('
    select exists (select from {{schema}}.%1$I e where e.owner is not null or e.wake_at is not null or e.finished_at is null)
      or exists (select from {{schema}}.saga_mailbox m where m.created_at >= $1 and m.created_at < $2 and m.refused_at is null)
      or exists (
        select from {{schema}}.saga_executions p join {{schema}}.%1$I c on c.parent_id = p.saga_id
          where p.finished_at is null and p.created_at < $2)', p_name)
    into v_needed using p_from, p_to;
  return v_needed;
end $$;

-- Looks once more at a month of sagas whose two tables have left: the look before may have missed what was being written,
-- and now nobody can write to it any more. If it is needed it comes back. Answers what is to be done with it.
create function {{schema}}.judge_saga_month(p_month text, p_from timestamptz, p_to timestamptz) returns text
language plpgsql set lock_timeout = '1s' as $$
declare
  v_sagas text := 'saga_executions_' || p_month;
  v_events text := 'saga_events_' || p_month;
begin
  perform pg_advisory_xact_lock(hashtext('sagaz upkeep of {{schema}}'));
  -- Another worker was first, or is at it. The catalog itself is asked: to_regclass() may answer from what this session knew.
  if (select count(*) from (
      select from {{schema}}.old_partitions('saga_executions', '1 month', 'infinity') o where o.name = v_sagas and o.state = 'left'
      union all
      select from {{schema}}.old_partitions('saga_events', '1 month', 'infinity') o where o.name = v_events and o.state = 'left') t) < 2
  then return 'gone'; end if;
  execute format('lock table {{schema}}.%I, {{schema}}.%I in access exclusive mode', v_sagas, v_events);
  if {{schema}}.month_is_needed(v_sagas, p_from, p_to) then
    perform {{schema}}.bring_back('saga_events', v_events, p_from, p_to);
    perform {{schema}}.bring_back('saga_executions', v_sagas, p_from, p_to);
    return 'kept';
  end if;
  return 'left';
end $$;

-- Clears away a month of sagas that has left and is not needed. What another worker has brought back meanwhile, because a parent
-- was taken up again, stays.
create function {{schema}}.drop_saga_month(p_month text) returns void language plpgsql set lock_timeout = '1s' as $$
declare
  v_table text;
begin
  perform pg_advisory_xact_lock(hashtext('sagaz upkeep of {{schema}}'));
  foreach v_table in array array['saga_events', 'saga_executions'] loop
    perform from {{schema}}.old_partitions(v_table, '1 month', 'infinity') o
      where o.name = v_table || '_' || p_month and o.state = 'left';
    if found then execute format('drop table {{schema}}.%I', v_table || '_' || p_month); end if;
  end loop;
end $$;

-- The least UUIDv7 of a time.
create function {{schema}}.first_id(p_at timestamptz) returns uuid language sql immutable as $$
  select (lpad(to_hex(floor(extract(epoch from p_at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
