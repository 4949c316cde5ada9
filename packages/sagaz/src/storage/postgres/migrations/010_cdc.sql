-- What it takes to read events from the write-ahead log.
-- Without downtime: yes, it only creates. Runs inside one transaction.

-- Pending events that the reader has taken off its hands: they are sent from the tables, while the log moves on. A row
-- whose event is not pending any more means nothing.
create table {{schema}}.saga_outbox_left (
  id bigint primary key,
  partition_key text collate "C" not null
);
create index saga_outbox_left_keys on {{schema}}.saga_outbox_left (partition_key, id);

-- One at a time makes a slot, begins to drain, or ends that. A lock of no row: who makes a slot may not have written before.
create function {{schema}}.lock_slot() returns void language sql as $$
  select pg_advisory_xact_lock(hashtext('sagaz slot of {{schema}}'))
$$;

-- To be called before a slot is made: what is pending now does not come by that one, and whoever drains or reads has to begin
-- anew. Answers the epoch for make_slot.
create function {{schema}}.undrain() returns bigint language plpgsql as $$
declare
  v_epoch bigint;
begin
  perform {{schema}}.lock_slot();
  update {{schema}}.saga_delivery d set is_drained = false, epoch = d.epoch + 1 returning d.epoch into v_epoch;
  return v_epoch;
end $$;

-- Makes a worker the reader, unless another one lives or it is not for us to deliver. Answers the epoch of that, or why not.
create function {{schema}}.become_reader(p_worker bigint)
returns table (answer text, epoch bigint, is_drained boolean) language plpgsql as $$
declare
  d record;
begin
  perform {{schema}}.lock_slot();
  perform {{schema}}.hold_fence(p_worker);
  select s.* into d from {{schema}}.saga_delivery s for update;
  if d.mode = 'debezium' then return query select 'debezium', d.epoch, d.is_drained; return; end if;
  if d.mode = 'cdc' and d.reader <> p_worker and {{schema}}.lives(d.reader) then
    return query select 'taken', d.epoch, d.is_drained;
    return;
  end if;
  update {{schema}}.saga_delivery s set mode = 'cdc', epoch = d.epoch + 1, reader = p_worker,
    changed_at = clock_timestamp(), reason = 'a reader came';
  delete from {{schema}}.saga_outbox_left l
    where not exists (select from {{schema}}.saga_outbox_pending p where p.id = l.id);
  return query select 'reader', d.epoch + 1, d.is_drained;
end $$;

-- Throws SZ001 unless this worker is the reader, as of this epoch.
create function {{schema}}.check_reader(p_worker bigint, p_epoch bigint) returns void language plpgsql as $$
begin
  perform from {{schema}}.saga_delivery d where d.mode = 'cdc' and d.reader = p_worker and d.epoch = p_epoch;
  if not found then
    raise exception 'worker % does not read any more', p_worker using errcode = 'SZ001',
      detail = json_build_object('epoch', p_worker);
  end if;
end $$;

-- The same, and while the transaction lasts it stays so.
create function {{schema}}.hold_reader(p_worker bigint, p_epoch bigint) returns void language plpgsql as $$
begin
  perform from {{schema}}.saga_delivery d for share;
  perform {{schema}}.check_reader(p_worker, p_epoch);
end $$;

-- A reader's reading is over: relays go on. Twice does no harm.
create function {{schema}}.end_reading(p_worker bigint, p_epoch bigint, p_reason text) returns void language sql as $$
  update {{schema}}.saga_delivery d set mode = 'relay', epoch = d.epoch + 1, reader = null,
      changed_at = clock_timestamp(), reason = p_reason
    where d.mode = 'cdc' and d.reader = p_worker and d.epoch = p_epoch
$$;

-- What was pending when the slot was made is sent, or left to the tables: from now on the slot brings the rest.
create function {{schema}}.end_drain(p_worker bigint, p_epoch bigint, p_up_to bigint) returns void language plpgsql as $$
begin
  perform {{schema}}.lock_slot();
  perform {{schema}}.hold_reader(p_worker, p_epoch);
  insert into {{schema}}.saga_outbox_left
    select p.id, p.partition_key from {{schema}}.saga_outbox_pending p where p.id <= p_up_to
    on conflict do nothing;
  update {{schema}}.saga_delivery d set is_drained = true;
end $$;

-- Notes what became of events, as settle_events does, for the reader.
create function {{schema}}.settle_streamed(
  p_worker bigint, p_epoch bigint, p_now timestamptz, p_sent bigint[], p_failed json, p_dead json, p_left bigint[]
) returns void language plpgsql
  set jit = off set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
begin
  perform {{schema}}.hold_reader(p_worker, p_epoch);
  perform {{schema}}.settle_events(p_worker, p_now, p_sent, p_failed, p_dead);
  if p_left is not null then
    insert into {{schema}}.saga_outbox_left
      select p.id, p.partition_key from {{schema}}.saga_outbox_pending p where p.id = any (p_left)
      on conflict do nothing;
  end if;
end $$;

