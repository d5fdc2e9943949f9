-- The load of one wrk thread: many clients, some with a cookie, varied bodies. See bench/wrk.py.
-- Arguments: seed, batch (events in one request, 0 for POST /event), cookies as a file, clients.
local paths = {"/cv", "/cv?theme=dev", "/letters", "/", "/cv?theme=design&utm_source=news",
               "/projects/42", "/contact?ref=footer"}
local referrers = {"", "https://www.google.com/search?q=x", "https://news.example/item/7",
                   "https://example.org/blog"}
local links = {"https://example.org/a?token=t0123456", "/letters", "https://github.com/example/project", "/files/cv.pdf"}
local themes = {"dev", "design", "data", "security", "frontend"}
local browsers = {
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.%d.0 Safari/537.36",
  "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/13%d.0",
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_%d like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
}
local cookies, requests, position, threads = {}, {}, 0, 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local function one()
  local kind, path = math.random(100), paths[math.random(#paths)]
  if kind <= 55 then
    return string.format('{"event_type":"page_view","page_url":"%s","referrer":"%s","session_duration":%d}',
      path, referrers[math.random(#referrers)], math.random(300))
  elseif kind <= 75 then
    return string.format('{"event_type":"button_click","page_url":"%s","event_data":{"x":%d,"y":%d,"button":"b%d"}}',
      path, math.random(1900), math.random(4000), math.random(20))
  elseif kind <= 85 then
    return string.format('{"event_type":"cv_theme_change","page_url":"/cv","event_data":{"theme":"%s"}}',
      themes[math.random(#themes)])
  elseif kind <= 90 then
    return '{"event_type":"letter_generate","page_url":"/letters","event_data":{"letter_type":"motivation","company":"ACME"}}'
  elseif kind <= 97 then
    return string.format('{"event_type":"link_click","page_url":"%s","event_data":{"href":"%s","text":"Read more"}}',
      path, links[math.random(#links)])
  end
  return string.format('{"event_type":"form_submit","page_url":"/contact","event_data":{"form":"contact","email":"a%d@example.org","ok":true}}',
    math.random(1000000))
end

-- Who sends: an address, a browser and, of nine in ten, the cookie that they got on an earlier visit.
local function client()
  local headers = {
    ["Content-Type"] = "application/json",
    ["X-Forwarded-For"] = string.format("10.%d.%d.%d", math.random(0, 255), math.random(0, 255), math.random(1, 254)),
    ["User-Agent"] = string.format(browsers[math.random(#browsers)], math.random(9)),
    ["Accept-Language"] = "fr-FR,fr;q=0.9,en;q=0.8",
    ["Sec-Fetch-Site"] = "same-origin",
  }
  if math.random(10) <= 9 then
    headers["Cookie"] = "maicivy_session=" .. cookies[math.random(#cookies)]
  end
  return headers
end

local function make(headers)
  if batch == 0 then return wrk.format("POST", target, headers, one()) end
  local events = {}
  for i = 1, batch do events[i] = one() end
  return wrk.format("POST", target, headers, '{"events":[' .. table.concat(events, ",") .. ']}')
end

-- Made beforehand, so that the load costs little of the machine that is measured.
function init(args)
  math.randomseed(tonumber(args[1]) * 64 + number)
  batch = tonumber(args[2])
  target = batch > 0 and "/api/v1/analytics/events" or "/api/v1/analytics/event"
  for line in io.lines(args[3]) do cookies[#cookies + 1] = line end
  local clients = {}
  for i = 1, tonumber(args[4]) do clients[i] = client() end
  for i = 1, batch > 0 and 4000 or 20000 do requests[i] = make(clients[i % #clients + 1]) end
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function done(summary, latency, requests)
  io.write(string.format('RESULT {"requests":%d,"microseconds":%d,"refused":%d,"errors":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
