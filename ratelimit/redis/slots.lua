-- Slots in Redis: who is in flight, by the end of each lease.
--
-- A place (one limit for one subject) is a sorted set: the members are streams,
-- the scores when their leases end. A note tells what a stream holds: a packed
-- list of when it ends, how often its proxy has tried again, and the keys of its
-- places; for a stream that is over, the times are OVER and there are no keys.
--
-- ARGV[1] is a packed list of numbers (see wire.go):
--
--   what, now (0: the server's clock), lease, grave (how long a stream that is
--   over is remembered), and for each place how many it lets in (0: all).
--
-- ARGV[2] is the stream's member. HOLD has the note's key and then the places';
-- AGAIN (hold on, if the stream holds already), END, FREE, QUIT (FREE, unless the
-- proxy has tried again) and RENEW have the note's key and find the places by it:
-- they are for servers that let a script reach any key. In a cluster each is done
-- in steps, since a note and its places are on different servers: TAKE and then
-- WRITE for HOLD (ARGV[3] and on are the keys of the places), and for the others
-- one of them with APART added, then DROP or SIGN.
--
-- The answer is a list: what came of it, which place was full (from 1), how many
-- leases had ended for want of a sign, and the keys of the places that the
-- stream held. Times are microseconds.

local HOLD, TAKE, WRITE, DROP, SIGN, COUNT = 0, 1, 2, 3, 4, 5
local AGAIN, END, FREE, QUIT, RENEW, APART = 6, 7, 8, 9, 10, 16
local GRANTED, FULL, HELD, REFUSED = 0, 1, 2, 3
local FORGIVEN, OVER = 3, 255
local call, pack, unpacked = redis.call, cmsgpack.pack, cmsgpack.unpack

local ask, member = unpacked(ARGV[1]), ARGV[2]
local what, now, lease, grave = ask[1], ask[2], ask[3], ask[4]
if now == 0 then
  local time = call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local ends, life, expired = now + lease, math.ceil(lease / 1000) + 1000, 0

-- forget takes out those whose leases have ended.
local function forget(place)
  expired = expired + call('ZREMRANGEBYSCORE', place, '-inf', now)
end

local function sign(places, first)
  for i = first, #places do
    call('ZADD', places[i], 'XX', ends, member)
    call('PEXPIRE', places[i], life)
  end
end

local function drop(places, first)
  for i = first, #places do call('ZREM', places[i], member) end
end

local function lives(place)
  local till = call('ZSCORE', place, member)
  return till and tonumber(till) > now
end

-- take puts the member into all places, from the first of KEYS that is one, or
-- into none and returns which was full. Where it is in already, it stays as it is.
-- The first write is one that a Redis without memory refuses.
local function take(first)
  for i = first, #KEYS do
    local most = ask[4 + i - first + 1]
    if most > 0 and call('ZCOUNT', KEYS[i], '(' .. string.format('%.0f', now), '+inf') >= most and not lives(KEYS[i]) then
      return i - first + 1
    end
  end
  for i = first, #KEYS do
    if what == HOLD or not lives(KEYS[i]) then
      call('ZADD', KEYS[i], ends, member)
      forget(KEYS[i])
      call('PEXPIRE', KEYS[i], life)
    end
  end
  return 0
end

local function read(key)
  local text = call('GET', key)
  local note = text and unpacked(text)
  if note and note[1] > now then return note end
end

local function write(key, note, till, times, life)
  note[1], note[2] = till, times
  call('SET', key, pack(note), 'PX', math.ceil(life / 1000))
end

-- again says what comes of a stream that has a note and is to hold once more.
local function again(key, note)
  if note[2] >= FORGIVEN then return REFUSED end
  write(key, note, ends, note[2] + 1, lease)
  return HELD
end

local function answer(status, full, note)
  local list = {status, full, expired}
  for i = 3, note and #note or 0 do list[i + 1] = note[i] end
  return list
end

if what == HOLD then
  local note = read(KEYS[1])
  if note then
    local status = again(KEYS[1], note)
    if status == HELD then sign(note, 3) end
    return answer(status, 0, note)
  end
  local full = take(2)
  if full > 0 then return answer(FULL, full) end
  note = {0, 0}
  for i = 2, #KEYS do note[i + 1] = KEYS[i] end
  write(KEYS[1], note, ends, 0, lease)
  return answer(GRANTED, 0)
elseif what == TAKE then
  local full = take(1)
  return answer(full > 0 and FULL or GRANTED, full)
elseif what == WRITE then
  local note = read(KEYS[1])
  if note then return answer(again(KEYS[1], note), 0, note) end
  note = {0, 0}
  for i = 3, #ARGV do note[i] = ARGV[i] end
  write(KEYS[1], note, ends, 0, lease)
  return answer(GRANTED, 0)
elseif what == DROP then
  drop(KEYS, 1)
  return answer(GRANTED, 0)
elseif what == SIGN then
  sign(KEYS, 1)
  return answer(GRANTED, 0)
elseif what == COUNT then
  forget(KEYS[1])
  return answer(GRANTED, call('ZCARD', KEYS[1]))
end

local apart = what >= APART
if apart then what = what - APART end
local note = read(KEYS[1])
if what == AGAIN then
  if not note then return answer(FULL, 0) end
  local status = again(KEYS[1], note)
  if status == HELD and not apart then sign(note, 3) end
  return answer(status, 0, note)
elseif what == END then
  write(KEYS[1], {}, now + grave, OVER, grave)
elseif not note or note[2] == OVER then
  return answer(REFUSED, 0)
elseif what == RENEW then
  write(KEYS[1], note, ends, note[2], lease)
  if not apart then sign(note, 3) end
  return answer(GRANTED, 0, note)
elseif what == QUIT and note[2] > 0 then
  return answer(HELD, 0, note)
else
  call('DEL', KEYS[1])
end
if note and not apart then drop(note, 3) end
return answer(GRANTED, 0, note)
