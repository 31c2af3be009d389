# Ruby's mysql2, on libmariadb: texts, statements prepared on the server, streams of rows. The rules are in mysql_dbapi.py.
require 'bigdecimal'
require 'digest'
require 'json'
require 'mysql2'
require_relative '../drivers/common'

SHARED = JSON.parse(File.read(ENV['DRIVER_STATEMENTS'], encoding: 'UTF-8'))

def open_one(**more)
  Mysql2::Client.new(host: ENV['MYSQL_HOST'], port: ENV['MYSQL_PORT'].to_i, username: ENV['MYSQL_USER'], password: ENV['MYSQL_PASSWORD'],
                     database: ENV['MYSQL_DATABASE'], encoding: 'utf8mb4', database_timezone: :utc, **more)
end

def shown(value)
  case value
  when nil, true, false, Integer then value
  when BigDecimal then value.to_s('F')
  when Time then value.utc.strftime('%F %T.%6N')
  when String then value.encoding == Encoding::BINARY || !value.valid_encoding? ? value.unpack1('H*') : value
  else value.to_s
  end
end

def told(error) = { error: [error.error_number, error.sql_state, error.message] }

def refusal
  yield
rescue Mysql2::Error => e
  told(e)
end

def result_of(on, result)
  return { affected: on.affected_rows, id: on.last_id, warnings: on.warning_count, info: on.query_info_string } if result.nil?

  { fields: result.fields, rows: result.map { |row| row.map { |value| shown(value) } }, warnings: on.warning_count }
end

# All that a text answers: each result, then an error if there is one.
def ask(on, text, **options)
  seen = []
  result = on.query(text, as: :array, **options)
  loop do
    seen << result_of(on, result)
    break unless on.next_result

    result = on.store_result
  end
  seen
rescue Mysql2::Error => e
  seen << told(e)
end

def run(on, text, *bound)
  refusal do
    statement = on.prepare(text)
    begin
      result = statement.execute(*bound, as: :array)
      result.nil? ? { affected: statement.affected_rows, id: statement.last_id, parameters: statement.param_count } : { fields: statement.fields, rows: result.map { |row| row.map { |value| shown(value) } } }
    ensure
      statement.close
    end
  end
rescue ArgumentError => e # a TIME of more than a day is none of Ruby's
  { error: e.message }
end

