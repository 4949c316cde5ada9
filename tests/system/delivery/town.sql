-- What the delivery tests hold deliveries against.
create schema town;

-- What events are about: each has a version, which every event of it raises by one.
create table town.aggregates (key text primary key, version integer not null);

-- The events whose transactions have committed: written in them.
create table town.facts (event_id text primary key, key text not null, version integer not null, is_poison boolean not null);

-- What consumers did. Without any key: a repetition would show as a second row.
create table town.effects (
  n bigint generated always as identity,
  event_id text not null,
  consumer text not null,
  key text not null,
  version integer not null
);
