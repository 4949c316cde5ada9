/**
 * Reads a row. `s:<id>` is a text, its fields apart by NUL: owner, when it wakes, adoptions, how much mail was sent to it, definition,
 * tenant, status, why it is parked, updated, finished, the key that it was started with, what else changes (JSON). What
 * never changes of it (JSON) stands before the journal in its list.
 */
export const row = `
local fields = '^(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)$'
local function toRow(id, kept)
  local owner, wake, adoptions, sent, def, tenant, status, reason, updated, finished, key, changing = string.match(kept, fields)
  return { id = id, owner = owner, wake = tonumber(wake), adoptions = adoptions, sent = sent, def = def, tenant = tenant,
    status = status, reason = reason, updated = updated, finished = tonumber(finished), key = key, changing = changing, isTouched = false }
end
local function readRow(id)
  local kept = call('GET', K .. 's:' .. id)
  return kept and toRow(id, kept)
end
`;

/**
 * Rows of sagas, and what is found by them.
 *
 * A script changes rows and indexes in Lua first, and writes each row and each index once, by `save`, at its end: calls are
 * what scripts spend their time on, and numbers that they turn into text. For the same reason a row is a text and not a hash.
 *
 * Who waits to be claimed stands in a lane of its definition and tenant, by the time when it wakes. Among the lanes of its
 * definition each stands where the first of it stands, as that one's id with the tenant after it: so a full tenant is
 * passed over in one step. `heads` tells which one that was.
 */
