-- Participants: what they remember of what sagas asked them for.
-- Without downtime: yes, it only creates. Runs inside one transaction.

create table {{schema}}.saga_participant_inbox (
  participant text collate "C" not null,
  -- What was asked for and its undo, whoever asks: saga / step[item].
  effect text collate "C" not null,
  -- JSON: the last answer in each direction, with its round. Empty while it is first asked about.
  standing text not null,
  touched_at timestamptz not null,
  primary key (participant, effect)
);
-- For clearing away what is old: a few bytes for every 32 pages, written by vacuum.
create index saga_participant_inbox_touched on {{schema}}.saga_participant_inbox using brin (touched_at)
  with (pages_per_range = 32, autosummarize = on);
