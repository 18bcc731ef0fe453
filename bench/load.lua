-- The load that wrk sends: one line of BENCH_FILE a request, in order, from line BENCH_FROM on.
-- Lines are bodies to post, each with an Idempotency-Key of its own, or paths to get.
-- Prints one line of JSON at the end.

local lines, at, key = {}, 0, 0
local post = os.getenv("BENCH_METHOD") == "POST"
local run = os.getenv("BENCH_RUN")

function init()
  for line in io.lines(os.getenv("BENCH_FILE")) do lines[#lines + 1] = line end
  at = tonumber(os.getenv("BENCH_FROM"))
  wrk.headers["Accept-Language"] = "en-GB,en;q=0.9"
  if post then wrk.headers["Content-Type"] = "application/json" end
end

function request()
  local line = lines[at % #lines + 1]
  at = at + 1
  if not post then return wrk.format("GET", line) end
  key = key + 1
  -- A version 8 UUID (RFC 9562): the run and the number, so that no two requests share one.
  wrk.headers["Idempotency-Key"] = string.format("%s-%012x", run, key)
  return wrk.format("POST", "/v1/reports", nil, line)
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "connect": %d,'
      .. ' "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
