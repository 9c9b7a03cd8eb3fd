-- Counters in Redis: each request is all or none, whatever the number of its
-- counters and windows, and one call does as many requests as it brings, one after
-- the other. It computes what ratelimit.Memory does, so that instances which share
-- a Redis answer as one instance would.
--
-- Each ARGV is a request, a packed list of numbers (see wire.go); KEYS are those of
-- the first, then those of the second, and so on. One is of tallies in fixed
-- windows, which are counted whether they fit or not:
--
--   mode, keys, then for each key
--   back (0 or 1: its hits are given back), hits, length, max.
--
-- Its answer is a list too: now, and what is used of each. Their keys hold plain
-- numbers and end with their window. The keys of all other requests are the memory
-- of a sid, where the request says so, and counters:
--
--   mode, keys, hits, now (0: the server's clock), sid (0 or 1), plain (0 or 1:
--   every window is fixed, and of no calendar), then for each counter
--   shadow (0 or 1; of Count: the hits are given back), its own hits (of Count),
--   windows, and for each window
--   kind, algorithm, length, max, size, and of the calendar its four bounds.
--
-- The answer to a request is one too: status, now, and three numbers for each
-- window: what is left, when all of it is back, when the hits asked for would fit.
-- A single request's answer stands alone; several are an array, with an error in
-- the place of what failed.
--
-- A counter is a packed list: for each window kind, until (seconds: when it can
-- be forgotten), start, used, marks, and for each mark when and how many. Times
-- are in microseconds but where they say else; a number is exact up to 2^53,
-- where amounts saturate.

local LOOK, TAKE, FORCE, REFUND, RESET, COUNT, PROBE, TALLY = 0, 1, 2, 3, 4, 5, 6, 7
local REFUSED, CHARGED, LOOKED, REPEATED = 0, 1, 2, 3
local FIXED, SLIDING, BUCKET, CALENDAR = 0, 1, 2, 3
local MOST, LATE = 9007199254740992, 9000000000000000
local GRAIN = 128
local REMEMBER, FORGIVEN = 5000000, 3
local floor, min, max = math.floor, math.min, math.max
local call, pack, unpacked = redis.call, cmsgpack.pack, cmsgpack.unpack

-- When a request is, by its clock; in microseconds, in seconds.
local now, second

local clock -- the server's, the same for all requests

local function look_at_clock()
  if not clock then
    local time = call('TIME')
    clock = tonumber(time[1]) * 1000000 + tonumber(time[2])
  end
  now = clock
  second = floor(now / 1000000)
end

-- The number at key.
local function number(key)
  return tonumber(call('GET', key) or 0) or error('not an integer')
end

-- Adds amount to the number at key, which ends with its window. A window that goes
-- on for longer than it is long was begun by a clock that has been set back since.
local function add_to(key, amount, length, most)
  local used = call('INCRBY', key, amount)
  local strange = used > amount and used > most and call('PTTL', key) > 2000 * length
  if strange then used = amount end
  if strange or used > MOST then
    used = min(used, MOST)
    call('SET', key, string.format('%.0f', used))
  end
  if used == amount or used == MOST then
    call('PEXPIREAT', key, (second - second % length + length) * 1000)
  end
  return used
end

local function count(key, back, amount, length, most)
  if amount == 0 then return number(key) end
  if back == 0 then return add_to(key, amount, length, most) end
  local used = number(key)
  if used > amount then return call('DECRBY', key, amount) end
  call('DEL', key)
  return 0
end

-- Counts the tallies of ask, whose keys are those after from. What is used of a key
-- that holds something else is told as more than there can be.
local function tally(ask, from)
  look_at_clock()
  local answer, at = {now}, 3
  for i = 1, ask[2] do
    local well, used = pcall(count, KEYS[from + i], ask[at], ask[at + 1], ask[at + 2], ask[at + 3])
    if not well then
      local text = type(used) == 'table' and used.err or used
      if not string.find(text, 'WRONGTYPE', 1, true) and not string.find(text, 'not an integer', 1, true) then error(used) end
      used = 2 * MOST
    end
    answer[i + 1], at = used, at + 4
  end
  return pack(answer)
end

