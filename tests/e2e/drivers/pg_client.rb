# Ruby's pg: libpq, plain and prepared, single-row mode, a pipeline, COPY. The rules are in common.py.
require 'pg'
require 'json'
require_relative 'common'

OWNER = 'ruby-pg'
VALUES = ['true', '(-32768)::int2', '9223372036854775807::int8', '0.1::float8', '12345678901234567890.0123456789::numeric', "'Größe ≠ 漢字 🙂'::text",
          "''::text", "'\\x00ff10275c'::bytea", "'{\"b\": [1, 2.5, null], \"a\": \"ü\"}'::jsonb", "'2024-02-29 12:34:56.789012+02'::timestamptz",
          "'00112233-4455-6677-8899-aabbccddeeff'::uuid", 'ARRAY[1, 2, NULL]::int4[]', "ARRAY['a', 'b,\"c', NULL]::text[]", 'NULL::int4',
          "'192.168.1.7'::inet", "'3 days 04:05:06.7'::interval", "'[1,10)'::int4range", "repeat('long', 5000)"].freeze
USER_VALUES = ["'green'::drivers.colour", "ARRAY['red', 'blue', NULL]::drivers.colour[]", "ROW(1, 2, 'a b')::drivers.spot", '55::drivers.percent',
               "'[1.5,2.5)'::drivers.span", "'sad'::mood"].freeze

def open_one
  connection = PG.connect(host: ENV['PGHOST'], port: ENV['PGPORT'], user: ENV['PGUSER'], dbname: ENV['PGDATABASE'], sslmode: 'disable', options: '-c work_mem=5MB')
  connection.set_notice_receiver { |_| nil }
  connection
end

def rows(on, text, *bound)
  (bound.empty? ? on.exec(text) : on.exec_params(text, bound)).values
end

def refusal
  yield
  ['no error']
rescue PG::Error => e
  [e.result ? e.result.error_field(PG::Result::PG_DIAG_SQLSTATE) : e.class.name, e.message.lines.first.to_s.strip]
end

def empty(on) = on.exec_params('DELETE FROM drivers.items WHERE owner = $1', [OWNER])
def insert(on, number, name) = on.exec_params('INSERT INTO drivers.items (owner, id, name) VALUES ($1, $2, $3)', [OWNER, number, name])
def items(on) = rows(on, 'SELECT id, name FROM drivers.items WHERE owner = $1 ORDER BY id', OWNER)

