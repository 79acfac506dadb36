-- What the scripts share: how a part gets an entry in its log. First is asked whether it can, as the engine takes nothing
-- back, and then it is done.

local function can_append(log, height, kept_ms)
  local to = { log = log, height = height, kept_ms = tonumber(kept_ms) }
  to.before, to.now = redis.call('GET', height), redis.call('TIME')
  if not to.kept_ms or to.kept_ms < 0 then
    return redis.error_reply('ERR the log is kept for a number of milliseconds')
  end
  to.life, to.entries = string.format('%d%06d', to.now[1], to.now[2]), '0'
  if to.before then to.life, to.entries = to.before:match('^(%d+) (%d+)$') end
  if not to.life then return redis.error_reply('ERR ' .. height .. ' is no height') end
  if to.kept_ms > 0 and not ({ stream = 1, none = 1 })[redis.call('TYPE', log).ok] then
    return redis.error_reply('ERR ' .. log .. ' is no log')
  end
  return to
end

-- Gives the height of the part then.
local function append(to, lines)
  local height = to.life .. ' ' .. string.format('%.0f', tonumber(to.entries) + 1)
  redis.call('SET', to.height, height)
  if to.kept_ms > 0 then
    local first = string.format('%.0f', math.max(to.now[1] * 1000 - to.kept_ms, 0))
    redis.call('XADD', to.log, 'MINID', '~', first, '*', 'n', height, 'at', table.concat(lines, '\n'))
  end
  return height
end

