-- name: becomeReader
select r.answer, r.epoch::text as epoch, r.is_drained::text as is_drained from {{schema}}.become_reader($1::bigint) r

-- name: endReading
select {{schema}}.end_reading($1::bigint, $2::bigint, $3::text)

-- name: heldShards
select count(*)::text as held from {{schema}}.saga_outbox_shards s where {{schema}}.lives(s.owner)

-- name: lastOutboxId
select u.last_id::text as last_id from {{schema}}.undecided_ids() u

-- name: endDrain
select {{schema}}.end_drain($1::bigint, $2::bigint, $3::bigint)

-- name: settleStreamed
select {{schema}}.settle_streamed($1, $2, $3, $4, $5, $6, $7)

-- name: lookAtStreamed
select s.is_visible::text as is_visible, array_to_json(s.known)::text as known
  from {{schema}}.look_at_streamed($1::bigint, $2::bigint, $3::bigint[], $4::bigint[]) s

-- name: leftKeys
select distinct l.partition_key as key from {{schema}}.saga_outbox_left l
  where exists (select from {{schema}}.saga_outbox_pending p where p.id = l.id) limit $1::integer

-- name: stillLeft
select k.key from unnest($1::text[]) k(key) where {{schema}}.is_left(k.key)

-- The columns are those of `take_events`.
-- name: takeLeft
copy (select * from {{schema}}.take_left($1, $2, $3, $4, $5, $6)) to stdout (format binary)

-- name: settleLeft
select {{schema}}.settle_left($1, $2, $3, $4, $5, $6)

-- What there is to know of the slot before it is read: without a row for it, it is missing.
-- name: slotState
select {{schema}}.slot_name() as slot, (select d.mode from {{schema}}.saga_delivery d) as mode, current_setting('wal_level') as wal_level, pg_is_in_recovery()::text as is_standby,
    {{schema}}.is_published('sagaz_' || trim('"' from '{{schema}}'))::text as is_published,
    (s.slot_name is not null)::text as is_there, (s.confirmed_flush_lsn is not null)::text as is_made, s.wal_status,
    s.active::text as is_read,
    case when not pg_is_in_recovery() then pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::text end as kept
  from (select) one left join pg_replication_slots s on s.slot_name = {{schema}}.slot_name()

-- name: undrain
select {{schema}}.undrain()::text as epoch

-- name: makeSlot
select {{schema}}.make_slot($1::bigint)::text as is_made

-- name: dropSlot
select pg_drop_replication_slot(s.slot_name) from pg_replication_slots s
  where s.slot_name = {{schema}}.slot_name() and not s.active

-- One that is still being made waits for the longest transaction, and holds log meanwhile: it goes when its maker does.
-- name: dropSlotBehind
select case when s.active then pg_terminate_backend(s.active_pid)::text else pg_drop_replication_slot(s.slot_name)::text end
  from pg_replication_slots s
  where s.slot_name = {{schema}}.slot_name() and not pg_is_in_recovery()
    and (not s.active or s.confirmed_flush_lsn is null)
    and (s.wal_status = 'lost' or pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn) > $1::bigint)

-- name: wrestSlot
select pg_terminate_backend(s.active_pid) from {{schema}}.check_reader($1::bigint, $2::bigint), pg_replication_slots s
  where s.slot_name = {{schema}}.slot_name() and s.active

-- name: ensurePublication
select {{schema}}.ensure_publication($1::text)

-- name: walEnd
select pg_current_wal_insert_lsn()::text as lsn
