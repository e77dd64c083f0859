-- Registers a server process, or removes it, and counts the others. Redis's clock decides which have expired.
-- KEYS[1]  the sorted set of server processes by expiry time in ms
-- ARGV     the process; for how many ms it is registered, 0 to remove it
-- Returns  how many other processes are registered
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREM', KEYS[1], ARGV[1])
local others = redis.call('ZCARD', KEYS[1])
if ARGV[2] ~= '0' then
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return others
