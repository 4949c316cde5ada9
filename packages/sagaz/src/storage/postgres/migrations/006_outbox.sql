-- The outbox: events that wait to be published, and those that could not be.
-- Without downtime: yes, it only creates. Runs inside one transaction.
--
-- saga_outbox is a log: rows are inserted and never changed, and old days leave as partitions. What is still to be sent
-- stands in saga_outbox_pending, as narrow as can be, since deleting its row is what a relay writes for each event.
-- An event is pending as long as it has a row there.

create sequence {{schema}}.saga_outbox_id as bigint;

create table {{schema}}.saga_outbox (
  -- Of two transactions of which one began after the other had committed, the later one has the higher ids.
  id bigint not null default nextval('{{schema}}.saga_outbox_id'),
  created_at timestamptz not null,
  shard smallint not null,
  event_id text collate "C" not null,
  topic text collate "C" not null,
  partition_key text collate "C" not null,
  event_type text collate "C" not null,
  source text not null,
  aggregate_type text collate "C",
  aggregate_id text collate "C",
  correlation_id text collate "C",
  saga_id text collate "C",
  traceparent text,
  headers text,
  payload text,
  payload_bytes bytea,
  primary key (id, created_at)
) partition by range (created_at);
-- The flow of one correlation id. Paid for only by those who set one.
create index saga_outbox_by_correlation on {{schema}}.saga_outbox (correlation_id, id) where correlation_id is not null;

create table {{schema}}.saga_outbox_pending (
  id bigint primary key,
  created_at timestamptz not null,
  -- Not before this time, nor what follows it in its key. Null: at once.
  available_at timestamptz,
  shard smallint not null,
  attempts smallint not null default 0,
  -- Of its payload: relays take no more at a time than they have room for.
  bytes integer not null,
  partition_key text collate "C" not null,
  last_error text
) with (
  -- Rows live for moments: what is dead is cleared away by number, not by share, and at once.
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_vacuum_insert_scale_factor = 1, vacuum_truncate = off);

-- Who relays which shard of keys. A shard whose owner is fenced is nobody's.
create table {{schema}}.saga_outbox_shards (
  shard smallint primary key,
  owner bigint
) with (fillfactor = 30);
insert into {{schema}}.saga_outbox_shards (shard) select generate_series(0, 63);

-- Who delivers. relay: relays share the keys and poll. cdc: one worker, the reader, gets events from the log; the others
-- hold no shards. debezium: none of ours; events have no pending rows.
create table {{schema}}.saga_delivery (
  is_only boolean primary key default true check (is_only),
  mode text not null default 'relay' check (mode in ('relay', 'cdc', 'debezium')),
  -- Raised whenever the mode or the reader changes: what a reader of an earlier one notes is refused.
  epoch bigint not null default 1,
  -- The worker that reads, by its epoch.
  reader bigint,
  -- False: events may be pending that committed before the slot was made, so that it does not bring them.
  is_drained boolean not null default false,
  changed_at timestamptz not null default clock_timestamp(),
  reason text not null default 'as it begins'
);
insert into {{schema}}.saga_delivery default values;

-- Workers that relay.
alter table {{schema}}.saga_workers add column relays boolean not null default false;

-- Debezium has no use for pending rows, and deletes none. Enabled as long as it delivers, so that others pay nothing for it;
-- and whoever adds an event sees it at once, however old his snapshot is.
create function {{schema}}.leave_to_debezium() returns trigger language plpgsql as 'begin return null; end';
create trigger leave_to_debezium before insert on {{schema}}.saga_outbox_pending
  for each row execute function {{schema}}.leave_to_debezium();
alter table {{schema}}.saga_outbox_pending disable trigger leave_to_debezium;

create sequence {{schema}}.saga_dead_letter_id as bigint;

