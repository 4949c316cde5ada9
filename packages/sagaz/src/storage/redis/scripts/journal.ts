import { readScript, writeScript } from "./base.ts";
import { mail, publish, row, rows } from "./rows.ts";

/** Scripts of the journal. `journal:<id>` is a list: what never changes of the row, then events, each behind its time. */
export const journalScripts = {
  /**
   * Request: epoch, number of entries, shards of the events to publish, holdMs. Texts: of each entry its saga, the seq of its first
   * event, and how many there are, or JSON if there is more to know; then of each the fixed part of its start, its events, the
   * changing part of its row, and of each spawn its fixed part and its event; then all mail; then all events.
   */
  append: writeScript(
    rows,
    mail,
    publish,
    `
if isFenced() then return refuse('FENCED', { epoch = tonumber(R.epoch) }) end
-- Walks through the batch as if it were written.
local tails, at, none = {}, now, {}
local function conflict(id, seq) return refuse('CONFLICT', { sagaId = id, seq = seq }) end
local ids, firsts, rest, starts, changed = {}, {}, {}, {}, {}
for n = 1, R.entries do
  local id, first, events = text(), text(), text()
  ids[n], firsts[n] = id, tonumber(first)
  local also = tonumber(events) or cjson.decode(events)
  rest[n] = also
  if type(also) == 'table' then
    if also.start then starts[#starts + 1] = K .. 'journal:' .. id
    elseif also.row then changed[#changed + 1] = id end
    for _, spawn in ipairs(also.spawns or none) do starts[#starts + 1] = K .. 'journal:' .. spawn.id end
  end
end
-- Of all that is to be new nothing is there, or it is looked for one by one.
local isAnyThere = false
for n = 1, #starts, 1000 do
  if call('EXISTS', unpack(starts, n, math.min(n + 999, #starts))) > 0 then isAnyThere = true end
end
local function opens(id, start, seq)
  local skewed = skewOf(id)
  if skewed then return skewed end
  if tails[id] or isAnyThere and call('EXISTS', K .. 'journal:' .. id) == 1 then return conflict(id, 1) end
  tails[id] = { seq = seq, isOurs = start.owned, adoptions = '0' }
end
-- All that this worker owns of the batch, by their adoptions.
local owned = {}
for n = 1, #ids, 1000 do
  local some = call('HMGET', K .. 'owned:' .. R.epoch, unpack(ids, n, math.min(n + 999, #ids)))
  for m, adoptions in ipairs(some) do owned[ids[n + m - 1]] = adoptions end
end
local function tailOf(id)
  if not owned[id] then return nil end
  if isBehind() then at = math.max(at, tonumber(string.match(call('LINDEX', K .. 'journal:' .. id, -1), '^%d+'))) end
  return { seq = call('LLEN', K .. 'journal:' .. id) - 1, isOurs = true, adoptions = owned[id] }
end
for n, id in ipairs(ids) do
  local first, also, events = firsts[n], rest[n], nil
  if type(also) == 'number' then also, events = none, also else events = also.events end
  if also.start then
    local wrong = opens(id, also.start, 0)
    if wrong then return wrong end
  end
  local tail = tails[id] or tailOf(id)
  if not tail or not (also.start or tail.isOurs) or first ~= tail.seq + 1 then return conflict(id, first) end
  tails[id] = tail
  tail.seq = tail.seq + events
  if also.row and also.row.release then tail.isOurs = false end
  for _, spawn in ipairs(also.spawns or none) do
    local wrong = opens(spawn.id, spawn, 1)
    if wrong then return wrong end
  end
end
-- From here on nothing is refused.
fetch(changed)
local time = digits(at)
local behind = time .. ' '
local function write(id, events, fixed)
  local journal = 'journal:' .. id
  if events == 1 and fixed then call('RPUSH', K .. journal, fixed, behind .. text())
  elseif events == 1 then call('RPUSH', K .. journal, behind .. text())
  else
    local kept = { fixed }
    for _ = 1, events do kept[#kept + 1] = behind .. text() end
    callMany('RPUSH', journal, kept)
  end
end
local function wakeAfter(saga, release)
  if not readsMail(saga.status) then return nil end
  if tonumber(saga.sent) > release.mailSeq then return now end
  if saga.reason == 'definition_missing' and call('EXISTS', K .. 'holders:' .. saga.def) == 1 then return now end
  return release.wake
end
local function changeRow(saga, row, changing)
  local ends = row.finished and (not saga.finished or saga.status ~= row.status)
  local finished = nil
  if row.finished then finished = ends and at or saga.finished end
  if ends or row.status == 'parked' then hint('ended') end
  setStatus(saga, { status = row.status, reason = row.reason or '', finished = finished })
  saga.updated, saga.changing = time, changing
  if not readsMail(saga.status) then refuseAll(saga) end
  if row.release then setOwner(saga, '', wakeAfter(saga, row.release)) end
end
for n, id in ipairs(ids) do
  local also, events = rest[n], nil
  if type(also) == 'number' then also, events = none, also else events = also.events end
  local fixed = also.start and text()
  if fixed then begin(id, also.start, at) end
  write(id, events, fixed)
  -- A mere release, such as a saga that is given back untried, tells nothing about whoever died with it.
  if events > 0 and tails[id].adoptions ~= '0' then
    tails[id].adoptions = '0'
    local saga = find(id)
    saga.adoptions = '0'
    put('H', 'owned:' .. R.epoch, id, '0')
    touch(saga)
  end
  if also.reads then takeMail(id, also.reads) end
  if also.row then changeRow(find(id), also.row, text()) end
  for _, spawn in ipairs(also.spawns or none) do
    begin(spawn.id, spawn, at)
    write(spawn.id, 1, text())
  end
end
-- Last, so that mail reaches whatever began in this batch and wakes whatever was released in it.
for n = 1, #ids do
  local mails = type(rest[n]) == 'table' and rest[n].mails
  for _, sent in ipairs(mails or none) do putMail(sent.id, sent.mailId, text()) end
end
local published = publish(R.shards, at, R.holdMs)
noteLatest(at)
save()
tell()
return { at, published }`,
  ),

  /** Request: epoch, starts with their keys. Texts: of each start its fixed part and its event. */
  startKeyed: writeScript(
    rows,
    `
if isFenced() then return refuse('FENCED', { epoch = tonumber(R.epoch) }) end
for _, start in ipairs(R.starts) do
  local skewed = skewOf(start.id)
  if skewed then return skewed end
  if call('EXISTS', K .. 'key:' .. start.key) == 0 and call('EXISTS', K .. 'journal:' .. start.id) == 1 then
    return refuse('CONFLICT', { sagaId = start.id, seq = 1 })
  end
end
local outcomes = {}
for n, start in ipairs(R.starts) do
  local fixed, started = text(), text()
  local known = call('HMGET', K .. 'key:' .. start.key, 'saga', 'hash')
  if known[1] then outcomes[n] = { known[1], known[2] }
  else
    call('HSET', K .. 'key:' .. start.key, 'saga', start.id, 'hash', start.hash or '')
    begin(start.id, start, now)
    call('RPUSH', K .. 'journal:' .. start.id, fixed, digits(now) .. ' ' .. started)
    outcomes[n] = { start.id }
  end
end
noteLatest(now)
save()
tell()
return outcomes`,
  ),

  /** Request: ids. */
  tails: readScript(
    row,
    `
local tails = {}
for _, id in ipairs(R.ids) do
  local seq = call('LLEN', K .. 'journal:' .. id) - 1
  if seq > 0 then tails[#tails + 1] = { id, seq, (readRow(id) or { owner = '' }).owner } end
end
return tails`,
  ),
};
