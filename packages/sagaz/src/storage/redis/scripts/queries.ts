import { readScript } from "./base.ts";
import { row } from "./rows.ts";

/** Scripts of reads for users. */
export const queryScripts = {
  /** Request: ids. Rows, as far as they are there. */
  rows: readScript(`
local rows = {}
for _, id in ipairs(R.ids) do
  local kept = call('GET', K .. 's:' .. id)
  if kept then rows[#rows + 1] = { id, kept, call('LINDEX', K .. 'journal:' .. id, 0) } end
end
return rows`),

  /** Request: indexes, from (least id), after (an id, or none), limit. Ids from all of them, the latest first. */
  page: readScript(`
local ids = {}
for _, index in ipairs(R.indexes) do
  local max = R.after and '(' .. R.after or '+'
  for _, id in ipairs(call('ZREVRANGEBYLEX', K .. index, max, '[' .. R.from, 'LIMIT', 0, R.limit)) do ids[#ids + 1] = id end
end
table.sort(ids, function(a, b) return a > b end)
local page = {}
for n = 1, math.min(#ids, R.limit) do page[n] = ids[n] end
return page`),

  /** Request: ids. */
  statuses: readScript(
    row,
    `
local statuses = {}
for n, id in ipairs(R.ids) do statuses[n] = (readRow(id) or { status = '' }).status end
return statuses`,
  ),

  /** Request: sinceMs. */
  counts: readScript(`
local counts = {}
local unfinished = call('HGETALL', K .. 'unfinished')
for n = 1, #unfinished, 2 do counts[#counts + 1] = { unfinished[n], tonumber(unfinished[n + 1]) } end
for _, kind in ipairs(call('SMEMBERS', K .. 'endings')) do
  counts[#counts + 1] = { kind, call('ZCOUNT', K .. 'ended:' .. kind, digits(now - R.sinceMs), '+inf') }
end
return counts`),
};