create table {{schema}}.saga_dead_letters (
  id bigint not null default nextval('{{schema}}.saga_dead_letter_id'),
  died_at timestamptz not null,
  -- The consumer that could not process it; null when no broker would have it.
  consumer_name text collate "C",
  event_id text collate "C" not null,
  topic text collate "C" not null,
  partition_key text collate "C" not null,
  event_type text collate "C" not null,
  source text not null,
  aggregate_type text collate "C",
  aggregate_id text collate "C",
  correlation_id text collate "C",
  saga_id text collate "C",
  traceparent text,
  headers text,
  payload text,
  payload_bytes bytea,
  created_at timestamptz not null,
  attempts integer not null,
  error_code text not null,
  error text not null,
  stack text,
  redriven_at timestamptz,
  redriven_by text,
  primary key (id, died_at)
) partition by range (died_at);
create index saga_dead_letters_open on {{schema}}.saga_dead_letters (id) where redriven_at is null;

-- Rows of saga_outbox, one array for each column.
create type {{schema}}.outbox_columns as (
  shard integer[], event_id text[], topic text[], key text[], type text[], source text[], aggregate_type text[],
  aggregate_id text[], correlation_id text[], saga_id text[], traceparent text[], headers text[], payload text[],
  payload_bytes text[]);

-- What is left to Debezium has to be what its router can send: it takes a payload from one column, and would make a topic of a
-- URL. No name of a topic has a colon.
create function {{schema}}.refuse_undeliverable(p_topic text, p_payload_bytes text) returns void language plpgsql as $$
begin
  if p_payload_bytes is not null then
    raise exception 'under debezium a payload is JSON: bytes would be published as nothing' using errcode = '0A000';
  elsif strpos(p_topic, ':') > 0 then
    raise exception 'under debezium nothing is sent by HTTP: an event for a URL would be lost' using errcode = '0A000';
  end if;
end $$;

-- What this server is called in this life. Another one may give out ids again that this one has given out.
create function {{schema}}.server_life() returns text language plpgsql stable as $$
begin
  return extract(epoch from pg_postmaster_start_time())::text;
end $$;

-- Which of these events wait behind an earlier one of their key; and the lowest id after p_after that waits beside them. Behind
-- very many others all of them do: then relays have work enough. What p_after says holds for the life in which it was learnt.
create function {{schema}}.behind_others(
  p_ids bigint[], p_keys text[], p_after bigint, p_life text, out behind bigint[], out lowest bigint
) language plpgsql
  set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_most constant integer := 1000;
  v_after bigint := case when p_life = {{schema}}.server_life() then p_after else 0 end;
  v_others bigint[];
  v_keys text[];
begin
  select array_agg(o.id order by o.id), array_agg(o.partition_key order by o.id) into v_others, v_keys from (
    select p.id, p.partition_key from {{schema}}.saga_outbox_pending p
      where p.id > v_after and p.id < (select max(m) from unnest(p_ids) m) and p.id <> all (p_ids)
      order by p.id limit v_most) o;
  lowest := v_others[1];
  if cardinality(v_others) = v_most then
    behind := p_ids;
  elsif v_others is not null then
    behind := array(
      select m.id from unnest(p_ids, p_keys) m(id, key)
        join (select o.key, min(o.id) as id from unnest(v_others, v_keys) o(id, key) group by o.key) first
          on first.key = m.key and first.id < m.id);
  end if;
end $$;

-- Adds events in the transaction that calls it. With p_hold_ms relays leave them alone for so long, for somebody who
-- knows of the commit to send them. Answers the ids of what is held, in their order, and the time. Under cdc nothing is held for
-- a publisher, since the reader is as quick, and both would send it.
-- It also answers which of them wait behind others, as behind_others. Where nobody looks before the commit that may be all of
-- them, and nothing is known of what waits after p_after: without p_after, and in a transaction that does not see what has
-- committed since it began.
create function {{schema}}.add_events(
  p_events {{schema}}.outbox_columns, p_now timestamptz, p_hold_ms integer, p_after bigint, p_life text,
  out ids bigint[], out at_ms bigint, out behind bigint[], out lowest bigint
) language plpgsql
  set jit = off
