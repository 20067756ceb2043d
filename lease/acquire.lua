-- acquire.lua: take the lease, or learn how long to wait for it.
--
-- KEYS[1]  the lease: a string "<token> <nonce> <holder>" that expires with it
-- KEYS[2]  the last token granted; never expires
-- ARGV[1]  nonce: names this candidacy; no other ever has the same
-- ARGV[2]  holder: who asks, for people to read
-- ARGV[3]  length of the lease in ms
-- ARGV[4]  the highest token that the caller has seen, "0" if none
--
-- Returns  {1, token}  the caller holds the lease
--          {0, ms}     another one holds it for ms more (-1: without end, which
--                      this package never does); nothing was written
--
-- Keeps: every token is greater than all before it, also when KEYS[2] was lost
-- (TIME is then greater) or the server's clock went back (KEYS[2] or ARGV[4] is).
-- A candidacy that is granted twice, because its first answer got lost, gets a
-- new token, and the first one is void: a grant whose answer arrives very late
-- can not be used beside its successor.
--
-- Both keys must carry the same {hash tag}. Numbers stay below 2^53, where Lua's
-- doubles are exact, until the year 2255.
local current = redis.call('GET', KEYS[1])
if current and string.match(current, '^%d+ (%S+)') ~= ARGV[1] then
  return {0, redis.call('PTTL', KEYS[1])}
end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local token = math.max(last + 1, tonumber(ARGV[4]) + 1, now)
local text = string.format('%.0f', token)
redis.call('SET', KEYS[2], text)
redis.call('SET', KEYS[1], text .. ' ' .. ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return {1, token}