-- Notes what became of events that were left, likewise.
create function {{schema}}.settle_left(
  p_worker bigint, p_epoch bigint, p_now timestamptz, p_sent bigint[], p_failed json, p_dead json
) returns void language plpgsql
  set jit = off set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
begin
  perform {{schema}}.hold_reader(p_worker, p_epoch);
  perform {{schema}}.settle_events(p_worker, p_now, p_sent, p_failed, p_dead);
  delete from {{schema}}.saga_outbox_left l where l.id = any (p_sent);
  if p_dead is not null then
    delete from {{schema}}.saga_outbox_left l
      where l.id = any (array(select d.id from json_to_recordset(p_dead) d(id bigint)));
  end if;
end $$;

-- The first of the left events after p_after that are pending, without those of held keys and those in flight: as many as
-- take_events would take. Whatever the
-- planner believes of a table that was empty a moment ago, it is walked by its ids, no further than is wanted. Mostly there
-- are none: then nothing is planned for all the partitions of the log.
create function {{schema}}.take_left(
  p_after bigint, p_limit integer, p_bytes_max bigint, p_held text[], p_in_flight bigint[], p_now timestamptz
) returns table (
  id bigint, wait_ms bigint, attempts smallint, bytes integer, created_ms bigint, shard smallint, event_id text, topic text, key text,
  type text, source text, aggregate_type text, aggregate_id text, correlation_id text, saga_id text, traceparent text,
  headers text, payload text, payload_bytes bytea
) language plpgsql
  set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
  set enable_mergejoin = off set enable_sort = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_ids bigint[];
  v_created timestamptz[];
  v_attempts smallint[];
  v_waits bigint[];
  v_bytes integer[];
  v_sum bigint;
begin
  select array_agg(c.id), array_agg(c.created_at), array_agg(c.attempts),
      array_agg(greatest(0, ceil(extract(epoch from c.available_at - v_now) * 1000))),
      array_agg(c.bytes), sum(c.bytes)
    into v_ids, v_created, v_attempts, v_waits, v_bytes, v_sum from (
      select l.id, p.created_at, p.attempts, p.bytes, p.available_at
        from {{schema}}.saga_outbox_left l join {{schema}}.saga_outbox_pending p on p.id = l.id
        where l.id > p_after and l.partition_key not in (select h.key from unnest(p_held) h(key)) and l.id <> all (p_in_flight)
        order by l.id limit p_limit) c;
  if v_ids is null then return; end if;
  -- Without its id the rest joins nothing.
  if v_sum > p_bytes_max then v_ids := v_ids[:{{schema}}.count_within(v_bytes, p_bytes_max)]; end if;
  return query
    select t.id, t.wait_ms, t.attempts, t.bytes, floor(extract(epoch from t.created_at) * 1000)::bigint, o.shard, o.event_id, o.topic,
        o.partition_key, o.event_type, o.source, o.aggregate_type, o.aggregate_id, o.correlation_id, o.saga_id,
        o.traceparent, o.headers, o.payload, o.payload_bytes
      from unnest(v_ids, v_created, v_attempts, v_waits, v_bytes) t(id, created_at, attempts, wait_ms, bytes)
      cross join lateral (
        select * from {{schema}}.saga_outbox e where e.id = t.id and e.created_at = t.created_at offset 0) o;
end $$;

-- Whether a key has events that were left and are still pending.
create function {{schema}}.is_left(p_key text) returns boolean language sql stable as $$
  select exists (
    select from {{schema}}.saga_outbox_left l join {{schema}}.saga_outbox_pending p on p.id = l.id
      where l.partition_key = p_key)
$$;

-- Looks at events that the log has brought: whether the transactions that wrote them are visible to everybody (a commit is in
-- the log before that, and with a synchronous standby long before), and which of p_ids were sent already, or are left to
-- the tables. p_xids are 32 bits wide, as the log has them. Throws SZ001 for one who does not read any more.
-- Each id is looked up: "exists" would be answered by reading all that is pending, for each batch of a backlog.
create function {{schema}}.look_at_streamed(p_worker bigint, p_epoch bigint, p_xids bigint[], p_ids bigint[])
returns table (is_visible boolean, known bigint[]) language plpgsql
  set jit = off set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_now pg_snapshot := pg_current_snapshot();
  v_next bigint := pg_snapshot_xmax(v_now)::text::bigint;
begin
  perform {{schema}}.check_reader(p_worker, p_epoch);
  if exists (
    select from (
        -- Of all numbers with these 32 bits the one that is nearest to the next transaction's.
        select x.xid + ((v_next - x.xid + 2147483648) >> 32 << 32) as xid from unnest(p_xids) x(xid)) w
      where not pg_visible_in_snapshot(w.xid::text::xid8, v_now))
  then
    return query select false, '{}'::bigint[];
    return;
  end if;
  return query select true, array(
    select i.id from unnest(p_ids) i(id)
      where (select p.id from {{schema}}.saga_outbox_pending p where p.id = i.id) is null
        or (select l.id from {{schema}}.saga_outbox_left l where l.id = i.id) is not null);
