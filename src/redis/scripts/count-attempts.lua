-- Counts failed attempts in a window and attempts in flight, and decides whether one more may begin. Each process writes
-- its own number in flight as a whole, so that the next step corrects a lost answer; a lease removes the number of a
-- process that was killed.
-- KEYS[1]  a hash: failures, the end of their window, and per process its attempts in flight and the end of their lease
-- ARGV     limit; window in ms; lease in ms; failures to add; failures known to the process, for a hash that is lost; ms
--          to the end of that window; the process; its attempts in flight, including the one that asks; 1 if one asks
-- Returns  whether the attempt begins (1), waits (2) or is refused (0); failures; ms to the end of the window
local limit, window, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local added, known, knownMs = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local process, mine, asks = 'of ' .. ARGV[7], tonumber(ARGV[8]), ARGV[9] == '1'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local failed, ends, others, leased = 0, 0, 0, 0
local stored = redis.call('HGETALL', KEYS[1])
for index = 1, #stored, 2 do
  local field, value = stored[index], stored[index + 1]
  if field == 'failed' then failed = tonumber(value)
  elseif field == 'ends' then ends = tonumber(value)
  elseif field ~= process then
    local count, untilMs = string.match(value, '(%d+) (%d+)')
    if tonumber(untilMs) > now then
      others = others + tonumber(count)
      leased = math.max(leased, tonumber(untilMs))
    else redis.call('HDEL', KEYS[1], field) end
  end
end
if #stored == 0 and knownMs > 0 then failed, ends = known, now + knownMs end
if ends <= now then failed, ends = 0, 0 end
failed = failed + added
if failed > 0 and ends == 0 then ends = now + window end
local verdict = 1
if asks and failed >= limit then verdict = 0
elseif asks and failed + others + mine > limit then verdict = 2 end
if verdict ~= 1 then mine = mine - 1 end
if mine > 0 then
  leased = math.max(leased, now + lease)
  redis.call('HSET', KEYS[1], process, string.format('%d %d', mine, now + lease))
else redis.call('HDEL', KEYS[1], process) end
if failed > 0 then redis.call('HSET', KEYS[1], 'failed', failed, 'ends', string.format('%d', ends)) end
if failed == 0 and leased == 0 then redis.call('DEL', KEYS[1])
else redis.call('PEXPIRE', KEYS[1], math.max(ends, leased) - now) end
return { verdict, failed, math.max(0, ends - now) }
