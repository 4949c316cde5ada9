-- name: setRetention
update {{schema}}.saga_retention r set ended_kept_days = coalesce($1::integer, r.ended_kept_days),
    outbox_kept_days = coalesce($2::integer, r.outbox_kept_days), old_outbox_days = coalesce($3::text, r.old_outbox_days)

-- name: retention
select r.ended_kept_days, r.outbox_kept_days, r.old_outbox_days from {{schema}}.saga_retention r
