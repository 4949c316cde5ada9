-- Partitions.
-- Without downtime: yes, it only creates. Runs inside one transaction.

-- The partitions that there should be at a time: from the one before (clocks differ) to some ahead, so that writers never
-- wait for one, also where nobody has made any for a while.
create function {{schema}}.wanted_partitions(p_now timestamptz)
returns table (parent text, name text, from_time timestamptz, to_time timestamptz, fill integer)
language sql stable as $$
  select t.parent, t.parent || to_char(s.start, t.suffix), s.start at time zone 'UTC',
      (s.start + t.width) at time zone 'UTC', t.fill
    from (values
      -- Half of a page of saga_executions is kept for the row as it will end: on the same page that costs less.
      ('saga_executions', 'month', interval '1 month', 3, '_YYYY_MM', 50),
      ('saga_events', 'month', interval '1 month', 3, '_YYYY_MM', 100),
      ('saga_dead_letters', 'month', interval '1 month', 3, '_YYYY_MM', 100),
      ('saga_outbox', 'day', interval '1 day', 14, '_YYYY_MM_DD', 100)) t(parent, unit, width, ahead, suffix, fill),
    generate_series(
      date_trunc(t.unit, p_now at time zone 'UTC') - t.width,
      date_trunc(t.unit, p_now at time zone 'UTC') + t.ahead * t.width, t.width) s(start)
$$;

-- Those of them that are missing.
create function {{schema}}.missing_partitions(p_now timestamptz)
returns table (parent text, name text, from_time timestamptz, to_time timestamptz, fill integer)
language sql volatile as $$
  select w.* from {{schema}}.wanted_partitions(p_now) w
    where not exists (
      -- The catalog itself: to_regclass() may answer from what this session knew before it waited for the others.
      select from pg_class c where c.relnamespace = '{{schema}}'::regnamespace and c.relname = w.name)
$$;

-- Makes those that are missing; twice does no harm. A partition is made beside its table and attached: that holds up
-- neither writers nor readers. Other styles than ISO write a time with the name of its zone, and "IST" is read as Israel's.
create function {{schema}}.ensure_partitions(p_now timestamptz) returns integer language plpgsql set datestyle = 'ISO' as $$
declare
  v_made integer := 0;
  m record;
begin
  for m in select * from {{schema}}.missing_partitions(p_now) loop
    execute format('create table {{schema}}.%I (like {{schema}}.%I including all) with (fillfactor = %s)',
      m.name, m.parent, m.fill);
    execute format('alter table {{schema}}.%I attach partition {{schema}}.%I for values from (%L) to (%L)',
      m.parent, m.name, m.from_time, m.to_time);
    v_made := v_made + 1;
  end loop;
  return v_made;
end $$;
