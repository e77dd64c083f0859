-- Appends entries with successive numbers to the stream of a shard. Invariant: a stream is a contiguous slice of the
-- log, so a push that would leave a hole changes nothing.
-- KEYS[1]  the stream
-- ARGV     the number before the first entry; bounds: entries, bytes, parts of maxmemory of which the stream may have one,
--          idle seconds; then four fields for each entry
-- Returns  the last number in the stream afterwards, 0 when it is empty. Below the last number of the entries it means
--          that a hole would have been left.
-- Memory is measured at each 256 numbers; trimming whole nodes (~) may need more than one round.
local key, after = KEYS[1], tonumber(ARGV[1])
local maxEntries, maxBytes, parts, idle = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local fixed = 5
local count = (#ARGV - fixed) / 4
local top = 0
local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
if newest then top = tonumber(string.match(newest[1], '^%d+')) end
if count == 0 or (newest and top < after) then return top end
local last = after + count
if last <= top then return top end
local function add(call, seq)
  local i = 4 * (seq - after) + fixed - 3
  return call('XADD', key, 'MAXLEN', '~', maxEntries, string.format('%.0f-0', seq),
    's', ARGV[i], 'f', ARGV[i + 1], 'c', ARGV[i + 2], 'e', ARGV[i + 3])
end
local first = math.max(top, after) + 1
local added = add(redis.pcall, first)
if type(added) == 'table' and added.err then
  -- In a full Redis the older half of the stream makes room: the log has it. Redis refuses no write after the first of a
  -- script, so that a stream that has nothing to give is not extended.
  local isFull = string.find(added.err, 'OOM', 1, true) or string.find(added.err, 'maxmemory', 1, true)
  if not isFull or redis.call('XTRIM', key, 'MAXLEN', '~', math.floor(redis.call('XLEN', key) / 2)) == 0 then
    return added
  end
  add(redis.call, first)
end
for seq = first + 1, last do add(redis.call, seq) end
redis.call('EXPIRE', key, idle)
if math.floor(last / 256) > math.floor(top / 256) then
  local memory = redis.pcall('INFO', 'memory')
  local limit = type(memory) == 'string' and tonumber(string.match(memory, '\nmaxmemory:(%d+)')) or 0
  if limit > 0 then maxBytes = math.min(maxBytes, limit / parts) end
  for _ = 1, 8 do
    local used = redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', 0)
    if type(used) ~= 'number' or used <= maxBytes then break end
    local keep = math.floor(redis.call('XLEN', key) * 0.9 * maxBytes / used)
    redis.call('XTRIM', key, 'MAXLEN', '~', math.max(keep, 1))
  end
end
return last
