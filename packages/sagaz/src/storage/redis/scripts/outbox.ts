import { frugalScript, readScript, writeScript } from "./base.ts";
import { mail, publish, rows } from "./rows.ts";

/** Events that are pending no more. */
const settling = `
local function remove(id)
  local shard = id % 64
  id = digits(id)
  if call('ZREM', K .. 'pending:' .. shard, id) == 0 then return end
  call('HDEL', K .. 'events:' .. shard, id)
  call('HDEL', K .. 'waits:' .. shard, id)
end
`;

/**
 * Keeps a dead letter: `letter:<id>` is a hash. `buried` tells of a consumer's which is open. Ids follow the clock where that is
 * ahead: one that a failover has lost is not given to another letter, that somebody would redrive in its place.
 */
const burying = `
local function bury(event, createdAt, about, buried, isTold)
  local id = digits(math.max(tonumber(call('GET', K .. 'letter') or '0') + 1, now))
  call('SET', K .. 'letter', id)
  call('HSET', K .. 'letter:' .. id, 'event', event, 'created', createdAt, 'about', about, 'died', now, 'buried', buried or '')
  call('ZADD', K .. 'letters', id, id)
  if isTold then
    call('HSET', K .. 'letter:' .. id, 'redriven', now, 'by', 'saga')
    call('ZADD', K .. 'redriven', now, id)
  else call('ZADD', K .. 'open-letters', id, id) end
  if buried then call('HSET', K .. 'buried', buried, id) end
end
`;

/** What is kept of an event: its time, how long its key is, its key, and itself as JSON. */
const reading = `
local function keyOf(kept)
  local at, length, from = string.match(kept, '^(%d+) (%d+) ()')
  return string.sub(kept, from, from + length - 1), at, string.sub(kept, from + length)
end
`;

