import { frugalScript, readScript, writeScript } from "./base.ts";
import { claiming, row, rows } from "./rows.ts";

/**
 * Ends a registration at once: from now on the worker writes nothing. What it owned is let go after that, some at a
 * time; until then it stands in `leaving`, with how much that adds to their adoptions.
 */
const dismissal = `
local function dismiss(epoch, heldUntil, adds)
  local defs = call('HGET', K .. 'worker:' .. epoch, 'defs')
  call('ZREM', K .. 'workers', epoch)
  call('DEL', K .. 'worker:' .. epoch)
  call('ZADD', K .. 'leaving', adds, epoch)
  for _, def in ipairs(defs and cjson.decode(defs) or {}) do
    call('SREM', K .. 'holders:' .. def, epoch)
    call('ZADD', K .. 'since', 'GT', heldUntil, def)
    if call('EXISTS', K .. 'holders:' .. def) == 0 then call('SADD', K .. 'unheld', def) end
  end
  if call('SREM', K .. 'relays', epoch) == 1 then
    local shards = call('HGETALL', K .. 'shards')
    for n = 1, #shards, 2 do if shards[n + 1] == epoch then call('HDEL', K .. 'shards', shards[n]) end end
  end
end
`;

/** Lets sagas that are parked for want of a definition be claimed, so many at a time; answers where it stopped. */
const unparking = `
local function unpark(def, after)
  local ids = call('ZRANGEBYLEX', K .. 'parked:' .. def, after, '+', 'LIMIT', 0, 200)
  for _, id in ipairs(ids) do
    local saga = find(id)
    if saga and saga.owner == '' and not (saga.wake and saga.wake <= now) then setOwner(saga, '', now) end
  end
  return #ids == 200 and '(' .. ids[200] or false
end
`;

/** Takes what is due and what there is room for, longest due first. */
const taking = `
local function takeDue(defs)
  local left, taken, heads = R.left or {}, {}, {}
  local function isFull(tenant)
    if tenant == '' or not R.each then return false end
    return (left[tenant] or R.each) <= 0
  end
  local function headOf(def)
    local from = 0
    while true do
      local lanes = call('ZRANGEBYSCORE', K .. 'lanes:' .. def, '-inf', now, 'WITHSCORES', 'LIMIT', from, 10)
      for n = 1, #lanes, 2 do
        local tenant = string.sub(lanes[n], 37)
        if not isFull(tenant) then
          return { id = string.sub(lanes[n], 1, 36), tenant = tenant, wake = tonumber(lanes[n + 1]) }
        end
      end
      if #lanes < 20 then return nil end
      from = from + 10
    end
  end
  for _, one in ipairs(defs) do heads[one] = headOf(one.def) end
  while #taken < R.limit do
    local first, by
    for _, one in ipairs(defs) do
      local head = heads[one]
      if head and one.room > 0 and (not first or head.wake < first.wake
        or head.wake == first.wake and head.id < first.id) then first, by = head, one end
    end
    if not first then break end
    local saga = find(first.id)
    if saga then
      setOwner(saga, R.epoch, nil)
      taken[#taken + 1] = toClaimed(saga)
      by.room = by.room - 1
      if first.tenant ~= '' and R.each then left[first.tenant] = (left[first.tenant] or R.each) - 1 end
    else
      call('ZREM', K .. 'due:' .. by.def .. ':' .. first.tenant, first.id)
      settleLane(by.def, first.tenant)
    end
    -- This definition goes on to its next, and a tenant that is full now is passed over everywhere.
    local full = isFull(first.tenant)
    for _, one in ipairs(defs) do
      local head = heads[one]
      if one == by or full and head and head.tenant == first.tenant then heads[one] = headOf(one.def) end
    end
  end
  save()
  return taken
end
`;