-- Nearly all calls are about fixed windows alone: for them the packed list is
-- worked on as it is, without a table for each window.
local function plainly(ask, mode, hits, from, first, keys, data, status)
  local answer, n, at, refused = {status, now}, 2, 7, false
  local lists, places, place = {}, {}, 0
  for i = 1, keys do
    local shadow, packed = ask[at] == 1, data[i + first]
    local list = packed and unpacked(packed) or {}
    lists[i] = list
    local stop = at + 3 + 5 * ask[at + 2]
    at = at + 3
    while at < stop do
      local kind, length, most = ask[at], ask[at + 2], ask[at + 3]
      local p, start, used = 1, second - second % length, 0
      while list[p] and list[p] ~= kind do p = p + 5 + 2 * list[p + 4] end
      if not list[p] then
        list[p], list[p + 4] = kind, 0
      elseif start <= list[p + 2] and list[p + 2] - start < 2 * length then
        start, used = list[p + 2], list[p + 3]
      end
      local fin = start + length
      list[p + 1], list[p + 2], list[p + 3] = fin, start, used
      place = place + 1
      places[place] = p
      local left = most > used and most - used or 0
      refused = refused or left < hits and not shadow
      fin = fin * 1000000
      answer[n + 1], answer[n + 2], answer[n + 3] = left, fin, fin
      n, at = n + 3, at + 5
    end
  end
  if mode == LOOK then return pack(answer) end
  if mode == TAKE and refused then
    answer[1] = REFUSED
    return pack(answer)
  end
  answer[1], n, at, place = CHARGED, 2, 7, 0
  for i = 1, keys do
    local shadow, own, list, to = ask[at] == 1, ask[at + 1], lists[i], 0
    for _ = 1, ask[at + 2] do
      place = place + 1
      local p = places[place]
      local used = list[p + 3]
      if mode == TAKE then
        used = used + hits
        if not shadow then answer[n + 1] = answer[n + 1] - hits end
      elseif shadow then
        used = used > own and used - own or 0
      else
        used = used + own
      end
      if used > MOST then used = MOST end
      if mode == COUNT then answer[n + 1] = used end
      list[p + 3], n = used, n + 3
    end
    at = at + 3 + 5 * ask[at + 2]
    if mode == TAKE or own > 0 then
      local p = 1
      while list[p] do
        if list[p + 1] > to then to = list[p + 1] end
        p = p + 5 + 2 * list[p + 4]
      end
      if to >= second then call('SET', KEYS[from + first + i], pack(list), 'PX', (to - second + 1) * 1000) end
    end
  end
  if first == 1 then call('SET', KEYS[from + 1], pack(now, 0), 'PX', 5000) end
  return pack(answer)
end

local generally -- below

-- Does one request, whose keys are those after from.
local function serve(ask, from)
  local mode, hits = ask[1], ask[3]
  if mode == TALLY then return tally(ask, from) end
  look_at_clock()
  if ask[4] ~= 0 then
    now = ask[4]
    second = floor(now / 1000000)
  end
  if mode == PROBE then
    call('SET', KEYS[from + 1], '', 'PX', 1000)
    return pack({LOOKED, now})
  end

  local first, status = ask[5], LOOKED
  local keys, data = ask[2] - first, call('MGET', unpack(KEYS, from + 1, from + ask[2]))
  -- A retry, told by its sid, is answered as if it only looked.
  if mode == TAKE and first == 1 and data[1] then
    local since, times = unpacked(data[1])
    if now - since < REMEMBER and times < FORGIVEN then
      call('SET', KEYS[from + 1], pack(since, times + 1), 'PX', 5000)
      mode, hits, status = LOOK, 0, REPEATED
    end
  end
  if ask[6] == 1 and (mode <= TAKE or mode == COUNT) then
    return plainly(ask, mode, hits, from, first, keys, data, status)
  end
  return generally(ask, mode, hits, from, first, keys, data, status)
end

local requests = {}
for i = 1, #ARGV do requests[i] = unpacked(ARGV[i]) end
local only = requests[1]
if #requests == 1 and (only[1] >= PROBE or only[6] == 1 and (only[1] <= TAKE or only[1] == COUNT)) then
  return serve(only, 0) -- without what the others need
end

-- a * b / c as a quotient rounded down, at most MOST, and the rest. c is at
-- most 2^53. Only products beyond what a number holds are worked out bit by bit.
local function divide(a, b, c)
  local product = a * b
  if product < MOST then
    local rest = product % c
    return (product - rest) / c, rest
  end
  if product / c >= MOST then
    return MOST, 0
  end
  local whole = floor(a / c)
  local rest = a - whole * c
  while rest < 0 do whole, rest = whole - 1, rest + c end
  while rest >= c do whole, rest = whole + 1, rest - c end
  local quotient, remains, bit = 0, 0, 4503599627370496 * 2
  while bit >= 1 do
    quotient = quotient * 2
    if remains >= c - remains then
      remains, quotient = remains - (c - remains), quotient + 1
    else
      remains = remains * 2
    end
    if b >= bit then
      b = b - bit
      quotient = quotient + whole
      if remains >= c - rest then
        remains, quotient = remains - (c - rest), quotient + 1
      else
        remains = remains + rest
      end
    end
    bit = bit / 2
  end
  return quotient, remains
