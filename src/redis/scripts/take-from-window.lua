-- Takes permissions from a fixed window. One answer grants at least what is wanted and at most one share of what is
-- left, while the limit allows it.
-- KEYS[1]  the counter
-- ARGV     limit; wanted; window in ms; granted without Redis since the last answer; count known to the process, for a
--          counter that is lost; ms to the end of that window, 0 if unknown; shares that what is left is divided into
-- Returns  granted, left, ms to the end of the window
local limit, wanted, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local owed, known, knownMs = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local shares = tonumber(ARGV[7])
local used = redis.call('GET', KEYS[1])
if used then
  used = tonumber(used) + owed
else
  used = known
  if knownMs > 0 then window = knownMs end
end
local left = math.max(0, limit - used)
local granted = math.min(left, math.max(wanted, math.floor(left / shares)))
local ms = redis.call('PTTL', KEYS[1])
if ms <= 0 then ms = window end
redis.call('SET', KEYS[1], used + granted, 'PX', ms)
return { granted, left - granted, ms }