as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_is_held boolean := p_hold_ms is not null and exists (select from {{schema}}.saga_delivery d where d.mode = 'relay');
begin
  at_ms := floor(extract(epoch from v_now) * 1000);
  with logged as (
    insert into {{schema}}.saga_outbox (
        created_at, shard, event_id, topic, partition_key, event_type, source, aggregate_type, aggregate_id, correlation_id,
        saga_id, traceparent, headers, payload, payload_bytes)
      select v_now, e.shard, e.event_id, e.topic, e.key, e.type, e.source, e.aggregate_type, e.aggregate_id, e.correlation_id,
          e.saga_id, e.traceparent, e.headers, e.payload, decode(e.payload_bytes, 'base64')
        from unnest(p_events.shard, p_events.event_id, p_events.topic, p_events.key, p_events.type, p_events.source,
            p_events.aggregate_type, p_events.aggregate_id, p_events.correlation_id, p_events.saga_id,
            p_events.traceparent, p_events.headers, p_events.payload, p_events.payload_bytes)
          with ordinality e(shard, event_id, topic, key, type, source, aggregate_type, aggregate_id, correlation_id,
            saga_id, traceparent, headers, payload, payload_bytes, n)
        order by e.n
      returning id, shard, partition_key, coalesce(octet_length(payload), octet_length(payload_bytes)) as bytes),
  pended as (
    insert into {{schema}}.saga_outbox_pending (id, created_at, shard, bytes, partition_key, available_at)
      select l.id, v_now, l.shard, l.bytes, l.partition_key,
          case when v_is_held then v_now + p_hold_ms * interval '1 ms' end
        from logged l
      returning id)
  select array_agg(p.id order by p.id) into ids from pended p;
  if ids is null then
    perform {{schema}}.refuse_undeliverable(e.topic, e.bytes) from unnest(p_events.topic, p_events.payload_bytes) e(topic, bytes);
  elsif not v_is_held then
    ids := null;
  elsif p_after is null or current_setting('transaction_isolation') <> 'read committed' then
    behind := ids;
    lowest := p_after + 1;
  else
    select b.behind, b.lowest into behind, lowest from {{schema}}.behind_others(ids, p_events.key, p_after, p_life) b;
  end if;
end $$;

-- The same for one event in the transaction of a user, through whatever driver. A routine keeps its plans for as long as
-- the connection lives, where planning them anew for each caller takes longer than doing what they say; to call a procedure
-- needs no plan either, and answers nothing that a driver would read. p_event has the fields of an outbox_columns up to its
-- headers: one array costs less than a parameter for each. The payload is by itself: in an array it would be escaped.
-- Nothing is looked up, declared or answered: together that took an eighth of it. The time of the statement is the same for
-- both rows; and that Debezium delivers is seen by a trigger.
create procedure {{schema}}.add_event(p_now timestamptz, p_event text[], p_payload text, p_payload_bytes text)
language plpgsql as $$
begin
  -- First this table, whose lock is to be held before an id is taken: see undecided_ids.
  insert into {{schema}}.saga_outbox_pending (id, created_at, shard, bytes, partition_key)
    values (nextval('{{schema}}.saga_outbox_id'), coalesce(p_now, statement_timestamp()), p_event[1]::smallint,
        coalesce(octet_length(p_payload), octet_length(decode(p_payload_bytes, 'base64'))), p_event[4]);
  if not found then -- it is left to Debezium
    perform {{schema}}.refuse_undeliverable(p_event[3], p_payload_bytes);
  end if;
  insert into {{schema}}.saga_outbox (
      id, created_at, shard, event_id, topic, partition_key, event_type, source, aggregate_type, aggregate_id, correlation_id,
      saga_id, traceparent, headers, payload, payload_bytes)
    values (currval('{{schema}}.saga_outbox_id'), coalesce(p_now, statement_timestamp()), p_event[1]::smallint,
      p_event[2], p_event[3], p_event[4], p_event[5], p_event[6], p_event[7], p_event[8], p_event[9], p_event[10], p_event[11],
      p_event[12], p_payload, decode(p_payload_bytes, 'base64'));
end $$;