SCENARIOS = SHARED['scenarios'].to_h { |name, texts| [name.to_sym, ->(c) { texts.map { |text| ask(c, text) } }] }.merge(
  commits: lambda { |c|
    ask(c, 'TRUNCATE TABLE items')
    ask(c, 'BEGIN')
    run(c, 'INSERT INTO items VALUES (?, ?)', 1, 'committed')
    ask(c, 'COMMIT')
    ask(c, 'BEGIN')
    clash = [run(c, 'INSERT INTO items VALUES (?, ?)', 2, 'rolled back'), run(c, 'INSERT INTO items VALUES (?, ?)', 2, 'again')]
    ask(c, 'ROLLBACK')
    [clash, run(c, 'SELECT id, name, in_transaction() FROM items'), c.ping]
  },
  prepared: lambda { |c|
    statement = c.prepare('SELECT ? * 2 + 1')
    seen = (0...25).map { |number| statement.execute(number, as: :array).to_a }
    statement.close
    many = (0...60).map { |number| c.prepare("SELECT ? + #{number}") }
    2.times { |turn| many.each { |one| seen << one.execute(turn, as: :array).to_a } }
    many.each(&:close)
    [nil, true, -1, 1.5, BigDecimal('1.50'), 'Größe ≠ 漢字 🙂', '', "\x00\xff'\\".b, Time.utc(2024, 2, 29, 12, 34, 56), Date.new(2024, 2, 29), 'x' * 70_000].each do |value|
      seen << run(c, 'SELECT HEX(?), ? IS NULL', value, value)
    end
    SHARED['parameters'].each_with_index do |row, number|
      seen << run(c, "INSERT INTO typed (id, #{row.keys.join(', ')}) VALUES (?#{', ?' * row.size})", 100 + number, *row.values)
    end
    seen << run(c, 'SELECT * FROM typed WHERE id >= ? ORDER BY id', 100) << run(c, 'DELETE FROM typed WHERE id >= ?', 100)
    ['SELECT nonsense', 'SELECT * FROM nowhere', 'SELEC', 'SELECT 1; SELECT 2', 'INSERT INTO children VALUES (1, 4711)', 'SELECT 1/0', 'DROP TABLE IF EXISTS nowhere',
     'SHOW WARNINGS', 'SET @s = 5', 'SELECT @s', 'SET @s = NULL'].each { |text| seen << run(c, text) }
    seen
  },
  types: ->(c) { SHARED['values'].map { |value| [value, ask(c, "SELECT #{value} AS v, HEX(#{value}) AS h"), run(c, "SELECT #{value} AS v")] } },
  typed_rows: ->(c) { [ask(c, 'SELECT * FROM typed ORDER BY id'), ask(c, 'SELECT * FROM typed ORDER BY id', cast: false), run(c, 'SELECT * FROM typed ORDER BY id')] },
  multi: lambda { |_|
    mine = open_one(flags: Mysql2::Client::MULTI_STATEMENTS)
    seen = ["SELECT 1; SELECT 'ä', 2; DO 1; SELECT 3", "TRUNCATE TABLE items; INSERT INTO items VALUES (1, 'a'), (2, 'b'); SELECT COUNT(*) FROM items",
            'SELECT 1; SELECT nonsense; SELECT 2', 'BEGIN; SELECT in_transaction()', 'ROLLBACK; SELECT in_transaction()', 'CALL two_results(); SELECT 1',
            'SET @a = 7; SELECT @a; USE other; SELECT DATABASE()', 'SELECT @a, DATABASE()'].map { |text| ask(mine, text) }
    mine.set_server_option(Mysql2::Client::OPTION_MULTI_STATEMENTS_OFF)
    seen << ask(mine, 'SELECT 1; SELECT 2')
    mine.set_server_option(Mysql2::Client::OPTION_MULTI_STATEMENTS_ON)
    seen << ask(mine, 'SELECT 1; SELECT 2')
    mine.close
    seen
  },
  large: lambda { |c|
    seen = [5_000_000, 17_000_000].each_with_index.map do |size, number|
      body = ((0..250).map(&:chr).join.b * (size / 251))
      run(c, 'REPLACE INTO large VALUES (?, ?)', number, body)
      size, sum, back = c.prepare('SELECT LENGTH(body), MD5(body), body FROM large WHERE id = ?').execute(number, as: :array).first
      text = c.query("SELECT body FROM large WHERE id = #{number}", as: :array).first[0]
      [size, sum == Digest::MD5.hexdigest(body), back == body, text == body]
    end
    [seen, ask(c, 'TRUNCATE TABLE large')]
  },
  streaming: lambda { |c|
    sum = 0
    result = c.query("SELECT seq, REPEAT('x', 500) FROM seq_1_to_20000", as: :array, stream: true, cache_rows: false)
    # Only these: mysql2 0.5.3 ends such a stream early, sooner or later, also directly.
    result.each { |number, filling| sum += number + filling.size if number <= 1000 }
    [sum, ask(c, "SELECT 'usable'")]
  },
  kill: lambda { |c|
    victim = open_one
    text = "SELECT SLEEP(30), 'victim of Ruby'"
    caught = Thread.new { ask(victim, text) }
    count = 0
    2000.times do
      count = c.query("SELECT COUNT(*) FROM information_schema.processlist WHERE info = '#{c.escape(text)}'", as: :array).first[0]
      break if count == 1

      sleep 0.01
    end
    seen = [count, ask(c, "KILL QUERY #{victim.thread_id}"), caught.value, ask(victim, "SELECT 'usable'"), ask(c, "KILL #{victim.thread_id}")]
    sleep 0.2
    [seen, ask(victim, 'SELECT 1')[0].key?(:error)]
  },
  commands: lambda { |c|
    seen = [c.server_info, c.ping, c.encoding.to_s, c.escape("it's \\ ä"), c.more_results?]
    c.select_db('other')
    seen << ask(c, 'SELECT DATABASE(), name FROM things') << refusal { c.select_db('no_such_database') }
    c.select_db('shop')
    seen << ask(c, 'SELECT DATABASE()')
  },
  logins: lambda { |_|
    seen = [{ encoding: 'latin1' }, { init_command: "SET @first = 'words', time_zone = '+05:00'" }, { database: nil }, { database: 'other' }, { flags: Mysql2::Client::FOUND_ROWS },
            { connect_attrs: { 'who' => 'Ruby' } }, { default_auth: 'mysql_native_password' }].map do |options|
      mine = open_one(**options)
      answer = [ask(mine, 'SELECT DATABASE(), @first, @@time_zone, @@character_set_client, @@collation_connection'), ask(mine, "UPDATE shop.items SET name = name WHERE id > 0")]
      mine.close
      answer
    end
    seen + [{ password: 'wrong' }, { username: 'nobody' }, { database: 'no_such_database' }].map { |options| refusal { open_one(**options) && 'let in' } }
  },
  parallel: lambda { |_|
    (0..15).map do |number|
      Thread.new do
        mine = open_one
        zone = format('+%02d:00', number % 13)
        ask(mine, "SET sort_buffer_size = #{1024 * (100 + number)}, time_zone = '#{zone}'")
        ask(mine, "SET @mine = #{number}") if number.odd?
        total = (0..9).sum do |turn|
          row = run(mine, 'SELECT @@sort_buffer_size, @@time_zone, @mine, ? * ?', turn, number)[:rows][0]
          raise "#{number}: #{row}" unless row[0] == 1024 * (100 + number) && row[1] == zone && row[2] == (number.odd? ? number : nil) && row[3].to_i == turn * number

          ask(mine, 'BEGIN')
          run(mine, 'REPLACE INTO entries (id, name) VALUES (?, ?)', 1000 + number, "turn #{turn}")
          wrong = ask(mine, "SELECT nonsense#{number}")[0][:error]
          raise wrong.to_s unless wrong && wrong[0] == 1054

          ask(mine, turn.odd? ? 'COMMIT' : 'ROLLBACK')
          turn * number
        end
        last = ask(mine, "SELECT name FROM entries WHERE id = #{1000 + number}")
        mine.close
        [total, last]
      end
    end.map(&:value)
  }
).freeze

run_scenarios(SCENARIOS) { open_one }
