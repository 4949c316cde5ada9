import { frugalScript, readScript, writeScript } from "./base.ts";
import { publish } from "./rows.ts";

/**
 * Scripts of the inbox. `inbox:<consumer>` is a hash of results by event; whoever works on a message holds its lock, which
 * goes away by itself when its holder does.
 */
export const inboxScripts = {
  /** Request: consumer, ids, token, lockMs. Answers what is known of each; false when another works on one of them. */
  lock: writeScript(`
local known, inbox = {}, K .. 'inbox:' .. R.consumer
local function lockOf(id) return K .. 'lock:' .. R.consumer .. ':' .. id end
for n, id in ipairs(R.ids) do
  known[n] = call('HGET', inbox, id)
  if not known[n] then
    local holder = call('GET', lockOf(id))
    if holder and holder ~= R.token then return false end
  end
end
for n, id in ipairs(R.ids) do
  if not known[n] then
    call('SET', lockOf(id), R.token, 'PX', R.lockMs)
    known[n] = ''
  end
end
return known`),

  /** Request: consumer, ids, token, lockMs. */
  extend: frugalScript(`
for _, id in ipairs(R.ids) do
  local lock = K .. 'lock:' .. R.consumer .. ':' .. id
  if call('GET', lock) == R.token then call('PEXPIRE', lock, R.lockMs) end
end`),

  /** Request: consumer, ids, token. */
  unlock: frugalScript(`
for _, id in ipairs(R.ids) do
  local lock = K .. 'lock:' .. R.consumer .. ':' .. id
  if call('GET', lock) == R.token then call('DEL', lock) end
end`),

  /** Request: consumer, ids, token, shards. Texts: for each message its result and its place among the processed; then events. */
  commit: writeScript(
    publish,
    `
local function lockOf(id) return K .. 'lock:' .. R.consumer .. ':' .. id end
for _, id in ipairs(R.ids) do
  if call('GET', lockOf(id)) ~= R.token then return refuse('LOST', { id = id }) end
end
for _, id in ipairs(R.ids) do
  call('HSET', K .. 'inbox:' .. R.consumer, id, text())
  call('ZADD', K .. 'processed', now, text())
  call('DEL', lockOf(id))
end
publish(R.shards, now, 0)
tell()`,
  ),

  /** Request: events (flow, id, at). Texts: of each its place among the seen, and itself. */
  seen: writeScript(`
for _, event in ipairs(R.events) do
  local mark, kept = text(), text()
  if call('HSETNX', K .. 'flow-events:' .. event.flow, event.id, kept) == 1 then
    call('ZADD', K .. 'flow:' .. event.flow, event.at, event.id)
    call('ZADD', K .. 'seen', now, mark)
  end
end`),

  /** Request: flow, limit. */
  flow: readScript(`
local events = {}
for n, id in ipairs(call('ZRANGE', K .. 'flow:' .. R.flow, 0, R.limit - 1)) do
  events[n] = call('HGET', K .. 'flow-events:' .. R.flow, id)
end
return events`),
};
