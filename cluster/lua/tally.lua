-- tally.lua: count what some namespaces have, without handing them out.
--
-- KEYS[1]  era
-- KEYS[2]  namespaces: zset of full names
-- ARGV[1]  where to begin, as ZRANGEBYLEX takes it
-- ARGV[2]  where to end, likewise
-- ARGV[3]  how many namespaces to look at, at most
-- ARGV[4]  what the keys of namespaces begin with (same hash tag as the KEYS)
--
-- Returns  {name, namespaces, empty, node, namespaces, sockets, node, ...}: the last one looked at,
--          "" if there are no more; how many stand, and how many of them wait for their
--          retirement; and of each node in them, in how many it is and with how many sockets.
--
-- Keeps: nothing is written, and no session needed. It looks at a bounded number of namespaces.
local era = redis.call('HGET', KEYS[1], 'era')
local names = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local count, empty, spaces, sockets, order = 0, 0, {}, {}, {}
for _, name in ipairs(names) do
  local h, f = redis.call('HGETALL', ARGV[4] .. name), {}
  for i = 1, #h, 2 do f[h[i]] = h[i + 1] end
  if era and f['era'] == era then
    count = count + 1
    if f['emptied'] and tonumber(f['retirement']) >= 0 then empty = empty + 1 end
    for field, value in pairs(f) do
      if string.sub(field, 1, 1) == '@' then
        local node = string.sub(field, 2)
        if not spaces[node] then
          spaces[node], sockets[node] = 0, 0
          order[#order + 1] = node
        end
        spaces[node] = spaces[node] + 1
        sockets[node] = sockets[node] + tonumber(string.match(value, ' (%d+)$') or '0')
      end
    end
  end
end
local last = ''
if #names == tonumber(ARGV[3]) then last = names[#names] end
local out = {last, count, empty}
for _, node in ipairs(order) do
  out[#out + 1] = node
  out[#out + 1] = spaces[node]
  out[#out + 1] = sockets[node]
end
return out
