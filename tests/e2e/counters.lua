-- Sessions that count what they were promised, for sysbench: a write that is lost or done twice, one that its own session does not
-- read, and a reader who sees half a transaction, or less than he has seen before, end the run. `kind` is what the sessions of this run do.
sysbench.cmdline.options = {
  kind = {"updates, autocommit, prepared or readers", "updates"},
  tables = {"of the harness, not used", 1},
  table_size = {"rows of each pile", 100},
  sessions = {"of each kind that writes, for readers: those are whom they look at", 20},
}

local FIRST = {updates = 0, autocommit = 1000, prepared = 2000}
local PILES = 4

function thread_init()
  kind = sysbench.opt.kind
  con = sysbench.sql.driver():connect()
  count = 0
  if kind ~= "readers" then me = FIRST[kind] + sysbench.tid end
  if kind == "prepared" then
    add = con:prepare("UPDATE tally SET value = value + 1 WHERE session = ?")
    whose = add:bind_create(sysbench.sql.type.INT)
    add:bind_param(whose)
    whose:set(me)
  end
  if kind == "readers" then
    seen = {}
    look = con:prepare("SELECT value FROM tally WHERE session = ? AND value >= ?")
    whose, least = look:bind_create(sysbench.sql.type.INT), look:bind_create(sysbench.sql.type.INT)
    look:bind_param(whose, least)
  end
end

local function expect(found, wanted, what)
  if tonumber(found) ~= wanted then
    error(string.format("session %s: %s is %s, not %d", tostring(me), what, tostring(found), wanted))
  end
end

local function add_one()
  con:query("UPDATE tally SET value = value + 1 WHERE session = " .. me)
end

local function my_value()
  return con:query_row("SELECT value FROM tally WHERE session = " .. me)
end

local function look_again()
  local first = ({FIRST.updates, FIRST.autocommit, FIRST.prepared})[sysbench.rand.uniform(1, 3)]
  local session = first + sysbench.rand.uniform(0, sysbench.opt.sessions - 1)
  local before = seen[session] or 0
  -- Of what was prepared, this driver tells the number of rows only.
  whose:set(session)
  least:set(before)
  local rows = look:execute()
  local found = rows.nrows
  rows:free()
  expect(found, 1, string.format("rows of session %d with %d or more", session, before))
  local value = tonumber(con:query_row("SELECT value FROM tally WHERE session = " .. session))
  if value < before then error(string.format("the tally of session %d went back from %d to %d", session, before, value)) end
  seen[session] = value
end

local DEEDS = {
  updates = function()
    local id = sysbench.rand.uniform(1, sysbench.opt.table_size)
    con:query("BEGIN")
    for pile = 1, PILES do  -- always in this order: no deadlocks
      con:query(string.format("UPDATE pile%d SET value = value + 1 WHERE id = %d", pile, id))
    end
    add_one()
    local value = my_value()
    con:query("COMMIT")
    count = count + 1
    expect(value, count, "the tally inside")
  end,
  autocommit = function()
    add_one()
    count = count + 1
    expect(my_value(), count, "the tally")
  end,
  prepared = function()
    add:execute()
    count = count + 1
    expect(my_value(), count, "the tally")
  end,
  readers = function()
    local id = sysbench.rand.uniform(1, sysbench.opt.table_size)
    expect(con:query_row("SELECT a.value = b.value AND b.value = c.value AND c.value = d.value FROM pile1 a JOIN pile2 b USING (id) " ..
                         "JOIN pile3 c USING (id) JOIN pile4 d USING (id) WHERE id = " .. id), 1, "all piles alike")
    look_again()
  end,
}

function event()
  DEEDS[kind]()
end

function thread_done()
  con:disconnect()
end
