import { frugalScript, writeScript } from "./base.ts";
import { rows } from "./rows.ts";

/** Scripts that keep everything in shape. */
export const upkeepScripts = {
  /** Request: endedKeptDays, if it is to be set. Answers how many it is, for all processes; 0: nobody has said. */
  retention: frugalScript(`
if R.endedKeptDays then call('SET', K .. 'ended-kept-days', digits(R.endedKeptDays)) end
return tonumber(call('GET', K .. 'ended-kept-days') or 0)`),

  /**
   * Request: refusedMs, keptMs and endedMs, how long refusals, messages, and redriven dead letters are kept.
   * Forgets some; answers whether there may be more.
   */
  forget: frugalScript(`
local most, more = 500, 0
local function old(index, ms, before)
  local found = call('ZRANGEBYSCORE', K .. index, '-inf', before .. digits(now - ms), 'LIMIT', 0, most)
  if #found == most then more = 1 end
  if #found > 0 then call('ZREM', K .. index, unpack(found)) end
  return found
end
for _, mail in ipairs(old('refused', R.refusedMs, '')) do
  call('HDEL', K .. 'mail:' .. string.sub(mail, 1, 36), 'i' .. string.sub(mail, 37))
end
for _, one in ipairs(old('processed', R.keptMs, '(')) do
  local consumer, id = unpack(cjson.decode(one))
  call('HDEL', K .. 'inbox:' .. consumer, id)
end
for _, one in ipairs(old('seen', R.keptMs, '(')) do
  local flow, id = unpack(cjson.decode(one))
  call('ZREM', K .. 'flow:' .. flow, id)
  call('HDEL', K .. 'flow-events:' .. flow, id)
end
for _, id in ipairs(old('redriven', R.endedMs, '(')) do
  call('ZREM', K .. 'letters', id)
  call('UNLINK', K .. 'letter:' .. id)
end
return more`),

  /**
   * Request: kind (a definition and how its sagas have ended), endedMs, skip. Removes some of those sagas, the longest ended first;
   * answers how many it had to leave, and whether there may be more. Left are those that somebody has, or is to have, and
   * children whose parent may still want them undone.
   */
  removeEnded: frugalScript(
    rows,
    `
local most, left = 100, 0
local function isWanted(saga, parentId)
  -- Beside how much mail there was, its box holds what is unread, or refused not long ago.
  if saga.owner ~= '' or saga.wake or call('HLEN', K .. 'mail:' .. saga.id) > 1 then return true end
  local parent = type(parentId) == 'string' and find(parentId)
  return parent and not parent.finished
end
local function remove(saga, corr)
  if saga.key ~= '' then call('UNLINK', K .. 'key:' .. saga.key) end
  count(saga, -1)
  putStatus(saga, saga.status, false)
  for _, index in ipairs({ 'all', 'tenant:' .. saga.tenant }) do put('Z', index, saga.id, false) end
  if type(corr) == 'string' then put('Z', 'correlation:' .. corr, saga.id, false) end
  for _, kind in ipairs({ 's:', 'journal:', 'mail:' }) do call('UNLINK', K .. kind .. saga.id) end
end
local ids = call('ZRANGEBYSCORE', K .. 'ended:' .. R.kind, '-inf', '(' .. digits(now - R.endedMs), 'LIMIT', R.skip, most)
for _, id in ipairs(ids) do
  local saga, fixed = find(id), cjson.decode(call('LINDEX', K .. 'journal:' .. id, 0))
  if isWanted(saga, fixed.parentId) then left = left + 1 else remove(saga, fixed.correlationId) end
end
save()
return { left, #ids == most and 1 or 0 }`,
  ),

  /** Request: rows (id, def, tenant, corr, wake, status, reason, finished, updated). Texts: of each what changes, and what is fixed. */
  project: writeScript(
    rows,
    `
for _, row in ipairs(R.rows) do
  local changing, fixed = text(), text()
  local saga = find(row.id)
  local finished, owner, wake = nil, '', row.wake
  if saga then
    -- Its tenant tells where it waits: it leaves that place, and all others, before it changes.
    finished, owner, wake = saga.finished, saga.owner, saga.wake
    setOwner(saga, '', nil)
    setStatus(saga, { status = saga.status, reason = '', finished = saga.finished })
    count(saga, -1)
    putStatus(saga, saga.status, false)
    local corr = cjson.decode(call('LINDEX', K .. 'journal:' .. saga.id, 0)).correlationId
    if type(corr) == 'string' then put('Z', 'correlation:' .. corr, saga.id, false) end
    put('Z', 'tenant:' .. saga.tenant, saga.id, false)
  else
    saga = { id = row.id, adoptions = '0', sent = call('HGET', K .. 'mail:' .. row.id, 'seq') or '0', key = '' }
  end
  saga.updated, saga.changing = digits(row.updated), changing
  insert(saga, row, owner, wake, row)
  call('LSET', K .. 'journal:' .. row.id, 0, fixed)
  if row.finished and row.finished ~= finished then hint('ended') end
end
save()
tell()`,
  ),
};
