-- The inbox: what consumers have processed.
-- Without downtime: yes, it only creates. Runs inside one transaction.

create table {{schema}}.consumer_inbox (
  consumer_name text collate "C" not null,
  event_id text collate "C" not null,
  source_topic text not null,
  event_type text not null,
  processed_at timestamptz not null,
  result text,
  -- Two consumers never shadow each other.
  primary key (consumer_name, event_id)
);
-- For clearing away what is old: a few bytes for every 32 pages, written by vacuum.
create index consumer_inbox_processed on {{schema}}.consumer_inbox using brin (processed_at)
  with (pages_per_range = 32, autosummarize = on);

create index saga_dead_letters_of_consumer on {{schema}}.saga_dead_letters (consumer_name, event_id)
  where consumer_name is not null and redriven_at is null;

-- Notes a message, and tells whether it is new, or what came of it. Planning this takes longer than doing it, and a routine keeps
-- its plans for as long as the connection lives. Whoever comes second waits here until the first has committed, or given up.
create function {{schema}}.note_message(p_consumer text, p_id text, p_topic text, p_type text, p_now timestamptz)
returns table (id text, became text, kept text) language plpgsql as $$
begin
  insert into {{schema}}.consumer_inbox (consumer_name, event_id, source_topic, event_type, processed_at)
    values (p_consumer, p_id, p_topic, p_type, coalesce(p_now, clock_timestamp()))
    on conflict do nothing;
  if found then
    return query select p_id, 'new', null::text;
  else
    return query select i.event_id, 'known', i.result from {{schema}}.consumer_inbox i
      where i.consumer_name = p_consumer and i.event_id = p_id;
  end if;
end $$;

-- The same for several, of which it answers those that are new: as one JSON text, since a row for each is work for both sides.
-- Everyone notes ids in one order, that of the index: two batches never wait for each other.
create function {{schema}}.note_messages(p_consumer text, p_ids text[], p_topics text[], p_types text[], p_now timestamptz)
returns text language plpgsql as $$
declare
  v_new text[];
begin
  with noted as (
    insert into {{schema}}.consumer_inbox (consumer_name, event_id, source_topic, event_type, processed_at)
      select p_consumer, m.id, m.topic, m.type, coalesce(p_now, clock_timestamp())
        from unnest(p_ids, p_topics, p_types) m(id, topic, type)
        order by m.id collate "C"
      on conflict do nothing
      returning event_id)
  select array_agg(n.event_id) into v_new from noted n;
  return array_to_json(v_new);
end $$;

-- Bounds the transaction that calls it: the server would wait for who is frozen or cut off, or for a statement of a handler's that
-- waits for a lock, and others for the notes it holds. A time for statements that the role or the database has set stays.
create function {{schema}}.bound_transaction(p_ms integer) returns void language plpgsql as $$
begin
  perform set_config('idle_in_transaction_session_timeout', p_ms::text, true);
  if current_setting('statement_timeout') = '0' then perform set_config('statement_timeout', p_ms::text, true); end if;
end $$;
