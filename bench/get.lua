-- Tells what wrk saw of GETs. See bench/wrk.py.
function done(summary, latency, requests)
  io.write(string.format('RESULT {"requests":%d,"microseconds":%d,"refused":%d,"errors":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
