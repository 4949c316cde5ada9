-- name: appendBatch
select {{schema}}.append_batch(
  $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
  $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29,
  $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43,
  $44, $45, $46, $47, $48, $49, $50, $51, $52
)::text as at

-- name: startKeyed
select (s.n - 1)::text as n, s.is_new::text as is_new, s.held_by::text as saga_id, s.same_input::text as same_input
  from {{schema}}.start_keyed(
    $1, $2, $3, $4, $5, $6,
    $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
    $25, $26, $27
  ) s

-- name: startIn
select {{schema}}.start_in($1::text, $2::timestamptz) as outcome

-- name: readTails
select s.saga::text as saga_id, t.seq::text as seq, e.owner::text as owner
  from unnest($1::uuid[], $2::timestamptz[]) s(saga, created)
  cross join lateral (
    select v.seq from {{schema}}.saga_events v where v.saga_id = s.saga and v.created_at = s.created
      order by v.seq desc limit 1) t
  left join {{schema}}.saga_executions e on e.saga_id = s.saga and e.created_at = s.created

-- name: lockWorker
select w.epoch::text as epoch from {{schema}}.saga_workers w where w.epoch = $1::bigint for update