SCENARIOS = {
  transactions: lambda { |c|
    empty(c)
    c.transaction { insert(c, 1, 'committed') }
    back = refusal { c.transaction { insert(c, 2, 'rolled back'); c.exec('SELECT 1/0') } }
    c.transaction do
      insert(c, 3, 'before the savepoint')
      c.exec('SAVEPOINT s')
      insert(c, 4, 'given up')
      c.exec('ROLLBACK TO SAVEPOINT s')
      insert(c, 5, 'after the savepoint')
    end
    c.exec('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY')
    seen = [rows(c, 'SHOW transaction_isolation'), refusal { insert(c, 6, 'refused') }, c.transaction_status]
    c.exec('ROLLBACK')
    [back, seen, c.transaction_status, items(c)]
  },
  prepared: lambda { |c|
    c.prepare('twice', 'SELECT $1::int * 2 + 1')
    repeated = (0..24).map { |n| c.exec_prepared('twice', [n]).getvalue(0, 0) }
    described = c.describe_prepared('twice')
    clash = refusal { c.prepare('twice', 'SELECT 1') }
    60.times { |n| c.prepare("many #{n}", "SELECT $1::int + #{n}") }
    sum = (0..1).sum { |turn| (0...60).sum { |n| c.exec_prepared("many #{n}", [turn]).getvalue(0, 0).to_i } }
    60.times { |n| c.exec("DEALLOCATE \"many #{n}\"") }
    gone = refusal { c.exec_prepared('many 1', [1]) }
    c.exec('DEALLOCATE twice')
    [repeated, [described.nparams, described.fields], clash, sum, gone, refusal { c.prepare('broken', 'SELECT nothing($1)') }]
  },
  cursors: lambda { |c|
    c.exec('BEGIN; DECLARE walk SCROLL CURSOR FOR SELECT n, n * 3 FROM generate_series(1, 500) AS n')
    count = 0
    loop { part = rows(c, 'FETCH 70 FROM walk').size; count += part; break if part.zero? }
    jumped = rows(c, 'FETCH ABSOLUTE 50 FROM walk')
    c.exec('DECLARE kept CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 20)')
    c.exec('COMMIT')
    held = [rows(c, 'FETCH 3 FROM kept'), rows(c, 'FETCH 2 FROM kept')]
    c.exec('CLOSE kept')
    [count, jumped, held]
  },
  single_rows: lambda { |c|
    c.send_query('SELECT n FROM generate_series(1, 3000) AS n')
    c.set_single_row_mode
    sum = 0
    c.get_result.stream_each_row { |row| sum += row[0].to_i }
    c.get_result
    failed = refusal do
      c.send_query('SELECT 1/(500 - n) FROM generate_series(1, 900) AS n')
      c.set_single_row_mode
      c.get_result.stream_each_row { |_| nil }
    end
    nil while c.get_result
    [sum, failed, rows(c, "SELECT 'usable'")]
  },
  pipeline: lambda { |c|
    empty(c)
    c.enter_pipeline_mode
    20.times { |n| c.send_query_params('INSERT INTO drivers.items (owner, id, name) VALUES ($1, $2, $3) RETURNING id', [OWNER, n, 'piped']) }
    c.pipeline_sync
    c.send_query_params('SELECT 1/$1::int', [0])
    c.send_query_params('SELECT $1::int', [1])
    c.pipeline_sync
    c.send_query_params('SELECT $1::text', ['after'])
    c.pipeline_sync
    seen = []
    syncs = 0
    while syncs < 3
      result = begin
        c.get_result
      rescue PG::Error => e
        seen << e.class.name
        next
      end
      next if result.nil?
      syncs += 1 if result.result_status == PG::PGRES_PIPELINE_SYNC
      seen << [result.result_status, result.result_status == PG::PGRES_TUPLES_OK ? result.values : nil]
    end
    c.exit_pipeline_mode
    [seen, rows(c, 'SELECT count(*) FROM drivers.items WHERE owner = $1', OWNER)]
  },
  copy: lambda { |c|
    empty(c)
    c.copy_data('COPY drivers.items FROM STDIN') { 2000.times { |n| c.put_copy_data("#{OWNER}\t#{n}\trow #{n}\t\\N\n") } }
    out = []
    c.copy_data("COPY (SELECT id, name FROM drivers.items WHERE owner = '#{OWNER}' ORDER BY id) TO STDOUT") { while (line = c.get_copy_data); out << line; end }
    failed = refusal { c.copy_data('COPY drivers.items FROM STDIN') { c.put_copy_data("#{OWNER}\tnonsense\tx\t1\n") } }
    given_up = begin
      c.copy_data('COPY drivers.items FROM STDIN') { c.put_copy_data("#{OWNER}\t9000\tleft\t1\n"); raise 'given up' }
    rescue RuntimeError => e
      e.message
    end
    [out.size, out.last, failed, given_up, rows(c, 'SELECT count(*) FROM drivers.items WHERE owner = $1', OWNER)]
  },
  notify: lambda { |c|
    c.exec('LISTEN ruby_news')
    speaker = open_one
    5.times { |n| speaker.exec_params('SELECT pg_notify($1, $2)', ['ruby_news', "item #{n}"]) }
    speaker.close
    heard = []
    5.times { c.wait_for_notify(20) { |channel, _pid, payload| heard << [channel, payload] } }
    c.exec('UNLISTEN *')
    heard
  },
  cancel: lambda { |c|
    start = Time.now
    c.send_query('SELECT pg_sleep(30)')
    sleep 0.2
    said = c.cancel
    [said, refusal { c.get_last_result }, Time.now - start < 20, rows(c, "SELECT 'usable'")]
  },
  errors: lambda { |c|
    empty(c)
    seen = ['SELEC 1', 'SELECT 1/0', 'SELECT * FROM nowhere', 'SELECT nothing()', "SELECT 'x'::int", "INSERT INTO drivers.items (owner, id) VALUES ('nobody', 1)"]
           .map { |text| [refusal { c.exec(text) }, refusal { c.exec_params(text, []) }] }
    insert(c, 1, 'first')
    c.exec('BEGIN')
    insert(c, 2, 'lost with its transaction')
    seen << refusal { insert(c, 1, 'again') } << refusal { c.exec('SELECT 1') }
    c.exec('ROLLBACK')
    [seen, items(c), rows(c, "SELECT 'usable'")]
  },
  types: ->(c) { typed(c, VALUES) },
  user_types: ->(c) { typed(c, USER_VALUES) },
  parameters: lambda { |_|
    mine = open_one
    show = -> { rows(mine, "SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('TimeZone')") }
    seen = [show.call]
    mine.exec("SET work_mem = '7MB'; SET search_path = drivers, public; SET TimeZone = 'Asia/Tokyo'")
    seen << show.call << mine.parameter_status('TimeZone')
    mine.exec("BEGIN; SET work_mem = '9MB'; SET LOCAL TimeZone = 'UTC'")
    seen << show.call << mine.parameter_status('TimeZone')
    mine.exec('ROLLBACK')
    seen << show.call << mine.parameter_status('TimeZone') << mine.parameter_status('client_encoding')
    mine.set_client_encoding('LATIN1')
    seen << mine.parameter_status('client_encoding') << mine.exec("SELECT 'ü'").getvalue(0, 0).bytes
    mine.close
    seen
  },
  session_state: lambda { |c|
    c.exec('CREATE TEMPORARY TABLE mine (n int)')
    5.times { |n| c.exec_params('INSERT INTO mine VALUES ($1)', [n]) }
    seen = [rows(c, 'SELECT count(*), sum(n) FROM mine')]
    c.exec('DROP TABLE mine')
    c.exec('SELECT pg_advisory_lock(4720)')
    seen << rows(c, 'SELECT pg_advisory_unlock(4720), pg_advisory_unlock(4720)')
    c.exec('DISCARD TEMP')
    seen
  },
  large_objects: lambda { |c|
    c.transaction do
      oid = c.lo_creat
      open = c.lo_open(oid, PG::INV_READ | PG::INV_WRITE)
      written = c.lo_write(open, 'abc' * 50_000)
      c.lo_lseek(open, 75_000, PG::SEEK_SET)
      part = c.lo_read(open, 6)
      c.lo_truncate(open, 10)
      last = c.lo_lseek(open, 0, PG::SEEK_END)
      c.lo_close(open)
      c.lo_unlink(oid)
      [written, part, last]
    end
  },
  parallel: lambda { |_|
    (0..15).map do |number|
      Thread.new do
        mine = open_one
        mine.exec("SET work_mem = '#{1000 + number}kB'")
        mine.prepare('times', "SELECT $1::int * #{number}, current_setting('work_mem')")
        sum = (0..9).sum do |turn|
          value, memory = mine.exec_prepared('times', [turn]).values[0]
          raise "session #{number}: #{value} #{memory}" unless value.to_i == turn * number && memory == "#{1000 + number}kB"
          raise 'no division by zero' if (turn % 3).zero? && refusal { mine.exec("SELECT #{number}/0") }[0] != '22012'
          value.to_i
        end
        mine.close
        sum
      end
    end.map(&:value)
  }
}.freeze

def typed(connection, list)
  list.map do |value|
    binary = connection.exec_params("SELECT #{value}", [], 1).getvalue(0, 0)
    # The wire form of user types has their OIDs in it, which are no promise.
    [value, rows(connection, "SELECT #{value}"), list.equal?(USER_VALUES) ? binary&.size : binary&.unpack1('H*')&.slice(0, 400)]
  end
end

run_scenarios(SCENARIOS) { open_one }
