-- name: sendMail
select {{schema}}.put_mail($1::text, $2::uuid, $3::timestamptz, $4::text, $5::text, $6::timestamptz) as outcome

-- name: fetchMail
select m.mail_id, m.saga_id::text as saga_id, m.mail_seq::text as mail_seq, m.kind, m.body
  from {{schema}}.saga_mailbox m
  join {{schema}}.saga_executions e on e.saga_id = m.saga_id and e.created_at = m.created_at
  where m.refused_at is null and e.owner = $1::bigint
    and ($3::uuid is null or (m.saga_id, m.mail_seq) > ($3, $4::integer))
  order by m.saga_id, m.mail_seq limit $2::integer

-- name: refuseMail
update {{schema}}.saga_mailbox m set
    refused_at = coalesce($2::timestamptz, clock_timestamp()), refused_code = r.code, refused_details = r.details
  from unnest($3::uuid[], $4::text[], $5::text[], $6::text[]) r(saga, mail, code, details), {{schema}}.saga_executions e
  where m.saga_id = r.saga and m.mail_id = r.mail and m.refused_at is null
    and e.saga_id = m.saga_id and e.created_at = m.created_at and e.owner = $1::bigint

-- name: mailOutcome
select m.refused_code, m.refused_details from {{schema}}.saga_mailbox m where m.saga_id = $1::uuid and m.mail_id = $2::text
