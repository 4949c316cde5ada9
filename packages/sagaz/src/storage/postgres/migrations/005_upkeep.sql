-- Partitions.
-- Without downtime: yes, it only creates. Runs inside one transaction.

-- Makes the partitions of the months from p_from to p_to that are missing; twice does no harm. A partition is made
-- beside its table and attached: that holds up neither writers nor readers.
create function {{schema}}.ensure_partitions(p_from timestamptz, p_to timestamptz) returns integer language plpgsql as $$
declare
  v_month timestamp := date_trunc('month', p_from at time zone 'UTC');
  v_table text;
  v_name text;
  v_made integer := 0;
begin
  while v_month <= p_to at time zone 'UTC' loop
    foreach v_table in array array['saga_executions', 'saga_events'] loop
      v_name := v_table || to_char(v_month, '_YYYY_MM');
      -- The catalog itself: to_regclass() may answer from what this session knew before it waited for the others.
      if not exists (select from pg_class c where c.relnamespace = '{{schema}}'::regnamespace and c.relname = v_name) then
        -- Half of a page of saga_executions is kept for the row as it will end: on the same page that costs less.
        execute format('create table {{schema}}.%I (like {{schema}}.%I including all) with (fillfactor = %s)',
          v_name, v_table, case v_table when 'saga_executions' then 50 else 100 end);
        execute format('alter table {{schema}}.%I attach partition {{schema}}.%I for values from (%L) to (%L)',
          v_table, v_name, v_month::text || '+00', (v_month + interval '1 month')::text || '+00');
        v_made := v_made + 1;
      end if;
    end loop;
    v_month := v_month + interval '1 month';
  end loop;
  return v_made;
end $$;
