-- Flows: events that trackers have seen, without their payloads.
-- Without downtime: yes, it only creates. Runs inside one transaction.

create table {{schema}}.saga_flow_events (
  flow_id text collate "C" not null,
  event_id text collate "C" not null,
  -- The event that it follows from.
  causation_id text collate "C",
  topic text not null,
  key text not null,
  type text not null,
  source text not null,
  role text,
  saga_id text,
  at timestamptz not null,
  seen_at timestamptz not null,
  primary key (flow_id, event_id)
);
-- For clearing away what is old: a few bytes for every 32 pages, written by vacuum.
create index saga_flow_events_seen on {{schema}}.saga_flow_events using brin (seen_at)
  with (pages_per_range = 32, autosummarize = on);
