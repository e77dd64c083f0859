-- Appends entries with successive numbers to the stream of a shard. Invariant: a stream is a contiguous slice of the
-- log, so a push that would leave a hole changes nothing.
-- KEYS[1]  the stream
-- ARGV     the number before the first entry; bounds: entries, bytes, idle seconds; then four fields for each entry
-- Returns  the last number in the stream afterwards, 0 when it is empty. Below the last number of the entries it means
--          that a hole would have been left.
-- Memory is measured at each 256 numbers; trimming whole nodes (~) may need more than one round.
local key, after = KEYS[1], tonumber(ARGV[1])
local maxEntries, maxBytes, idle = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local count = (#ARGV - 4) / 4
local top = 0
local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
if newest then top = tonumber(string.match(newest[1], '^%d+')) end
if count == 0 or (newest and top < after) then return top end
local last = after + count
if last <= top then return top end
for seq = math.max(top, after) + 1, last do
  local i = 4 * (seq - after) + 1
  redis.call('XADD', key, 'MAXLEN', '~', maxEntries, string.format('%.0f-0', seq),
    's', ARGV[i], 'f', ARGV[i + 1], 'c', ARGV[i + 2], 'e', ARGV[i + 3])
end
redis.call('EXPIRE', key, idle)
if math.floor(last / 256) > math.floor(top / 256) then
  for _ = 1, 8 do
    local used = redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', 0)
    if type(used) ~= 'number' or used <= maxBytes then break end
    local keep = math.floor(redis.call('XLEN', key) * 0.9 * maxBytes / used)
    redis.call('XTRIM', key, 'MAXLEN', '~', math.max(keep, 1))
  end
end
return last
