/**
 * What happens in Redis in one go. A script is not interrupted, and what the server would refuse to one of its writes
 * (no memory, a replica, no disk) it refuses to the script before it runs.
 *
 * `allow-oom`: those who read must go on when the memory is full, for only they can make room.
 */
export const scripts = {
  /**
   * KEYS stream; ARGV of each message the key, the headers and the payload, with their lengths, in one piece. One of them
   * can only fail for what fails them all.
   */
  append: `#!lua
local at, packet, unpack = 1, ARGV[1], struct.unpack
while at <= #packet do
  local key, headers, payload
  key, headers, payload, at = unpack('>I4c0I4c0I4c0', packet, at)
  redis.call('XADD', KEYS[1], '*', 'key', key, 'headers', headers, 'payload', payload)
end`,

  /**
   * KEYS lease, stream; ARGV token, milliseconds, group. Makes sure that the group exists, and takes the lease or renews it.
   * Answers nil while another one holds it, else whether it was held before, and the group's place.
   */
  hold: `#!lua flags=allow-oom
local made = redis.pcall('XGROUP', 'CREATE', KEYS[2], ARGV[3], '0', 'MKSTREAM')
if made.err and not string.find(made.err, '^BUSYGROUP') then return made end
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return false end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
  -- 'name', name, 'consumers', count, 'pending', count, 'last-delivered-id', id
  if group[2] == ARGV[3] then return { holder and 1 or 0, group[8] } end
end`,

  /**
   * KEYS lease, stream; ARGV token, group, place, 1 to trim. Moves the group's place on, if the lease is still held, and
   * removes what all groups have behind them. Groups of others may read with XREADGROUP: what is pending there stays.
   */
  advance: `#!lua flags=allow-oom
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('XGROUP', 'SETID', KEYS[2], ARGV[2], ARGV[3])
if ARGV[4] ~= '1' then return 1 end
local function isBefore(one, other)
  local ms, n = string.match(one, '(%d+)-(%d+)')
  local otherMs, otherN = string.match(other, '(%d+)-(%d+)')
  if ms ~= otherMs then return tonumber(ms) < tonumber(otherMs) end
  return tonumber(n) < tonumber(otherN)
end
local least = ARGV[3]
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
  local place = group[8]
  if group[6] > 0 then place = redis.call('XPENDING', KEYS[2], group[2])[2] end
  if isBefore(place, least) then least = place end
end
redis.call('XTRIM', KEYS[2], 'MINID', '~', least)
return 1`,

  /** KEYS lease; ARGV token. */
  release: `#!lua flags=allow-oom
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`,
};
