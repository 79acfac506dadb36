-- Has one line take the place of another one, if that is still there, whichever is newer: what is there may count nowhere.
--
-- KEYS  as merge.lua
-- ARGV  for how many milliseconds entries of the log are kept, the client, the line that is there, the line instead
-- Gives 1 if that was done, or 0.

local hash, client, there, instead = KEYS[1], ARGV[2], ARGV[3], ARGV[4]
local appending = can_append(KEYS[2], KEYS[3], ARGV[1])
if appending.err then return appending end
if redis.call('HGET', hash, client) ~= there then return 0 end
redis.call('HSET', hash, client, instead)
append(appending, { instead })
return 1
