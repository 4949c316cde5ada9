/**
 * What every script begins with. KEYS[1] is the hash tag, with which the names of all keys begin; ARGV holds the time of a
 * test (else empty: Redis' own clock counts), the request as JSON, the line that it comes by and that line's number, and
 * then texts that are stored as they are, in the order in which the script takes them.
 *
 * A script is not interrupted, and not rolled back. So it looks at everything before it writes anything; and what the
 * server would refuse to one of its writes (no memory, a replica, no disk) it refuses to the script before it runs.
 */
const opening = `
local K = KEYS[1] .. ':'
local call = redis.call
local R = cjson.decode(ARGV[2])
local now, micros = tonumber(ARGV[1]), nil
if now then micros = now * 1000
else
  local time = call('TIME')
  micros = time[1] * 1000000 + time[2]
  now = math.floor(micros / 1000)
end
-- No sum of ours loses a digit: Lua would write 14 of them.
local function digits(number) return string.format('%.0f', number) end
local function refuse(code, details) return redis.error_reply('SAGAZ_' .. code .. ' ' .. cjson.encode(details)) end
`;

/**
 * What was sent by a connection that is lost may still arrive, after its sender has looked what became of it. So each new
 * connection notes its number first, and what comes by an older one is nobody's any more.
 */
const lineCheck = `
local line = call('GET', K .. 'line:' .. ARGV[3])
if line and tonumber(line) > tonumber(ARGV[4]) then return refuse('STALE', {}) end
local place = 4
local function text() place = place + 1; return ARGV[place] end
local hints = {}
local function hint(word) hints[word] = true end
-- What is written stays, whether or not it may be told.
local function tell() for word in pairs(hints) do redis.pcall('PUBLISH', K .. 'hints', word) end end
local function isFenced() return not call('ZSCORE', K .. 'workers', R.epoch) end
`;

/** A script that writes nothing: a full memory does not keep it from that. */
export function readScript(...parts: readonly string[]): string {
  return ["#!lua flags=no-writes", opening, ...parts].join("\n");
}

/** A script that writes. */
export function writeScript(...parts: readonly string[]): string {
  return ["#!lua", opening, lineCheck, ...parts].join("\n");
}

/** A script that writes little, and goes on when the memory is full: it frees more, or keeps workers alive. */
export function frugalScript(...parts: readonly string[]): string {
  return ["#!lua flags=allow-oom", opening, lineCheck, ...parts].join("\n");
}