/** Scripts of the outbox and the dead letters. */
export const outboxScripts = {
  /** Request: epoch. Takes shards that nobody holds, up to a fair share. */
  balance: frugalScript(`
if isFenced() then return refuse('FENCED', { epoch = tonumber(R.epoch) }) end
call('SADD', K .. 'relays', R.epoch)
local share, held = math.ceil(64 / call('SCARD', K .. 'relays')), {}
local owners = call('HMGET', K .. 'shards', unpack(R.shards))
for shard = 0, 63 do if owners[shard + 1] == R.epoch then held[#held + 1] = shard end end
for shard = 0, 63 do
  if #held >= share then break end
  if not owners[shard + 1] then
    call('HSET', K .. 'shards', shard, R.epoch)
    held[#held + 1] = shard
  end
end
table.sort(held)
return { share, held }`),

  /** Request: epoch, shards. */
  release: frugalScript(`
for _, shard in ipairs(R.shards) do
  if call('HGET', K .. 'shards', shard) == R.epoch then call('HDEL', K .. 'shards', shard) end
end
hint('outbox')
tell()`),

  /**
   * Request: shards, after, limit, bytesMax, inFlight, held. Answers how far it has read, whether that is all, events, and
   * their size. Ids are
   * given out in the order of writing and never late: what is read once need not be looked at again.
   */
  take: readScript(
    reading,
    `
local inFlight, held, events, bytes, looked, isAll = {}, {}, {}, 0, 0, false
for _, id in ipairs(R.inFlight) do inFlight[id] = true end
for _, key in ipairs(R.held) do held[key] = true end
local after, some = R.after, math.max(8, math.ceil(2 * R.limit / #R.shards))
while #events < R.limit and bytes < R.bytesMax and looked < 5000 and not isAll do
  -- The oldest of each shard; of a shard that has more, nothing is known after the last of them.
  local ids, known = {}, math.huge
  for _, shard in ipairs(R.shards) do
    local found = call('ZRANGEBYSCORE', K .. 'pending:' .. shard, '(' .. digits(after), '+inf', 'LIMIT', 0, some)
    for _, id in ipairs(found) do ids[#ids + 1] = tonumber(id) end
    if #found == some then known = math.min(known, ids[#ids]) end
  end
  table.sort(ids)
  isAll = known == math.huge
  for _, id in ipairs(ids) do
    if id > known then break end
    if #events == R.limit or bytes >= R.bytesMax then isAll = false; break end
    after, looked = id, looked + 1
    if not inFlight[id] then
      local shard, field = id % 64, digits(id)
      local key, at, event = keyOf(call('HGET', K .. 'events:' .. shard, field))
      if not held[key] then
        local attempts, wait = '0', 0
        local waits = call('HGET', K .. 'waits:' .. shard, field)
        if waits then
          local untilMs
          attempts, untilMs = string.match(waits, '(%d+) (%d+)')
          wait = math.max(0, untilMs - now)
        end
        events[#events + 1] = { field, at, attempts, wait, event }
        bytes = bytes + #event
      end
    end
  end
end
return { digits(after), isAll and 1 or 0, events, bytes }`,
  ),

  /** Request: epoch, sent, failed, dead (id, and whose saga is told). Texts: of each dead one what there is to know, and its mail. */
  settle: frugalScript(
    rows,
    mail,
    settling,
    burying,
    reading,
    `
if isFenced() then return refuse('FENCED', { epoch = tonumber(R.epoch) }) end
for _, id in ipairs(R.sent) do remove(id) end
for _, one in ipairs(R.failed) do
  local shard, id = one.id % 64, digits(one.id)
  if call('ZSCORE', K .. 'pending:' .. shard, id) then
    call('HSET', K .. 'waits:' .. shard, id, one.attempts .. ' ' .. digits(now + one.delayMs))
  end
end
for _, one in ipairs(R.dead) do
  local about, notice = text(), one.saga and text()
  local kept = call('HGET', K .. 'events:' .. one.id % 64, digits(one.id))
  if kept then
    local _, at, event = keyOf(kept)
    remove(one.id)
    bury(event, at, about, nil, notice and putMail(one.saga, one.mailId, notice))
  end
end
save()
tell()`,
  ),

  /** Request: sent, released. */
  settleHeld: frugalScript(
    settling,
    `
for _, id in ipairs(R.sent) do remove(id) end
for _, id in ipairs(R.released) do
  local waits = call('HGET', K .. 'waits:' .. id % 64, digits(id))
  -- What a relay has tried already is not put before its time.
  if waits and string.sub(waits, 1, 2) == '0 ' then call('HDEL', K .. 'waits:' .. id % 64, digits(id)) end
end
if #R.released > 0 then hint('outbox') end
tell()`,
  ),

  /** Request: events (id, key). Behind very many others of its shard an event counts as waiting: then relays have work enough. */
  behindOthers: readScript(
    reading,
    `
local own, firsts, behind, most = {}, {}, {}, 200
for _, event in ipairs(R.events) do own[event.id] = true end
local function firstsOf(shard)
  if firsts[shard] then return firsts[shard] end
  local found = { byKey = {}, upTo = math.huge }
  local ids = call('ZRANGE', K .. 'pending:' .. shard, 0, most - 1)
  if #ids == most then found.upTo = tonumber(ids[most]) end
  for _, id in ipairs(ids) do
    local number = tonumber(id)
    if not own[number] then
      local key = keyOf(call('HGET', K .. 'events:' .. shard, id))
      found.byKey[key] = found.byKey[key] or number
    end
  end
  firsts[shard] = found
  return found
end
for _, event in ipairs(R.events) do
  local found = firstsOf(event.id % 64)
  if event.id > found.upTo or (found.byKey[event.key] or event.id) < event.id then behind[#behind + 1] = digits(event.id) end
end
return behind`,
  ),

  backlog: readScript(
    reading,
    `
local pending, oldest = 0, false
for shard = 0, 63 do
  local first = call('ZRANGE', K .. 'pending:' .. shard, 0, 0)[1]
  if first then
    pending = pending + call('ZCARD', K .. 'pending:' .. shard)
    local _, at = keyOf(call('HGET', K .. 'events:' .. shard, first))
    if not oldest or tonumber(at) < oldest then oldest = tonumber(at) end
  end
end
return { pending, oldest, call('ZCARD', K .. 'open-letters') }`,
  ),

  /** Request: buried (consumer and event), created. Texts: the event, and what else there is to know. */
  bury: writeScript(
    burying,
    `
if call('HEXISTS', K .. 'buried', R.buried) == 0 then bury(text(), R.created, text(), R.buried) end`,
  ),

  /** Request: ids, shards, actor. Texts: of each the event as it goes out again. */
  redrive: writeScript(
    publish,
    `
local done = {}
for n, id in ipairs(R.ids) do
  local event = text()
  if call('ZREM', K .. 'open-letters', id) == 1 then
    local letter = K .. 'letter:' .. id
    call('HDEL', K .. 'buried', call('HGET', letter, 'buried'))
    call('HSET', letter, 'redriven', now, 'by', R.actor)
    call('ZADD', K .. 'redriven', now, id)
    place = place - 1
    publish({ R.shards[n] }, now, 0)
    done[#done + 1] = id
  end
end
tell()
return done`,
  ),
};