end $$;

-- The slot of this schema; a slot's name is one of the whole server.
create function {{schema}}.slot_name() returns text language sql stable as $$
  select left(format('sagaz_%s_%s', d.oid, trim('"' from '{{schema}}')), 63)
    from pg_database d where d.datname = current_database()
$$;

-- Makes the slot, unless somebody has begun to drain, or to make one, since undrain answered this epoch: then what was drained
-- was drained for another slot. Answers whether it was made.
create function {{schema}}.make_slot(p_epoch bigint) returns boolean language plpgsql as $$
begin
  perform {{schema}}.lock_slot();
  if not exists (select from {{schema}}.saga_delivery d where d.epoch = p_epoch) then return false; end if;
  perform pg_create_logical_replication_slot({{schema}}.slot_name(), 'pgoutput');
  return true;
end $$;

-- Whether a publication brings the outbox. It outlives the table, and then brings nothing, in silence.
create function {{schema}}.is_published(p_name text) returns boolean language sql stable as $$
  select exists (
    select from pg_publication p join pg_publication_rel r on r.prpubid = p.oid
      where p.pubname = p_name and p.pubinsert and p.pubviaroot and r.prrelid = '{{schema}}.saga_outbox'::regclass)
$$;

-- Makes the publication if it is missing, or of no use. Only what a message is made of is published, where the server can choose columns.
create function {{schema}}.ensure_publication(p_name text) returns void language plpgsql as $$
begin
  perform pg_advisory_xact_lock(hashtext('sagaz upkeep of {{schema}}'));
  if {{schema}}.is_published(p_name) then return; end if;
  execute format('drop publication if exists %I', p_name);
  execute format(
    'create publication %I for table {{schema}}.saga_outbox %s with (publish = ''insert'', publish_via_partition_root = true)',
    p_name,
    case when current_setting('server_version_num')::integer >= 150000 then
      '(id, created_at, event_id, topic, partition_key, event_type, source, aggregate_id, correlation_id, saga_id,
        traceparent, headers, payload, payload_bytes)'
    end);
end $$;

-- Hands delivery to Debezium or takes it back; for people, with all producers stopped. Refused while events are pending, and
-- before there is a slot besides ours: nobody would send those, or what is written until there is one.
create function {{schema}}.set_delivery(p_mode text, p_reason text) returns void language plpgsql as $$
begin
  if p_mode is null or p_mode not in ('relay', 'debezium') then
    raise exception 'the mode is relay or debezium; an OutboxWorker makes it cdc by itself';
  end if;
  if coalesce(p_reason, '') = '' then raise exception 'say why, for those who wonder later'; end if;
  if p_mode = 'debezium' and not exists (
    select from pg_replication_slots s
      where s.database = current_database() and s.slot_type = 'logical' and s.slot_name <> {{schema}}.slot_name())
  then
    raise exception 'there is no slot for Debezium, and what is written before there is one would not be published'
      using hint = 'First: select pg_create_logical_replication_slot(''sagaz_debezium'', ''pgoutput'')';
  end if;
  perform from {{schema}}.saga_delivery d for update;
  -- Waits for those who are adding events.
  lock table {{schema}}.saga_outbox_pending in exclusive mode;
  if p_mode = 'debezium' and exists (select from {{schema}}.saga_outbox_pending) then
    raise exception 'events are pending, which Debezium would not send: let them go out first';
  end if;
  if p_mode = 'debezium' then
    alter table {{schema}}.saga_outbox_pending enable trigger leave_to_debezium;
  else
    alter table {{schema}}.saga_outbox_pending disable trigger leave_to_debezium;
  end if;
  update {{schema}}.saga_delivery d set mode = p_mode, epoch = d.epoch + 1, reader = null, is_drained = false,
    changed_at = clock_timestamp(), reason = p_reason;
end $$;

-- For people: what has become of each event that the log still has. pending: nobody has its shard. claimed: a relay, or the
-- reader of the log, has it. sent: a broker has it. dead_letter: no broker would have it, and nobody has redriven it.
-- What was added while Debezium delivers has no pending row: that it is sent is to be seen in Kafka.
create view {{schema}}.saga_outbox_events as
  select o.id, o.event_id, o.created_at, o.topic, o.partition_key, o.event_type, o.source, o.correlation_id, o.saga_id,
      case
        when p.id is null and exists (
          select from {{schema}}.saga_dead_letters d
            where d.event_id = o.event_id and d.consumer_name is null and d.redriven_at is null) then 'dead_letter'
        when p.id is null then 'sent'
        when coalesce(s.owner, case when m.mode = 'cdc' then m.reader end) is null then 'pending'
        else 'claimed'
      end as state,
      p.attempts, p.available_at, p.last_error
    from {{schema}}.saga_outbox o
    cross join {{schema}}.saga_delivery m
    left join {{schema}}.saga_outbox_pending p on p.id = o.id
    left join {{schema}}.saga_outbox_shards s on s.shard = p.shard;