end

-- How long it takes for tokens to come back, rounded up.
local function refill(tokens, w)
  if w.most == 0 then return LATE end
  local quotient, rest = divide(tokens, w.length, w.most)
  if rest > 0 then quotient = quotient + 1 end
  return min(quotient, LATE)
end

local function sum(marks)
  local all = 0
  for i = 2, #marks, 2 do all = all + marks[i] end
  return min(all, MOST)
end

-- Drops the marks that are outside of a window of this length.
local function expire(marks, length)
  local old, n = 0, #marks
  while old < n and (marks[old + 1] + length <= now or marks[old + 1] > now + length) do old = old + 2 end
  if old > 0 then
    for i = 1, n do marks[i] = marks[i + old] end
  end
  return sum(marks)
end

local function last(marks, length)
  local n = #marks
  if n == 0 then return now end
  return marks[n - 1] + length
end

-- When hits fit beside the marks that are still there by then.
local function fits(marks, most, used, wanted, length)
  local when = now
  wanted = min(wanted, most)
  for i = 1, #marks, 2 do
    if used <= most - wanted then break end
    used = max(0, used - marks[i + 1])
    when = marks[i] + length
  end
  return when
end

-- Hits within one part of the window share a mark, dated by the last of them.
local function mark(marks, length, amount)
  local n, at, grain = #marks, now, max(1, floor(length / GRAIN))
  if n > 0 then
    at = max(at, marks[n - 1])
    if floor(marks[n - 1] / grain) == floor(at / grain) then
      marks[n - 1], marks[n] = at, min(MOST, marks[n] + amount)
      return
    end
  end
  marks[n + 1], marks[n + 2] = at, amount
end

local function unmark(marks, amount)
  local n = #marks
  while amount > 0 and n > 0 do
    if marks[n] > amount then
      marks[n] = marks[n] - amount
      return
    end
    amount = amount - marks[n]
    marks[n], marks[n - 1] = nil, nil
    n = n - 2
  end
end

-- The period of the calendar that the server's clock is in. A clock that is
-- further off than the bounds goes on in periods as long as the one sent.
local function period(w, at)
  local b = w.bounds
  for i = 1, 3 do
    if at >= b[i] and at < b[i + 1] then return b[i], b[i + 1] end
  end
  local length = b[3] - b[2]
  local start = b[2] + floor((at - b[2]) / length) * length
  return start, start + length
end

-- The bounds, in seconds, of the fixed window that second is in.
local function bounds(w, at)
  if w.bounds then return period(w, at) end
  local start = at - at % w.length
  return start, start + w.length
end

-- Lets the tokens come back that have since s.start; whole lengths move it.
local function bucket(w, s, wanted)
  local length = w.length
  expire(s.marks, length)
  local elapsed = now - s.start
  if s.used == 0 or elapsed < -length then
    s.start, s.used, elapsed = now, 0, 0
  elseif elapsed < 0 then
    elapsed = 0
  end
  local whole = floor(elapsed / length)
  if whole > 0 then
    local back = whole * w.most
    if back >= s.used then
      s.start, s.used, elapsed = now, 0, 0
    else
      s.used, s.start, elapsed = s.used - back, s.start + whole * length, elapsed - whole * length
    end
  end
  local back = divide(elapsed, w.most, length)
  if back >= s.used then
    s.start, s.used, back = now, 0, 0
  end
  local recent, size = sum(s.marks), w.size
  s.used = min(s.used, size + back) -- as in add
  local left = min(max(0, size - (s.used - back)), max(0, size - recent))
  local reset = max(s.start + refill(s.used, w), last(s.marks, length))
  local retry = fits(s.marks, size, recent, wanted, length)
  local over = s.used - (size - min(wanted, size))
  if over > 0 then retry = max(retry, s.start + refill(over, w)) end
  return left, reset, retry
end

-- Brings s to now and says how it stands for wanted more.
local function advance(w, s, wanted)
  if w.algorithm == SLIDING then
    s.used = expire(s.marks, w.length)
    return max(0, w.most - s.used), last(s.marks, w.length), fits(s.marks, w.most, s.used, wanted, w.length)
  elseif w.algorithm == BUCKET then
    return bucket(w, s, wanted)
  end
  local start, fin = bounds(w, second)
  if start > s.start or s.start - start >= 2 * (fin - start) then
    s.start, s.used = start, 0
  elseif start < s.start then
    start, fin = bounds(w, s.start)
  end
  fin = fin * 1000000
  return max(0, w.most - s.used), fin, fin
