-- Adds to the bytes written in a window, which starts with the first of them.
-- KEYS[1]  the counter
-- ARGV     bytes to add; window in ms
-- Returns  bytes used in the window, ms to its end, 0
local used = redis.call('INCRBY', KEYS[1], ARGV[1])
local ms = redis.call('PTTL', KEYS[1])
if ms < 0 then
  ms = tonumber(ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ms)
end
return { used, ms, 0 }