export const rows = `${row}
local function readsMail(status) return status ~= 'forced_closed' end
local sagas, touched, indexes, counts = {}, {}, {}, {}
local function find(id)
  local saga = sagas[id]
  if saga == nil then
    saga = readRow(id)
    sagas[id] = saga
  end
  return saga
end
-- Reads rows that will be wanted, all at once.
local function fetch(ids)
  for from = 1, #ids, 1000 do
    local keys = {}
    for n = from, math.min(from + 999, #ids) do keys[#keys + 1] = K .. 's:' .. ids[n] end
    for n, kept in ipairs(call('MGET', unpack(keys))) do
      local id = ids[from + n - 1]
      sagas[id] = kept and toRow(id, kept)
    end
  end
end
-- A time as a text: nearly all of a script are the same.
local shown, shownAs
local function timeText(ms)
  if ms ~= shown then shown, shownAs = ms, digits(ms) end
  return shownAs
end
local function touch(saga)
  if not saga.isTouched then touched[#touched + 1] = saga end
  saga.isTouched = true
end
-- A place in an index: a score in a sorted set (Z), a value in a hash (H), true in a set (S), or false for none.
local function put(kind, index, id, at)
  local changes = indexes[index]
  if not changes then
    changes = { kind = kind, ids = {} }
    indexes[index] = changes
  end
  changes.ids[id] = at
end
local function callMany(command, index, args)
  for n = 1, #args, 1000 do call(command, K .. index, unpack(args, n, math.min(n + 999, #args))) end
end
local adding, removing = { Z = 'ZADD', H = 'HSET', S = 'SADD' }, { Z = 'ZREM', H = 'HDEL', S = 'SREM' }
local function save()
  local rows = {}
  for _, saga in ipairs(touched) do
    saga.isTouched = false
    rows[#rows + 1] = K .. 's:' .. saga.id
    rows[#rows + 1] = table.concat({ saga.owner, saga.wake and digits(saga.wake) or '', saga.adoptions, saga.sent, saga.def,
      saga.tenant, saga.status, saga.reason, saga.updated, saga.finished and timeText(saga.finished) or '', saga.key,
      saga.changing }, '\\0')
  end
  for n = 1, #rows, 1000 do call('MSET', unpack(rows, n, math.min(n + 999, #rows))) end
  for index, changes in pairs(indexes) do
    local added, removed, kind = {}, {}, changes.kind
    for id, at in pairs(changes.ids) do
      if not at then removed[#removed + 1] = id
      else
        if kind == 'Z' then added[#added + 1] = at end
        added[#added + 1] = id
        if kind == 'H' then added[#added + 1] = at end
      end
    end
    callMany(adding[kind], index, added)
    callMany(removing[kind], index, removed)
  end
  for kind, by in pairs(counts) do
    if by ~= 0 then call('HINCRBY', K .. 'unfinished', kind, by) end
  end
  touched, indexes, counts = {}, {}, {}
end
local function settleLane(def, tenant)
  local first = call('ZRANGE', K .. 'due:' .. def .. ':' .. tenant, 0, 0, 'WITHSCORES')
  local before = call('HGET', K .. 'heads:' .. def, tenant)
  if before and before ~= first[1] then call('ZREM', K .. 'lanes:' .. def, before .. tenant) end
  if first[1] then
    call('ZADD', K .. 'lanes:' .. def, first[2], first[1] .. tenant)
    if before ~= first[1] then call('HSET', K .. 'heads:' .. def, tenant, first[1]) end
  elseif before then call('HDEL', K .. 'heads:' .. def, tenant) end
end
-- Gives a saga to a worker, or to whoever claims it from wake on (nil: nobody, before mail arrives).
local function setOwner(saga, owner, wake)
  if owner ~= '' then wake = nil end
  if saga.owner ~= '' and saga.owner ~= owner then
    put('H', 'owned:' .. saga.owner, saga.id, false)
    if saga.sent ~= '0' then call('ZREM', K .. 'mailed:' .. saga.owner, saga.id) end
  end
  if saga.wake or wake then
    local lane = K .. 'due:' .. saga.def .. ':' .. saga.tenant
    if wake then call('ZADD', lane, wake, saga.id) else call('ZREM', lane, saga.id) end
    settleLane(saga.def, saga.tenant)
    if wake and wake <= now then hint('work') end
  end
  if owner ~= '' then
    put('H', 'owned:' .. owner, saga.id, saga.adoptions)
    if saga.sent ~= '0' and call('EXISTS', K .. 'unread:' .. saga.id) == 1 then
      call('ZADD', K .. 'mailed:' .. owner, 0, saga.id)
    end
  end
  saga.owner, saga.wake = owner, wake
  touch(saga)
end
local ensured = {}
local function ensureDefinition(def)
  if ensured[def] then return end
  ensured[def] = true
  if call('ZADD', K .. 'since', 'NX', now, def) == 1 then call('SADD', K .. 'unheld', def) end
end
local function count(saga, by)
  local kind = saga.def .. ' ' .. saga.status
  if not saga.finished then counts[kind] = (counts[kind] or 0) + by
  elseif by < 0 then put('Z', 'ended:' .. kind, saga.id, false)
  else
    put('S', 'endings', kind, true)
    put('Z', 'ended:' .. kind, saga.id, timeText(saga.finished))
  end
end
-- Nearly all are completed: who lists those reads all of them.
local function putStatus(saga, status, at)
  if status ~= 'completed' then put('Z', 'status:' .. status, saga.id, at) end
end
local function setStatus(saga, to)
  local moves = saga.status ~= to.status
  if moves or saga.finished ~= to.finished then
    count(saga, -1)
    if moves then
      putStatus(saga, saga.status, false)
      putStatus(saga, to.status, '0')
    end
    saga.status, saga.finished = to.status, to.finished
    count(saga, 1)
  end
  if saga.reason ~= to.reason then
    if saga.reason == 'definition_missing' then put('Z', 'parked:' .. saga.def, saga.id, false) end
    if to.reason == 'definition_missing' then put('Z', 'parked:' .. saga.def, saga.id, '0') end
    saga.reason = to.reason
  end
  touch(saga)
end
-- Adds a row, with its owner and when it wakes; start has def, tenant, corr; to has status, reason, finished.
local function insert(saga, start, owner, wake, to)
  ensureDefinition(start.def)
  saga.def, saga.tenant, saga.status, saga.reason, saga.finished = start.def, start.tenant or '', to.status, '', to.finished
  saga.owner, saga.wake = '', nil
  sagas[saga.id] = saga
  putStatus(saga, saga.status, '0')
  if start.tenant then put('Z', 'tenant:' .. start.tenant, saga.id, '0') end
  if start.corr then put('Z', 'correlation:' .. start.corr, saga.id, '0') end
  count(saga, 1)
  setStatus(saga, to)
  setOwner(saga, owner, wake)
end
-- A new saga, as a start says.
local function begin(id, start, at)
  local owner = start.owned and R.epoch or ''
  local status = owner == '' and 'pending' or 'running'
  local saga = { id = id, owner = '', wake = nil, adoptions = '0', sent = '0', def = start.def, tenant = '', status = status,
    reason = '', updated = timeText(at), finished = nil, key = start.key or '', changing = '', isTouched = false }
  put('Z', 'all', id, '0')
  insert(saga, start, owner, start.wake or at, saga)
end
-- An id begins with the time when it was made.
local function skewOf(id)
  local skew = tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16) - now
  if math.abs(skew) > R.skewMax then return refuse('CLOCK_SKEW', { id = id, skewMs = skew, limit = R.skewMax }) end
end
-- Journals: the latest time that any of them has. While the clock is not behind that, no journal is ahead of it.
local latest
local function isBehind()
  latest = latest or tonumber(call('GET', K .. 'latest') or '0')
  return now < latest
end
local function noteLatest(at)
  if not isBehind() and at ~= latest then call('SET', K .. 'latest', digits(at)) end
end
`;