end

local function add(w, s, amount)
  if w.algorithm == SLIDING or w.algorithm == BUCKET then mark(s.marks, w.length, amount) end
  s.used = min(MOST, s.used + amount)
  if w.algorithm == BUCKET then -- nobody owes more than a bucket
    s.used = min(s.used, w.size + divide(max(0, now - s.start), w.most, w.length))
  end
end

local function give(s, amount)
  s.used = max(0, s.used - amount)
  unmark(s.marks, amount)
end

-- The windows of the packed counter, by kind.
local function slots(packed)
  local all = {}
  if not packed then return all end
  local list, i = unpacked(packed), 1
  while list[i] do
    local marks, n = {}, list[i + 4] * 2
    for j = 1, n do marks[j] = list[i + 4 + j] end
    all[list[i]] = {to = list[i + 1], start = list[i + 2], used = list[i + 3], marks = marks}
    i = i + 5 + n
  end
  return all
end

-- Keeps what can still matter, and no longer than it does: a second more, for
-- clocks that step back.
local function keep(key, all)
  local list, n, to = {}, 0, 0
  for kind, s in pairs(all) do
    if (s.used > 0 or #s.marks > 0) and s.to > second then
      list[n + 1], list[n + 2], list[n + 3], list[n + 4] = kind, s.to, s.start, s.used
      local marks = s.marks
      local m = #marks
      list[n + 5] = m / 2
      for j = 1, m do list[n + 5 + j] = marks[j] end
      n, to = n + 5 + m, max(to, s.to)
    end
  end
  if n == 0 then
    call('DEL', key)
  else
    call('SET', key, pack(list), 'PX', (to - second + 1) * 1000)
  end
end

function generally(ask, mode, hits, from, first, keys, data, status)
  local answer, n, at, refused = {status, now}, 2, 7, false
  local counters = {}
  for i = 1, keys do
    local c = {key = KEYS[from + first + i], shadow = ask[at] == 1, hits = ask[at + 1], slots = slots(data[i + first])}
    local windows = ask[at + 2]
    at = at + 3
    for j = 1, windows do
      local w = {kind = ask[at], algorithm = ask[at + 1], length = ask[at + 2], most = ask[at + 3], size = ask[at + 4]}
      at = at + 5
      if w.algorithm == CALENDAR then
        w.bounds = {ask[at], ask[at + 1], ask[at + 2], ask[at + 3]}
        at = at + 4
      end
      local s = c.slots[w.kind]
      if not s then
        s = {to = 0, start = 0, used = 0, marks = {}}
        c.slots[w.kind] = s
      end
      w.slot = s
      c[j] = w
    end
    counters[i] = c
  end

  for i = 1, #counters do
    local c = counters[i]
    for j = 1, #c do
      local w = c[j]
      local left, reset, retry = advance(w, w.slot, hits)
      answer[n + 1], answer[n + 2], answer[n + 3] = left, reset, retry
      n = n + 3
      refused = refused or (left < hits and not c.shadow)
    end
  end
  if mode == LOOK then return pack(answer) end
  if mode == TAKE and refused then
    answer[1] = REFUSED
    return pack(answer)
  end

  answer[1], n = CHARGED, 2
  for i = 1, #counters do
    local c = counters[i]
    for j = 1, #c do
      local w = c[j]
      local s = w.slot
      if mode == REFUND then
        give(s, hits)
      elseif mode == RESET then
        s.used, s.start, s.marks = 0, 0, {}
      elseif mode == COUNT and c.shadow then
        give(s, c.hits)
      elseif mode == COUNT then
        add(w, s, c.hits)
      else
        add(w, s, hits)
      end
      local left, reset = advance(w, s, 0)
      s.to = floor((reset + 999999) / 1000000)
      if mode == COUNT then
        answer[n + 1] = s.used
      elseif not c.shadow then
        answer[n + 1], answer[n + 2] = left, reset
      end
      n = n + 3
    end
    if mode ~= COUNT or c.hits > 0 then keep(c.key, c.slots) end
  end
  if mode == TAKE and first == 1 then
    call('SET', KEYS[from + 1], pack(now, 0), 'PX', 5000)
  end
  return pack(answer)
end

if #requests == 1 then return serve(only, 0) end
local answers, from = {}, 0
for i = 1, #requests do
  local well, answer = pcall(serve, requests[i], from)
  if not well and type(answer) ~= 'table' then answer = {err = tostring(answer)} end
  answers[i], from = answer, from + requests[i][2]
end
return answers
