-- register.lua: begin a session of a node, and an era if this server is another.
--
-- KEYS[1]   era: hash {run_id, era, began, ttl, watched, postponed, cursor, swept}
-- KEYS[2]   clock of eras, sessions and epochs
-- KEYS[3]   sessions: hash node -> session
-- KEYS[4]   asserting: set of nodes whose session has not said done
-- KEYS[5]   nodes: zset node -> last heartbeat
-- KEYS[6]   lease
-- KEYS[7]   stale: hash session -> node, of sessions that ended and are not swept yet
-- KEYS[8]   due: zset namespace -> when it may be retired
-- KEYS[9]   the node's record: hash
-- KEYS[10]  the node's namespaces: set
-- KEYS[11]  control channel
-- ARGV[1]   node
-- ARGV[2]   run_id of the server, read over this very connection
-- ARGV[3]   node TTL in ms
-- ARGV[4]   the highest epoch, era or session that the node has seen, "0" if none
-- ARGV[5]   what the keys of all nodes begin with; with the node they are the keys
--           of its record, and with ":namespaces" behind it those of its set
-- ARGV[6]   what the keys of ended sessions' memberships begin with
-- ARGV[7]   the process that registers; another has another one
-- ARGV[8]   where clients reach it
-- ARGV[9..] field, value, ... of the node's record
--
-- Returns {session, era, 1 if the era is new and else 0}
--      or {0, wait, 0}   another process is registered as this node, and lives: its session
--                        stands for wait us more, unless it sends a heartbeat again
--
-- Keeps: a new session is higher than all before it, in all eras. A node has one
-- session at most, and a process that lives keeps its own: of two with one id the
-- newcomer gives way, and the record says that it is there. In a new era no session stands, nobody asserts or leads, and
-- nothing is due. Namespaces of an older era are not touched (there may be too many
-- for one script): they count as absent, and sweep.lua forgets them.
local now = time()
local floor = tonumber(ARGV[4])
local era = redis.call('HGET', KEYS[1], 'era')
local fresh = 0
local former = era and redis.call('HGET', KEYS[1], 'run_id') == ARGV[2] and redis.call('HGET', KEYS[3], ARGV[1])
if former then
  local r = redis.call('HMGET', KEYS[9], 'instance', 'ttl')
  local beat = tonumber(redis.call('ZSCORE', KEYS[5], ARGV[1]) or '0')
  local left = beat + tonumber(r[2] or ARGV[3]) * 1000 - now
  if r[1] ~= ARGV[7] and left > 0 then
    redis.call('HSET', KEYS[9], 'rival', ARGV[8], 'rival_at', text(now))
    return {0, left, 0}
  end
end
if not era or redis.call('HGET', KEYS[1], 'run_id') ~= ARGV[2] then
  fresh = 1
  era = text(tick(KEYS[2], now, math.max(floor, tonumber(era or '0'))))
  for _, node in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do
    redis.call('UNLINK', ARGV[5] .. node, ARGV[5] .. node .. ':namespaces')
  end
  for _, session in ipairs(redis.call('HKEYS', KEYS[7])) do
    redis.call('UNLINK', ARGV[6] .. session)
  end
  redis.call('UNLINK', KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8])
  redis.call('HSET', KEYS[1], 'run_id', ARGV[2], 'era', era, 'began', text(now), 'ttl', ARGV[3])
  redis.call('PUBLISH', KEYS[6] .. ':released', '')
elseif tonumber(redis.call('HGET', KEYS[1], 'ttl')) < tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], 'ttl', ARGV[3])
end
if former then
  depart(KEYS[3], KEYS[4], KEYS[5], KEYS[7], ARGV[1], former, KEYS[10], ARGV[6])
  redis.call('PUBLISH', KEYS[11], 'gone ' .. former .. ' ' .. ARGV[1])
end
local session = tick(KEYS[2], now, floor)
redis.call('HSET', KEYS[3], ARGV[1], text(session))
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[5], text(now), ARGV[1])
redis.call('UNLINK', KEYS[9], KEYS[10])
redis.call('HSET', KEYS[9], 'session', text(session), 'ttl', ARGV[3], 'instance', ARGV[7], 'address', ARGV[8])
for i = 9, #ARGV, 2 do redis.call('HSET', KEYS[9], ARGV[i], ARGV[i + 1]) end
return {session, tonumber(era), fresh}
