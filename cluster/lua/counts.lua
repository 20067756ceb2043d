-- counts.lua: how many sockets a node has in some of its namespaces.
--
-- KEYS[1]   sessions
-- ARGV[1]   node
-- ARGV[2]   session
-- ARGV[3]   what the keys of namespaces begin with (same hash tag as KEYS[1])
-- ARGV[4..] full name, sockets, retirement in ms, ...
--
-- Returns 1, or the error FENCED; then nothing was written.
--
-- Keeps: a count makes nobody a member; it is dropped where the node is none under this
-- session. The caller bounds the number of namespaces in a call.
if not stands(KEYS[1], ARGV[1], ARGV[2]) then return fenced() end
local field = '@' .. ARGV[1]
for i = 4, #ARGV, 3 do
  local ns = ARGV[3] .. ARGV[i]
  local value = redis.call('HGET', ns, field)
  if value and string.match(value, '^%d+') == ARGV[2] then
    redis.call('HSET', ns, field, ARGV[2] .. ' ' .. ARGV[i + 1], 'retirement', ARGV[i + 2])
  end
end
return 1
