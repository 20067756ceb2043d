-- dismiss.lua: let an empty namespace retire now instead of when its time is over.
--
-- KEYS[1]  sessions
-- KEYS[2]  era
-- KEYS[3]  the namespace: hash
-- KEYS[4]  due
-- KEYS[5]  control channel
-- ARGV[1]  node
-- ARGV[2]  session
-- ARGV[3]  era of the session
-- ARGV[4]  full name of the namespace
--
-- Returns  {epoch, 1}  it is due now
--          {epoch, 2}  it has members; nothing was written
--          {epoch, 3}  it is permanent; nothing was written
--          {0, 0}      it does not stand; nothing was written
--          or the error FENCED; nothing was written.
--
-- Keeps: only the lease holder retires, and checks everything again (retire.lua). The
-- retirement time of the namespace stays as it is: whoever joins first clears what is
-- written here, and with it the dismissal is over, also if that node dies at once. In an
-- era that is not settled it waits, like all others.
if not stands(KEYS[1], ARGV[1], ARGV[2]) then return fenced() end
local h = redis.call('HMGET', KEYS[3], 'era', 'epoch', 'emptied', 'retirement')
if h[1] ~= ARGV[3] then return {0, 0} end
if not h[3] or members(KEYS[3]) > 0 then return {tonumber(h[2]), 2} end
if tonumber(h[4]) < 0 then return {tonumber(h[2]), 3} end
redis.call('HSET', KEYS[3], 'dismissed', text(time()))
schedule(KEYS[3], KEYS[4], KEYS[2], ARGV[4], tonumber(h[3]))
wake(KEYS[4], KEYS[5], ARGV[4], h[2])
return {tonumber(h[2]), 1}
