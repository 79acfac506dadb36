-- Takes AT lines into one part of the herd, in the order of records: of each client the newest line stays, whoever comes
-- first. Runs in the engine, between whose commands nothing else does. What can fail is done before anything is written: the
-- engine takes nothing back.
--
-- KEYS  the part's hash, from client to AT line; its log, a stream; its height: the number of its life, given when the hash
--       is begun anew, and how many entries the log has had since
-- ARGV  for how many milliseconds entries of the log are kept, 0 for no log; then a client, its line, a client, its line...
--       merge.rs says how many at most
-- Gives the height, and then each line of the hash that is newer than the one that came.
--
-- Where the engine runs in a locale, Lua compares text by that locale, with < and >. Here text is compared by its bytes.

local hash, log, height = KEYS[1], KEYS[2], KEYS[3]

local function by_bytes(a, b)
  if a == b then return 0 end
  for at = 1, math.min(#a, #b) do
    local left, right = a:byte(at), b:byte(at)
    if left ~= right then return left < right and -1 or 1 end
  end
  return #a < #b and -1 or 1
end

-- Whole numbers of any size, by their digits. A double holds fifteen of them exactly.
local function by_number(a, b)
  if #a <= 15 and #b <= 15 then
    a, b = tonumber(a), tonumber(b)
    if a == b then return 0 end
    return a < b and -1 or 1
  end
  a, b = a:match('^0*(.*)$'), b:match('^0*(.*)$')
  if #a ~= #b then return #a < #b and -1 or 1 end
  return by_bytes(a, b)
end

-- Origin, difference, location, time, and of that the seconds and the decimals.
local function fields(line)
  local origin, difference, location, time =
    line:match('^AT ([^ ]+) ([+-][%d.]+) [^ ]+ ([+-][%d.]+[+-][%d.]+) ([%d.]+)$')
  if not origin then return nil end
  local seconds, decimals = time:match('^(%d+)%.(%d+)$')
  if not seconds then seconds, decimals = time:match('^(%d+)$'), '' end
  if not seconds then return nil end
  return origin, difference, location, time, seconds, decimals
end

-- Whether the line `a` is newer than `b`: by its time as a number, its location, its origin, its difference, and its time's
-- digits. What is no AT line is older than any.
local function is_newer(a, b)
  local origin_a, difference_a, location_a, time_a, seconds_a, decimals_a = fields(a)
  if not origin_a then return false end
  local origin_b, difference_b, location_b, time_b, seconds_b, decimals_b = fields(b)
  if not origin_b then return true end
  local order = by_number(seconds_a, seconds_b)
  if order == 0 and decimals_a ~= decimals_b then
    order = by_bytes(decimals_a:match('^(.-)0*$'), decimals_b:match('^(.-)0*$'))
  end
  if order == 0 then order = by_bytes(location_a, location_b) end
  if order == 0 then order = by_bytes(origin_a, origin_b) end
  if order == 0 then order = by_bytes(difference_a, difference_b) end
  if order == 0 then order = by_bytes(time_a, time_b) end
  return order > 0
end

local appending = can_append(log, height, ARGV[1])
if appending.err then return appending end

local clients = {}
for at = 2, #ARGV, 2 do clients[#clients + 1] = ARGV[at] end
local held = redis.call('HMGET', hash, unpack(clients))

-- A client may come more than once.
local newest, changes, reply = {}, {}, { appending.before or '0 0' }
for at, client in ipairs(clients) do
  local line, known = ARGV[1 + 2 * at], newest[client] or held[at]
  if not known or line ~= known and is_newer(line, known) then
    newest[client] = line
  elseif line ~= known then
    reply[#reply + 1] = known
  end
end
local lines = {}
for client, line in pairs(newest) do
  changes[#changes + 1] = client
  changes[#changes + 1] = line
  lines[#lines + 1] = line
end

if #lines == 0 then return reply end
redis.call('HSET', hash, unpack(changes))
reply[1] = append(appending, lines)
return reply