-- The same, held for whoever knows of the commit: answers as add_events.
create function {{schema}}.add_held_event(
  p_now timestamptz, p_hold_ms integer, p_after bigint, p_life text, p_event text[], p_payload text, p_payload_bytes text,
  out ids bigint[], out at_ms bigint, out behind bigint[], out lowest bigint
) language plpgsql
  set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_id bigint;
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_payload bytea := decode(p_payload_bytes, 'base64');
  v_is_behind boolean := true;
  v_after bigint := case when p_life = {{schema}}.server_life() then p_after else 0 end;
begin
  at_ms := floor(extract(epoch from v_now) * 1000);
  insert into {{schema}}.saga_outbox_pending as p (id, created_at, shard, bytes, partition_key, available_at)
    select nextval('{{schema}}.saga_outbox_id'), v_now, p_event[1]::smallint,
        coalesce(octet_length(p_payload), octet_length(v_payload)), p_event[4],
        v_now + p_hold_ms * interval '1 ms'
      from {{schema}}.saga_delivery d where d.mode = 'relay'
    returning p.id into v_id;
  if v_id is null then
    call {{schema}}.add_event(v_now, p_event, p_payload, p_payload_bytes);
    return;
  end if;
  insert into {{schema}}.saga_outbox (
      id, created_at, shard, event_id, topic, partition_key, event_type, source, aggregate_type, aggregate_id,
      correlation_id, saga_id, traceparent, headers, payload, payload_bytes)
    values (v_id, v_now, p_event[1]::smallint, p_event[2], p_event[3], p_event[4], p_event[5], p_event[6], p_event[7],
      p_event[8], p_event[9], p_event[10], p_event[11], p_event[12], p_payload, v_payload);
  -- behind_others for one, at half its price.
  if p_after is not null and current_setting('transaction_isolation') = 'read committed' then
    select min(o.id), count(*) = 1000 or coalesce(bool_or(o.partition_key = p_event[4]), false) into lowest, v_is_behind from (
      select p.id, p.partition_key from {{schema}}.saga_outbox_pending p
        where p.id > v_after and p.id < v_id order by p.id limit 1000) o;
  else
    lowest := p_after + 1;
  end if;
  ids := array[v_id];
  if v_is_behind then behind := ids; end if;
end $$;

-- Whether a worker is registered and not shut out.
create function {{schema}}.lives(p_epoch bigint) returns boolean language sql stable as $$
  select exists (select from {{schema}}.saga_workers w where w.epoch = p_epoch and w.fenced_at is null)
$$;

-- Takes free shards up to a fair share, and answers those that this relay holds. Relays hold nothing while a reader of the
-- log lives, or while it is for Debezium to deliver. Where the reader is gone, and no other has come, they go on by themselves.
create function {{schema}}.balance_shards(p_epoch bigint) returns table (held smallint[], share integer)
language plpgsql as $$
declare
  v_mode text;
  v_share integer := 0;
begin
  perform {{schema}}.hold_fence(p_epoch);
  update {{schema}}.saga_workers w set relays = true where w.epoch = p_epoch and not w.relays;
  select d.mode into v_mode from {{schema}}.saga_delivery d;
  if v_mode = 'cdc' then
    update {{schema}}.saga_delivery d set mode = 'relay', epoch = d.epoch + 1, reader = null,
        changed_at = clock_timestamp(), reason = 'the reader is gone'
      where d.mode = 'cdc' and not {{schema}}.lives(d.reader);
    if found then v_mode := 'relay'; end if;
  end if;
  if v_mode = 'relay' then
    select ceil(64.0 / count(*)) into v_share from {{schema}}.saga_workers w where w.relays and w.fenced_at is null;
  end if;
  update {{schema}}.saga_outbox_shards s set owner = p_epoch
    where s.shard in (
      select f.shard from {{schema}}.saga_outbox_shards f where f.owner is null
        order by f.shard
        limit greatest(0, v_share - (select count(*) from {{schema}}.saga_outbox_shards o where o.owner = p_epoch))
        for update skip locked);
  return query select array_agg(s.shard order by s.shard), v_share
    from {{schema}}.saga_outbox_shards s where s.owner = p_epoch;
end $$;

