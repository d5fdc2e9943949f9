-- The load of load.lua at a steady pace: each connection waits between its requests. A fourth
-- argument says how many milliseconds, on average: what differs does not come in bursts.
dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "load.lua")

local make_requests, pause = init, 0

function init(args)
  pause = tonumber(args[4])
  make_requests(args)
end

function delay()
  return math.random(0, 2 * pause)
end
