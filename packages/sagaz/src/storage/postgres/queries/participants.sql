-- The row is locked until the transaction ends: whoever comes second waits here.
-- name: takeEffect
insert into {{schema}}.saga_participant_inbox as p (participant, effect, standing, touched_at)
  values ($1::text, $2::text, '', coalesce($3::timestamptz, clock_timestamp()))
  on conflict (participant, effect) do update set touched_at = excluded.touched_at
  returning p.standing

-- name: keepEffect
update {{schema}}.saga_participant_inbox set standing = $3::text where participant = $1::text and effect = $2::text

-- name: clearEffects
with cleared as (
  delete from {{schema}}.saga_participant_inbox p
    where p.ctid = any (array(
      select o.ctid from {{schema}}.saga_participant_inbox o
        where o.touched_at < coalesce($1::timestamptz, clock_timestamp()) - $2::bigint * interval '1 ms'
        limit $3::integer))
    returning 1)
select count(*)::text as count from cleared