-- How many of these come before their sum reaches a bound: one at least.
create function {{schema}}.count_within(p_bytes integer[], p_bytes_max bigint) returns integer
language plpgsql immutable as $$
declare
  v_count integer := 0;
  v_sum bigint := 0;
begin
  while v_sum < p_bytes_max and v_count < cardinality(p_bytes) loop
    v_count := v_count + 1;
    v_sum := v_sum + p_bytes[v_count];
  end loop;
  return v_count;
end $$;

-- The oldest pending events after p_after of the shards whose bits are set, without those of held keys: p_limit at most,
-- and none after those whose payloads reach p_bytes_max. Ids first and
-- events after, so that the partitions that are read are known before that plan starts. Where most of a range of ids is
-- wanted the log is read through and merged, which takes half of the work of looking up each: "offset 0" keeps the
-- planner from that, and "lateral" from the other. Held keys may be many: as a subquery they are hashed, where an array would be
-- gone through for each row.
create function {{schema}}.take_events(
  p_after bigint, p_shards bigint, p_limit integer, p_bytes_max bigint, p_held text[], p_now timestamptz
) returns table (
  id bigint, wait_ms bigint, attempts integer, bytes integer, created_ms bigint, shard smallint, event_id text, topic text, key text,
  type text, source text, aggregate_type text, aggregate_id text, correlation_id text, saga_id text, traceparent text,
  headers text, payload text, payload_bytes bytea
) language plpgsql
  set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
  set enable_nestloop = off set enable_memoize = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_ids bigint[];
  v_created timestamptz[];
  v_attempts integer[];
  v_waits bigint[];
  v_bytes integer[];
  v_sum bigint;
  v_first bigint;
  v_last bigint;
  v_from timestamptz;
  v_to timestamptz;
begin
  select array_agg(c.id), array_agg(c.created_at), array_agg(c.attempts),
      array_agg(greatest(0, ceil(extract(epoch from c.available_at - v_now) * 1000))),
      array_agg(c.bytes), sum(c.bytes), min(c.created_at), max(c.created_at)
    into v_ids, v_created, v_attempts, v_waits, v_bytes, v_sum, v_from, v_to from (
      select p.id, p.created_at, p.attempts, p.bytes, p.available_at from {{schema}}.saga_outbox_pending p
        where p.id > p_after and (p_shards >> p.shard) & 1 = 1 and p.partition_key not in (select h.key from unnest(p_held) h(key))
        order by p.id limit p_limit) c;
  if v_ids is null then return; end if;
  -- Without its id the rest joins nothing.
  if v_sum > p_bytes_max then v_ids := v_ids[:{{schema}}.count_within(v_bytes, p_bytes_max)]; end if;
  v_first := v_ids[1];
  v_last := v_ids[cardinality(v_ids)];
  if v_last - v_first < 3 * cardinality(v_ids) then
    return query
      select t.id, t.wait_ms, t.attempts, t.bytes, floor(extract(epoch from t.created_at) * 1000)::bigint, o.shard,
          o.event_id, o.topic, o.partition_key, o.event_type, o.source, o.aggregate_type, o.aggregate_id,
          o.correlation_id, o.saga_id, o.traceparent, o.headers, o.payload, o.payload_bytes
        from unnest(v_ids, v_created, v_attempts, v_waits, v_bytes) t(id, created_at, attempts, wait_ms, bytes)
        join (
          select * from {{schema}}.saga_outbox l
            where l.id between v_first and v_last and l.created_at between v_from and v_to
            order by l.id offset 0) o on o.id = t.id
        order by t.id;
  else
    return query
      select t.id, t.wait_ms, t.attempts, t.bytes, floor(extract(epoch from t.created_at) * 1000)::bigint, o.shard,
          o.event_id, o.topic, o.partition_key, o.event_type, o.source, o.aggregate_type, o.aggregate_id,
          o.correlation_id, o.saga_id, o.traceparent, o.headers, o.payload, o.payload_bytes
        from unnest(v_ids, v_created, v_attempts, v_waits, v_bytes) t(id, created_at, attempts, wait_ms, bytes)
        cross join lateral (
          select * from {{schema}}.saga_outbox l
            where l.id = t.id and l.created_at = t.created_at and l.created_at between v_from and v_to offset 0) o;
  end if;
