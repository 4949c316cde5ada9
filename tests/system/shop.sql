-- The participants of the system tests: what they hold is the truth that journals are held against.
create schema shop;

-- Orders that wait do so until it opens.
create table shop.gate (is_open boolean not null);
insert into shop.gate values (false);

-- One row for each time that a function of a step began, and whether the step's outcome was recorded already. A row
-- counts once its process has heard of it: what a dying connection leaves behind, whenever that is done, counts for
-- nothing. Between a call and its row the pool's queue may lie, and in that time the outcome may come on record by another
-- way: a worker that was fenced tells of what its own attempt did. Hence also the time of the call.
create table shop.runs (
  id bigint generated always as identity primary key,
  saga_id uuid not null,
  step text not null,
  way text not null,
  worker text not null,
  called_at timestamptz not null,
  was_recorded boolean not null,
  is_heard boolean not null default false
);

-- What was asked under each idempotency key, and in which order it was done and undone. A key that was undone before
-- anything was done is a tombstone.
create sequence shop.deeds;
create table shop.calls (
  key text primary key,
  saga_id uuid not null,
  step text not null,
  account text,
  amount integer,
  done bigint,
  undone bigint
);

-- The effects: for each key one entry and, when it is undone, its reverse.
create table shop.ledger (key text not null, saga_id uuid not null, account text not null, amount integer not null);

-- Written in the engine's own transaction, without any key: a repetition would show as a second row.
create table shop.confirmations (saga_id uuid not null, what text not null);

create function shop.hear(p_run bigint) returns void language sql as $$
  update shop.runs set is_heard = true where id = p_run
$$;

-- Does it once for each key, and refuses what was undone.
create function shop.ask(p_run bigint, p_key text, p_saga uuid, p_step text, p_account text, p_amount integer)
returns text language plpgsql as $$
declare
  v_call shop.calls;
begin
  perform shop.hear(p_run);
  insert into shop.calls (key, saga_id, step) values (p_key, p_saga, p_step) on conflict do nothing;
  select * into v_call from shop.calls where key = p_key for update;
  if v_call.undone is not null then return 'refused'; end if;
  if v_call.done is not null then return 'again'; end if;
  insert into shop.ledger values (p_key, p_saga, p_account, p_amount);
  update shop.calls set done = nextval('shop.deeds'), account = p_account, amount = p_amount where key = p_key;
  return 'done';
end $$;

-- Undoes it if it was done; from now on the key is closed.
create function shop.undo(p_run bigint, p_key text, p_saga uuid, p_step text) returns text language plpgsql as $$
declare
  v_call shop.calls;
begin
  perform shop.hear(p_run);
  insert into shop.calls (key, saga_id, step) values (p_key, p_saga, p_step) on conflict do nothing;
  select * into v_call from shop.calls where key = p_key for update;
  if v_call.undone is not null then return 'again'; end if;
  update shop.calls set undone = nextval('shop.deeds') where key = p_key;
  if v_call.done is null then return 'nothing'; end if;
  insert into shop.ledger values (p_key, p_saga, v_call.account, -v_call.amount);
  return 'undone';
end $$;
