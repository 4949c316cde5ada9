-- Tables of the saga engine.
-- Without downtime: yes, it only creates. Runs inside one transaction.
--
-- saga_executions and saga_events are partitioned by month of created_at, which is exactly the timestamp inside the
-- saga's UUIDv7: whoever knows an id knows its partition. Old months leave by DETACH, never by DELETE.

create table {{schema}}.saga_executions (
  saga_id uuid not null,
  created_at timestamptz not null,
  saga_name text collate "C" not null,
  version integer not null,
  graph_hash text not null,
  tenant_id text collate "C",
  correlation_id text collate "C",
  parent_id uuid,
  attributes jsonb,
  -- From here on columns change. They stand together, because the WAL of an update leaves out what is the same
  -- before and after the changed part.
  status text collate "C" not null,
  waiting_for text,
  parked_reason text,
  paused boolean not null default false,
  error text,
  output text,
  -- Epoch of the worker that runs it; null when nobody does.
  owner bigint,
  -- When nobody owns it: claimable from then on. Null: not before mail arrives.
  wake_at timestamptz,
  adoptions integer not null default 0,
  -- Mail sent to it so far: what a release is compared with.
  mail_seq integer not null default 0,
  updated_at timestamptz not null,
  finished_at timestamptz,
  primary key (saga_id, created_at)
) partition by range (created_at);

-- Work: what is owned (takeover), what can be claimed (owner is null, by definition, longest due first), and every
-- unfinished saga (counts, lists). Finished sagas are not in it, so it is as large as the work at hand.
create index saga_executions_work on {{schema}}.saga_executions (owner, saga_name, version, wake_at)
  where owner is not null or wake_at is not null or finished_at is null;
-- The same for claims that are to pass over full tenants: what nobody owns, tenant by tenant ('' is none), longest due
-- first. A saga that its starter runs to its end is never in it.
create index saga_executions_queue on {{schema}}.saga_executions
  (saga_name, version, coalesce(tenant_id, ''), wake_at) where owner is null and wake_at is not null;
-- Lists of finished sagas by name, newest first. Written once, when a saga ends.
create index saga_executions_by_name on {{schema}}.saga_executions (saga_name, saga_id) where finished_at is not null;
-- What people look for among many completed sagas. A saga that simply completes is never in these two.
create index saga_executions_undone on {{schema}}.saga_executions (saga_id)
  where finished_at is not null and status <> 'completed';
create index saga_executions_parked on {{schema}}.saga_executions (saga_name, version) where status = 'parked';
-- Paid for only by those who use them.
create index saga_executions_by_tenant on {{schema}}.saga_executions (tenant_id, saga_id) where tenant_id is not null;
create index saga_executions_by_correlation on {{schema}}.saga_executions (correlation_id, saga_id)
  where correlation_id is not null;
create index saga_executions_by_attributes on {{schema}}.saga_executions using gin (attributes jsonb_path_ops)
  where attributes is not null;
-- Counts of what ended lately: a few bytes for every 32 pages, written by vacuum.
create index saga_executions_finished on {{schema}}.saga_executions using brin (finished_at)
  with (pages_per_range = 32, autosummarize = on) where finished_at is not null;

create table {{schema}}.saga_events (
  saga_id uuid not null,
  created_at timestamptz not null,
  at timestamptz not null,
  seq integer not null,
  type text not null,
  step text,
  data text not null,
  -- The compare-and-set of the engine: two owners cannot write the same event.
  primary key (saga_id, seq, created_at)
) partition by range (created_at);

create table {{schema}}.saga_workers (
  epoch bigint primary key,
  worker_name text not null,
  lease_ms integer not null,
  registered_at timestamptz not null,
  heartbeat_at timestamptz not null,
  -- From then on nothing that this worker sends is written.
  fenced_at timestamptz,
  -- It gave up its sagas itself: they were not let go by a crash.
  retired boolean not null default false,
  -- All its sagas are let go; the row is only history.
  ended_at timestamptz
) with (fillfactor = 30);

create table {{schema}}.saga_definitions (
  saga_name text collate "C" not null,
  version integer not null,
  -- Of a definition that was started here but never registered, graph is null.
  graph_hash text not null,
  graph text,
  -- The last time a worker that held it came or went.
  held_at timestamptz not null,
  primary key (saga_name, version)
);

create table {{schema}}.saga_worker_definitions (
  epoch bigint not null,
  saga_name text collate "C" not null,
  version integer not null,
  primary key (epoch, saga_name, version)
);

create table {{schema}}.saga_idempotency_keys (
  tenant_id text collate "C" not null default '',
  saga_name text collate "C" not null,
  key text collate "C" not null,
  saga_id uuid not null,
  input_hash text,
  primary key (tenant_id, saga_name, key)
);

create table {{schema}}.saga_mailbox (
  saga_id uuid not null,
  mail_id text collate "C" not null,
  mail_seq integer not null,
  -- The saga's, so that a join with its row finds the partition.
  created_at timestamptz not null,
  kind text not null,
  body text not null,
  sent_at timestamptz not null,
  refused_at timestamptz,
  refused_code text,
  refused_details text,
  primary key (saga_id, mail_id)
);
create index saga_mailbox_refused on {{schema}}.saga_mailbox (refused_at) where refused_at is not null;