end $$;

-- Notes what became of events. What is sent is deleted; what failed waits; what is dead goes to the dead letters. Of those
-- some have mail for a saga. If that is here, it asks again itself, and the letter is closed.
create function {{schema}}.settle_events(
  p_epoch bigint, p_now timestamptz, p_sent bigint[], p_failed json, p_dead json
) returns void language plpgsql
  set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_told bigint[] := '{}';
  v_one record;
begin
  perform 1 from {{schema}}.saga_workers w where w.epoch = p_epoch and w.fenced_at is null for key share;
  if not found then perform {{schema}}.hold_fence(p_epoch); end if;
  delete from {{schema}}.saga_outbox_pending p where p.id = any (p_sent);
  if p_failed is not null then
    update {{schema}}.saga_outbox_pending p set
        attempts = f.attempts, available_at = v_now + f.delay * interval '1 ms', last_error = f.error
      from json_to_recordset(p_failed) f(id bigint, attempts smallint, delay bigint, error text) where p.id = f.id;
  end if;
  if p_dead is not null then
    -- Rows of sagas are locked in one order, as everywhere.
    for v_one in
      select d.* from json_to_recordset(p_dead) d(id bigint, mail text, saga uuid, born timestamptz, kind text, body text)
        join {{schema}}.saga_outbox_pending p on p.id = d.id
        where d.mail is not null order by d.saga, d.id
    loop
      if {{schema}}.put_mail(v_one.mail, v_one.saga, v_one.born, v_one.kind, v_one.body, p_now) <> 'missing' then
        v_told := v_told || v_one.id;
      end if;
    end loop;
    with gone as (
      delete from {{schema}}.saga_outbox_pending p
        using json_to_recordset(p_dead) d(id bigint, attempts integer, code text, error text) where p.id = d.id
        returning p.id, p.created_at, d.attempts, d.code, d.error)
    insert into {{schema}}.saga_dead_letters (
        died_at, event_id, topic, partition_key, event_type, source, aggregate_type, aggregate_id, correlation_id,
        saga_id, traceparent, headers, payload, payload_bytes, created_at, attempts, error_code, error, redriven_at,
        redriven_by)
      select v_now, o.event_id, o.topic, o.partition_key, o.event_type, o.source, o.aggregate_type, o.aggregate_id,
          o.correlation_id, o.saga_id, o.traceparent, o.headers, o.payload, o.payload_bytes, o.created_at,
          g.attempts, g.code, g.error, case when g.id = any (v_told) then v_now end,
          case when g.id = any (v_told) then 'saga' end
        from gone g join {{schema}}.saga_outbox o on o.id = g.id and o.created_at = g.created_at
        order by o.id;
  end if;
end $$;

-- Ids given out so far, and which transactions may still bring pending rows with such ids to light: whoever inserts one
-- holds a lock on the table until it has committed, and had it before it took an id. So the ids are read first.
-- A crash forgets ids whose log was not flushed, and a standby that takes over those that it had not received: they are
-- given out again. So with them goes where the log ends, how far it is flushed, and which server says so, since when.
create function {{schema}}.undecided_ids()
returns table (last_id bigint, writers text, logged bigint, flushed bigint, life text) language plpgsql volatile as $$
declare
  v_last bigint;
  v_logged bigint;
begin
  -- Not from the sequence as a table: that reads it without its lock, and may find the value that nextval() logs ahead, 32
  -- ids that nobody has yet.
  v_last := coalesce(pg_sequence_last_value('{{schema}}.saga_outbox_id'::regclass), 0);
  v_logged := pg_current_wal_insert_lsn() - '0/0'::pg_lsn;
  return query select v_last, coalesce(string_agg(l.virtualtransaction, ' '), ''), v_logged,
      (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint, {{schema}}.server_life()
    from pg_locks l
    where l.locktype = 'relation' and l.relation = '{{schema}}.saga_outbox_pending'::regclass
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and l.mode = 'RowExclusiveLock' and l.granted;
end $$;
