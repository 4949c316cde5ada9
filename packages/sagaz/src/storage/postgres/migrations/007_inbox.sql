-- The inbox: what consumers have processed.
-- Without downtime: yes, it only creates. Runs inside one transaction.

create table {{schema}}.consumer_inbox (
  consumer_name text collate "C" not null,
  event_id text collate "C" not null,
  source_topic text not null,
  event_type text not null,
  processed_at timestamptz not null,
  result text,
  -- Two consumers never shadow each other.
  primary key (consumer_name, event_id)
);
-- For clearing away what is old: a few bytes for every 32 pages, written by vacuum.
create index consumer_inbox_processed on {{schema}}.consumer_inbox using brin (processed_at)
  with (pages_per_range = 32, autosummarize = on);

create index saga_dead_letters_of_consumer on {{schema}}.saga_dead_letters (consumer_name, event_id)
  where consumer_name is not null and redriven_at is null;