/** Mail: `mail:<id>` is a hash of all that is there, and how many there were; `unread:<id>` their order; `refused` those to be forgotten. */
export const mail = `
local function noteRead(id)
  local saga = find(id)
  if saga and saga.owner ~= '' and call('EXISTS', K .. 'unread:' .. id) == 0 then
    call('ZREM', K .. 'mailed:' .. saga.owner, id)
  end
end
local function refuseMail(id, mailId, refusal)
  local kept = call('HGET', K .. 'mail:' .. id, 'i' .. mailId)
  if not kept or string.sub(kept, 1, 1) ~= 'W' then return end
  call('HSET', K .. 'mail:' .. id, 'i' .. mailId, 'R' .. refusal)
  call('ZREM', K .. 'unread:' .. id, mailId)
  call('ZADD', K .. 'refused', now, id .. mailId)
  noteRead(id)
end
-- A saga that was closed by force answers all its mail at once: there is nobody left who would.
local function refuseAll(saga)
  for _, mailId in ipairs(call('ZRANGE', K .. 'unread:' .. saga.id, 0, -1)) do
    local kept = call('HGET', K .. 'mail:' .. saga.id, 'i' .. mailId)
    local kind = cjson.decode(string.sub(kept, 2)).kind
    local details = cjson.encode({ sagaId = saga.id, status = saga.status, request = kind })
    refuseMail(saga.id, mailId, cjson.encode({ code = 'SAGAZ_SAGA_ENDED', details = details }))
  end
end
local function takeMail(id, mailIds)
  for _, mailId in ipairs(mailIds) do
    local kept = call('HGET', K .. 'mail:' .. id, 'i' .. mailId)
    if kept then
      call('HDEL', K .. 'mail:' .. id, 'i' .. mailId)
      if string.sub(kept, 1, 1) == 'W' then call('ZREM', K .. 'unread:' .. id, mailId)
      else call('ZREM', K .. 'refused', id .. mailId) end
    end
  end
  if #mailIds > 0 then noteRead(id) end
end
-- Stores mail, once, and wakes its saga when nobody owns it. False when there is no such saga.
local function putMail(id, mailId, body)
  local saga = find(id)
  if not saga then return false end
  local box = K .. 'mail:' .. id
  if call('HEXISTS', box, 'i' .. mailId) == 1 then return true end
  saga.sent = digits(call('HINCRBY', box, 'seq', 1))
  touch(saga)
  call('ZADD', K .. 'unread:' .. id, saga.sent, mailId)
  call('HSET', box, 'i' .. mailId, 'W' .. body)
  if not readsMail(saga.status) then refuseAll(saga)
  elseif saga.owner == '' then setOwner(saga, '', math.min(saga.wake or now, now))
  else call('ZADD', K .. 'mailed:' .. saga.owner, 0, id) end
  hint('mail')
  return true
end
`;

/**
 * Events to publish. An id is a number in the order of writing, times 64, plus the shard: so an id tells its shard, and ids have
 * the order of writing, whatever their shard. Numbers follow the clock in steps of 16 microseconds where that is ahead: a
 * failover that has lost the last of them gives none of them to another event.
 */
export const publish = `
local function publish(shards, at, holdMs)
  local ids = {}
  if #shards == 0 then return ids end
  local last = tonumber(call('GET', K .. 'event') or '0')
  last = math.max(last, math.floor((micros - 1577836800000000) / 16))
  for n, shard in ipairs(shards) do
    local id = digits((last + n) * 64 + shard)
    ids[n] = id
    call('ZADD', K .. 'pending:' .. shard, id, id)
    call('HSET', K .. 'events:' .. shard, id, at .. ' ' .. text())
    if holdMs > 0 then call('HSET', K .. 'waits:' .. shard, id, '0 ' .. (at + holdMs)) end
  end
  call('SET', K .. 'event', digits(last + #shards))
  if holdMs == 0 then hint('outbox') end
  return ids
end
`;

/** Taking ownership, with what is handed over. */
export const claiming = `
local function toClaimed(saga)
  return { saga.id, tonumber(saga.adoptions), tonumber(saga.sent), call('LRANGE', K .. 'journal:' .. saga.id, 1, -1) }
end
`;