/** Scripts of workers and ownership. `workers` holds epochs by the time when their lease runs out. */
export const leaseScripts = {
  /** Request: name, leaseMs, held (def, hash, saga, version), defs as JSON. Texts: the graph of each. */
  register: frugalScript(
    rows,
    unparking,
    `
for _, held in ipairs(R.held) do
  local known = call('HGET', K .. 'hashes', held.def)
  if known and known ~= held.hash then
    return refuse('DEFINITION_CHANGED', { saga = held.saga, version = held.version, known = known, held = held.hash })
  end
end
-- By the clock where that is ahead: a failover that has lost a registration does not give its epoch to another worker.
local epoch = digits(math.max(tonumber(call('GET', K .. 'epoch') or '0') + 1, now))
call('SET', K .. 'epoch', epoch)
call('HSET', K .. 'worker:' .. epoch, 'name', R.name, 'lease', R.leaseMs, 'defs', R.defs)
call('ZADD', K .. 'workers', now + R.leaseMs, epoch)
local more = {}
for _, held in ipairs(R.held) do
  ensureDefinition(held.def)
  call('HSET', K .. 'hashes', held.def, held.hash)
  call('HSET', K .. 'graphs', held.def, text())
  call('SADD', K .. 'holders:' .. held.def, epoch)
  call('SREM', K .. 'unheld', held.def)
  local after = unpark(held.def, '-')
  if after then more[#more + 1] = { held.def, after } end
end
save()
tell()
return { epoch, now, more }`,
  ),

  /** Request: def, after. */
  unpark: frugalScript(rows, unparking, `local after = unpark(R.def, R.after); save(); tell(); return after`),

  /** Request: epoch. */
  beat: frugalScript(`
if isFenced() then return { now, 0, 0, 0, 0 } end
local worker = call('HMGET', K .. 'worker:' .. R.epoch, 'lease', 'defs')
call('ZADD', K .. 'workers', now + worker[1], R.epoch)
local function isDue(def)
  local first = call('ZRANGE', K .. 'lanes:' .. def, 0, 0, 'WITHSCORES')[2]
  return first and tonumber(first) <= now
end
local function anyDue(defs)
  for _, def in ipairs(defs) do if isDue(def) then return 1 end end
  return 0
end
local upkeep = call('EXISTS', K .. 'leaving')
if call('ZCOUNT', K .. 'workers', '-inf', '(' .. now) > 0 then upkeep = 1 end
if upkeep == 0 then upkeep = anyDue(call('SMEMBERS', K .. 'unheld')) end
return { now, 1, anyDue(cjson.decode(worker[2])), call('EXISTS', K .. 'mailed:' .. R.epoch), upkeep }`),

  /** Ends the registrations of those whose lease has run out. */
  fence: frugalScript(
    dismissal,
    `
local expired = call('ZRANGEBYSCORE', K .. 'workers', '-inf', '(' .. now, 'WITHSCORES', 'LIMIT', 0, 10)
for n = 1, #expired, 2 do
  dismiss(expired[n], expired[n + 1] - call('HGET', K .. 'worker:' .. expired[n], 'lease'), 1)
end
return #expired / 2`,
  ),

  /** Request: epoch. */
  retire: frugalScript(dismissal, `if not isFenced() then dismiss(R.epoch, now, 0) end`),

  /** Request: epoch, or none for whoever is leaving. Lets go of some sagas; answers how many, and whether there may be more. */
  letGo: frugalScript(
    rows,
    `
local epoch = R.epoch or call('ZRANGE', K .. 'leaving', 0, 0)[1]
local adds = epoch and tonumber(call('ZSCORE', K .. 'leaving', epoch) or nil)
if not adds then return { 0, 0 } end
local owned, count = K .. 'owned:' .. epoch, 0
for _, id in ipairs(call('HRANDFIELD', owned, 200)) do
  local saga = find(id)
  if saga and saga.owner == epoch then
    if adds > 0 then saga.adoptions = digits(saga.adoptions + adds) end
    setOwner(saga, '', readsMail(saga.status) and now or nil)
    count = count + 1
  else call('HDEL', owned, id) end
end
save()
if call('EXISTS', owned) == 0 then
  call('ZREM', K .. 'leaving', epoch)
  call('DEL', K .. 'mailed:' .. epoch)
end
tell()
return { count, call('EXISTS', R.epoch and owned or K .. 'leaving') }`,
  ),

  /** Request: epoch, limit, defs (def, room), each and left of tenants, id of the only one that is wanted. */
  claim: writeScript(
    rows,
    claiming,
    taking,
    `
if isFenced() then return {} end
if not R.id then return takeDue(R.defs) end
local saga = find(R.id)
if not saga or R.limit < 1 or saga.owner ~= '' or not saga.wake or saga.wake > now then return {} end
if saga.tenant ~= '' and R.each and ((R.left or {})[saga.tenant] or R.each) <= 0 then return {} end
for _, one in ipairs(R.defs) do
  if one.def == saga.def and one.room > 0 then
    setOwner(saga, R.epoch, nil)
    save()
    return { toClaimed(saga) }
  end
end
return {}`,
  ),

  /** Request: epoch, limit, before: since when a definition must have had no holder. */
  claimOrphans: writeScript(
    rows,
    claiming,
    taking,
    `
if isFenced() then return {} end
local defs = {}
for _, def in ipairs(call('SMEMBERS', K .. 'unheld')) do
  if tonumber(call('ZSCORE', K .. 'since', def)) <= now - R.missingMs then defs[#defs + 1] = { def = def, room = R.limit } end
end
return takeDue(defs)`,
  ),

  /** Request: epoch, known ids. */
  forgotten: readScript(
    row,
    claiming,
    `
local known, forgotten = {}, {}
for _, id in ipairs(R.known) do known[id] = true end
for _, id in ipairs(call('HKEYS', K .. 'owned:' .. R.epoch)) do
  if not known[id] then
    forgotten[#forgotten + 1] = toClaimed(readRow(id))
  end
end
return forgotten`,
  ),
};
