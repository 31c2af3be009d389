// libmariadb itself (Connector/C): what the drivers on it do not use: bulk executions, statements prepared and executed
// in one message, cursors, queries sent ahead, the calls that do not block, COM_RESET_CONNECTION, what the server tells
// of its session. The rules are in mysql_dbapi.py.
#include <mysql.h>
#include <poll.h>

#include <unistd.h>
#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

namespace json = boost::json;

constexpr int sessions = 16;

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct Close {
  void operator()(MYSQL* db) const { mysql_close(db); }
  void operator()(MYSQL_RES* result) const { mysql_free_result(result); }
  void operator()(MYSQL_STMT* statement) const { mysql_stmt_close(statement); }
};
using Db = std::unique_ptr<MYSQL, Close>;
using Result = std::unique_ptr<MYSQL_RES, Close>;
using Statement = std::unique_ptr<MYSQL_STMT, Close>;

json::value told(MYSQL* db) {
  return {mysql_errno(db), mysql_sqlstate(db), mysql_error(db)};
}
json::value told(MYSQL_STMT* on) {
  return {mysql_stmt_errno(on), mysql_stmt_sqlstate(on), mysql_stmt_error(on)};
}

Db open(unsigned long flags = 0, const std::function<void(MYSQL*)>& options = {}) {
  Db db(mysql_init(nullptr));
  mysql_options(db.get(), MYSQL_SET_CHARSET_NAME, "utf8mb4");
  if (options) options(db.get());
  if (mysql_real_connect(db.get(), environment("MYSQL_HOST").c_str(), environment("MYSQL_USER").c_str(),
                         environment("MYSQL_PASSWORD").c_str(), environment("MYSQL_DATABASE").c_str(),
                         static_cast<unsigned>(std::stoi(environment("MYSQL_PORT"))), nullptr, flags) == nullptr)
    throw std::runtime_error(mysql_error(db.get()));
  return db;
}

// What is no text is shown as its bytes.
json::value shown(const char* data, std::size_t size) {
  if (data == nullptr) return nullptr;
  const std::string text(data, size);
  json::error_code is_no_text;
  json::parse(json::serialize(json::string(text)), is_no_text);
  if (!is_no_text) return json::string(text);
  std::string hex;
  for (const char c : text) {
    hex += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    hex += "0123456789abcdef"[c & 15];
  }
  return json::string(hex);
}

json::array columns(MYSQL_RES* result) {
  json::array seen;
  for (unsigned at = 0; at < mysql_num_fields(result); ++at) {
    const MYSQL_FIELD& field = *mysql_fetch_field_direct(result, at);
    seen.push_back(json::array{field.name, field.org_name, field.table, field.org_table, field.db, field.type,
                               field.length, field.flags, field.decimals, field.charsetnr});
  }
  return seen;
}

json::value rows(MYSQL* db, MYSQL_RES* result) {
  json::array seen;
  while (const MYSQL_ROW row = mysql_fetch_row(result)) {
    const unsigned long* const lengths = mysql_fetch_lengths(result);
    json::array one;
    for (unsigned at = 0; at < mysql_num_fields(result); ++at) one.push_back(shown(row[at], lengths[at]));
    seen.push_back(one);
  }
  return {columns(result), seen, mysql_warning_count(db)};
}

json::value one_result(MYSQL* db) {
  const Result result(mysql_store_result(db));
  if (result) return rows(db, result.get());
  if (mysql_errno(db) != 0) return told(db);
  const char* const info = mysql_info(db);
  return {mysql_affected_rows(db), mysql_insert_id(db), mysql_warning_count(db),
          info ? json::value(info) : json::value()};
}

// All that a text answers: each result, then an error if there is one.
json::array answers(MYSQL* db) {
  json::array seen;
  int more = 0;
  do seen.push_back(one_result(db));
  while ((more = mysql_next_result(db)) == 0);
  if (more > 0) seen.push_back(told(db));
  return seen;
}

json::array ask(MYSQL* db, const std::string& text) {
  if (mysql_real_query(db, text.data(), text.size()) != 0) return {told(db)};
  return answers(db);
}

json::array ask_all(MYSQL* db, const std::vector<std::string>& texts) {
  json::array seen;
  for (const std::string& text : texts) seen.push_back(ask(db, text));
  return seen;
}

// ---- statements prepared on the server; every parameter and every column as a string

struct Strings {
  explicit Strings(const std::vector<const char*>& values) {
    for (const char* const value : values) {
      MYSQL_BIND& bind = binds.emplace_back(MYSQL_BIND{});
      bind.buffer_type = value == nullptr ? MYSQL_TYPE_NULL : MYSQL_TYPE_STRING;
      bind.buffer = const_cast<char*>(value);
      bind.buffer_length = value == nullptr ? 0 : std::strlen(value);
    }
  }
  std::vector<MYSQL_BIND> binds;
};

json::array fetched(MYSQL_STMT* on) {
  const Result about(mysql_stmt_result_metadata(on));
  const unsigned count = mysql_stmt_field_count(on);
  std::vector<unsigned long> lengths(count);
  std::vector<my_bool> nulls(count);
  std::vector<MYSQL_BIND> binds(count);
  for (unsigned at = 0; at < count; ++at) {
    binds[at] = MYSQL_BIND{};
    binds[at].buffer_type = MYSQL_TYPE_STRING;
    binds[at].length = &lengths[at];
    binds[at].is_null = &nulls[at];
  }
  mysql_stmt_bind_result(on, binds.data());
  json::array seen;
  for (int state = 0; (state = mysql_stmt_fetch(on)) != MYSQL_NO_DATA;) {
    if (state == 1) return {columns(about.get()), seen, told(on)};
    json::array row;
    for (unsigned at = 0; at < count; ++at) {
      std::string text(lengths[at] + 1, '\0');
      MYSQL_BIND whole{};
      unsigned long length = 0;
      whole.buffer_type = MYSQL_TYPE_STRING;
      whole.buffer = text.data();
      whole.buffer_length = text.size();
      whole.length = &length;
      if (!nulls[at]) mysql_stmt_fetch_column(on, &whole, at, 0);
      row.push_back(nulls[at] ? json::value() : shown(text.data(), length));
    }
    seen.push_back(row);
  }
  return {columns(about.get()), seen};
}

json::array results(MYSQL_STMT* on) {
  json::array seen;
  int more = 0;
  do {
    if (mysql_stmt_field_count(on) != 0) {
      seen.push_back(fetched(on));
    } else {
      seen.push_back(json::array{mysql_stmt_affected_rows(on), mysql_stmt_insert_id(on), mysql_stmt_warning_count(on)});
    }
  } while ((more = mysql_stmt_next_result(on)) == 0);
  if (more > 0) seen.push_back(told(on));
  return seen;
}

json::array execute(MYSQL_STMT* on, const std::vector<const char*>& values) {
  Strings strings(values);
  if (!values.empty()) mysql_stmt_bind_param(on, strings.binds.data());
  if (mysql_stmt_execute(on) != 0) return {told(on)};
  return results(on);
}

json::array run(MYSQL* db, const std::string& text, const std::vector<const char*>& values = {}) {
  const Statement statement(mysql_stmt_init(db));
  if (mysql_stmt_prepare(statement.get(), text.data(), text.size()) != 0) return {told(statement.get())};
  return execute(statement.get(), values);
}

// COM_STMT_PREPARE, and the execution right behind it, by a number that nobody knows yet.
json::array direct(MYSQL* db, const std::string& text, const std::vector<const char*>& values = {}) {
  const Statement statement(mysql_stmt_init(db));
  const auto count = static_cast<unsigned>(values.size());
  Strings strings(values);
  mysql_stmt_attr_set(statement.get(), STMT_ATTR_PREBIND_PARAMS, &count);
  if (count != 0) mysql_stmt_bind_param(statement.get(), strings.binds.data());
  if (mariadb_stmt_execute_direct(statement.get(), text.data(), text.size()) != 0) return {told(statement.get())};
  return results(statement.get());
}

// ---- scenarios

json::value prepared(MYSQL* db) {
  json::array seen;
  const Statement one(mysql_stmt_init(db));
  const std::string text = "SELECT ? * 2 + 1, ?";
  mysql_stmt_prepare(one.get(), text.data(), text.size());
  for (int number = 0; number < 25; ++number)
    seen.push_back(execute(one.get(), {std::to_string(number).c_str(), number % 2 ? nullptr : "ä"}));
  for (const char* const each : {"SELECT nonsense", "SELEC", "CALL two_results()", "CALL fails()", "CALL adds(3, @s)",
                                 "SELECT @s", "SET @s = NULL", "SELECT * FROM typed ORDER BY id", "SELECT 1/0",
                                 "SHOW WARNINGS", "SELECT 1; SELECT 2", "INSERT INTO children VALUES (1, 4711)"})
    seen.push_back(run(db, each));
  const Statement large(mysql_stmt_init(db));
  const std::string pieces = "SELECT LENGTH(?), MD5(?)";
  mysql_stmt_prepare(large.get(), pieces.data(), pieces.size());
  Strings strings({"", ""});
  for (MYSQL_BIND& bind : strings.binds) bind.buffer_type = MYSQL_TYPE_LONG_BLOB;
  mysql_stmt_bind_param(large.get(), strings.binds.data());
  const std::string piece(100'000, 'x');
  for (unsigned turn = 0; turn < 6; ++turn)
    mysql_stmt_send_long_data(large.get(), turn % 2, piece.data(), piece.size());
  mysql_stmt_execute(large.get());
  seen.push_back(results(large.get()));
  mysql_stmt_send_long_data(large.get(), 0, piece.data(), piece.size());
  mysql_stmt_reset(large.get());  // and the piece is forgotten
  mysql_stmt_execute(large.get());
  seen.push_back(results(large.get()));
  return seen;
}

json::value at_once(MYSQL* db) {
  const std::string away = "DELETE FROM items WHERE id >= ? AND id BETWEEN 50 AND 59";
  direct(db, away, {"1"});  // what the round before has left
  json::array seen{direct(db, "SELECT ? + 1, ?", {"41", "ä"}),
                   direct(db, "INSERT INTO items VALUES (?, ?)", {"51", "kept"})};
  // What fails to be prepared runs nothing, above all not the statement before it.
  seen.push_back(direct(db, away, {"4711"}));
  seen.push_back(direct(db, "SELECT nonsense, ?", {"1"}));
  seen.push_back(direct(db, "SELEC ?", {"1"}));
  seen.push_back(ask(db, "SELECT id, name FROM items WHERE id BETWEEN 50 AND 59"));
  seen.push_back(direct(db, "CALL two_results()"));
  return seen;
}

json::value bulk(MYSQL* db) {
  ask(db, "TRUNCATE TABLE entries");
  json::array seen;
  for (const char* const text : {"INSERT INTO entries (id, name, n) VALUES (?, ?, ?)",
                                 "UPDATE entries SET n = n + 1 WHERE id = ? AND name = ? AND n = ?"}) {
    const Statement statement(mysql_stmt_init(db));
    unsigned count = 100;
    std::vector<int> numbers, more;
    std::vector<std::string> names;
    for (int number = 1; number <= 100; ++number)
      numbers.push_back(number), more.push_back(number % 7), names.push_back("row " + std::to_string(number));
    std::vector<const char*> texts;
    std::vector<unsigned long> lengths;
    std::vector<char> indicators;
    for (const std::string& name : names)
      texts.push_back(name.c_str()), lengths.push_back(name.size()), indicators.push_back(STMT_INDICATOR_NONE);
    std::vector<char> defaults(100, STMT_INDICATOR_NONE);
    defaults[50] = STMT_INDICATOR_NULL;
    MYSQL_BIND binds[3]{};
    binds[0].buffer_type = binds[2].buffer_type = MYSQL_TYPE_LONG;
    binds[0].buffer = numbers.data();
    binds[2].buffer = more.data();
    binds[2].u.indicator = defaults.data();
    binds[1].buffer_type = MYSQL_TYPE_STRING;
    binds[1].buffer = static_cast<void*>(texts.data());
    binds[1].length = lengths.data();
    binds[1].u.indicator = indicators.data();
    if (mysql_stmt_prepare(statement.get(), text, std::strlen(text)) != 0) return told(statement.get());
    mysql_stmt_attr_set(statement.get(), STMT_ATTR_ARRAY_SIZE, &count);
    mysql_stmt_bind_param(statement.get(), binds);
    seen.push_back(mysql_stmt_execute(statement.get()) == 0 ? json::value(results(statement.get()))
                                                            : told(statement.get()));
    // Again, by the same statement: the first text fails at its first row now.
    seen.push_back(mysql_stmt_execute(statement.get()) == 0 ? json::value(results(statement.get()))
                                                            : told(statement.get()));
  }
  seen.push_back(ask(db, "SELECT COUNT(*), SUM(id), SUM(n), MAX(name) FROM entries"));
  return seen;
}

json::value cursors(MYSQL* db) {
  const Statement statement(mysql_stmt_init(db));
  unsigned long kind = CURSOR_TYPE_READ_ONLY, ahead = 70;
  mysql_stmt_attr_set(statement.get(), STMT_ATTR_CURSOR_TYPE, &kind);
  mysql_stmt_attr_set(statement.get(), STMT_ATTR_PREFETCH_ROWS, &ahead);
  const std::string text = "SELECT seq FROM seq_1_to_500";
  mysql_stmt_prepare(statement.get(), text.data(), text.size());
  long long number = 0, sum = 0;
  json::array seen;
  for (const int wanted : {200, 1000}) {
    MYSQL_BIND bind{};
    bind.buffer_type = MYSQL_TYPE_LONGLONG;
    bind.buffer = &number;
    mysql_stmt_execute(statement.get());
    mysql_stmt_bind_result(statement.get(), &bind);
    int count = 0;
    for (sum = 0; count < wanted && mysql_stmt_fetch(statement.get()) == 0; ++count) sum += number;
    seen.push_back(json::array{count, sum});
    seen.push_back(ask(db, "SELECT 'between'"));  // a cursor leaves its connection free
    mysql_stmt_free_result(statement.get());
  }
  return seen;
}

// Sent one behind the other; the answers are read afterwards.
json::value sent_ahead(MYSQL* db) {
  for (const std::string text :
       {"SET @p = 1", "SELECT @p", "SELECT nonsense", "BEGIN", "SELECT in_transaction()", "ROLLBACK", "SET @p = NULL"})
    if (mysql_send_query(db, text.data(), text.size()) != 0) return told(db);
  json::array seen;
  for (int turn = 0; turn < 7; ++turn)
    seen.push_back(mysql_read_query_result(db) ? json::value(told(db)) : one_result(db));
  return seen;
}

int waited(MYSQL* db, int status) {
  pollfd socket{static_cast<int>(mysql_get_socket(db)), 0, 0};
  socket.events =
      static_cast<short>((status & MYSQL_WAIT_READ ? POLLIN : 0) | (status & MYSQL_WAIT_WRITE ? POLLOUT : 0));
  if (poll(&socket, 1, 20'000) <= 0) throw std::runtime_error("no answer");
  return (socket.revents & POLLIN ? MYSQL_WAIT_READ : 0) | (socket.revents & POLLOUT ? MYSQL_WAIT_WRITE : 0);
}

json::value not_blocking(MYSQL*) {
  const Db db = open(0, [](MYSQL* made) { mysql_options(made, MYSQL_OPT_NONBLOCK, nullptr); });
  json::array seen;
  for (const std::string text :
       {"SELECT SLEEP(0.05), 'ä'", "SELECT nonsense", "SELECT seq, REPEAT('x', 500) FROM seq_1_to_5000"}) {
    int failed = 0;
    for (int status = mysql_real_query_start(&failed, db.get(), text.data(), text.size()); status != 0;)
      status = mysql_real_query_cont(&failed, db.get(), waited(db.get(), status));
    if (failed != 0) {
      seen.push_back(told(db.get()));
      continue;
    }
    MYSQL_RES* result = nullptr;
    for (int status = mysql_store_result_start(&result, db.get()); status != 0;)
      status = mysql_store_result_cont(&result, db.get(), waited(db.get(), status));
    const Result owned(result);
    seen.push_back(json::array{mysql_num_rows(result), columns(result)});
  }
  return seen;
}

json::value commands(MYSQL* db) {
  json::array seen{mysql_get_server_info(db),
                   mysql_get_server_version(db),
                   mysql_get_proto_info(db),
                   mysql_character_set_name(db),
                   mysql_ping(db),
                   std::string(mysql_stat(db)).substr(0, 6)};
  const Result fields(mysql_list_fields(db, "typed", "%"));
  seen.push_back(fields ? json::value(columns(fields.get())) : told(db));
  for (const enum_mysql_set_option option : {MYSQL_OPTION_MULTI_STATEMENTS_ON, MYSQL_OPTION_MULTI_STATEMENTS_OFF}) {
    seen.push_back(mysql_set_server_option(db, option));
    seen.push_back(ask(db, "SELECT 1; SELECT 2"));
  }
  seen.push_back(json::array{mysql_select_db(db, "other"), ask(db, "SELECT DATABASE()"),
                             mysql_select_db(db, "no_such_database"), told(db), mysql_select_db(db, "shop")});
  seen.push_back(json::array{mysql_set_character_set(db, "latin1"), ask(db, "SELECT @@character_set_client, 'ä'"),
                             mysql_set_character_set(db, "utf8mb4")});
  seen.push_back(json::array{mysql_autocommit(db, 0), ask(db, "SELECT @@autocommit"), mysql_commit(db),
                             mysql_rollback(db), mysql_autocommit(db, 1)});
  seen.push_back(mysql_dump_debug_info(db) == 0 ? json::value("done") : told(db));
  return seen;
}

// What a client is told of the session that it has changed, and nothing of what others did on the same connection.
json::value session_told(MYSQL* db) {
  json::array seen;
  for (const std::string text :
       {"SET time_zone = '+05:00'", "USE other", "USE shop", "SET @told = 1", "SET NAMES latin1", "SET NAMES utf8mb4",
        "BEGIN", "COMMIT", "SET time_zone = DEFAULT, @told = NULL"}) {
    mysql_real_query(db, text.data(), text.size());
    std::vector<std::string> heard;  // a name and a value of each variable, one after the other; in no order
    for (const enum_session_state_type type :
         {SESSION_TRACK_SYSTEM_VARIABLES, SESSION_TRACK_SCHEMA, SESSION_TRACK_STATE_CHANGE}) {
      const char* data = nullptr;
      std::size_t size = 0;
      bool is_value = false;
      for (int found = mysql_session_track_get_first(db, type, &data, &size); found == 0;
           found = mysql_session_track_get_next(db, type, &data, &size)) {
        if (is_value)
          heard.back() += " = " + std::string(data, size);
        else
          heard.push_back(std::to_string(type) + " " + std::string(data, size));
        is_value = type == SESSION_TRACK_SYSTEM_VARIABLES && !is_value;
      }
    }
    std::ranges::sort(heard);
    seen.push_back(json::array{text, json::value_from(heard)});
  }
  return seen;
}

json::value reset(MYSQL*) {
  const Db db = open();
  ask_all(db.get(), {"SET @a = 1, time_zone = '+07:00'", "CREATE TEMPORARY TABLE mine (n INT)",
                     "SELECT GET_LOCK('reset', 0)", "BEGIN", "INSERT INTO items VALUES (4713, 'lost')"});
  const Statement statement(mysql_stmt_init(db.get()));
  mysql_stmt_prepare(statement.get(), "SELECT 1", 8);
  json::array seen{mysql_reset_connection(db.get()),
                   ask_all(db.get(), {"SELECT @a, @@time_zone, in_transaction(), IS_FREE_LOCK('reset'), DATABASE()",
                                      "SELECT * FROM mine", "SELECT * FROM items WHERE id = 4713"})};
  for (const char* const user : {"reader", "app"})
    seen.push_back(json::array{mysql_change_user(db.get(), user, environment("MYSQL_PASSWORD").c_str(), "shop"),
                               ask(db.get(), "SELECT CURRENT_USER(), @@character_set_client")});
  return seen;
}

json::value commits(MYSQL* db) {
  ask(db, "DELETE FROM items WHERE id BETWEEN 40 AND 49");  // what the round before has left
  return ask_all(
      db, {"BEGIN", "INSERT INTO items VALUES (41, 'committed')", "COMMIT", "BEGIN",
           "INSERT INTO items VALUES (42, 'rolled back')", "ROLLBACK", "BEGIN", "INSERT INTO items VALUES (43, 'kept')",
           "INSERT INTO items VALUES (43, 'again')", "SELECT in_transaction()", "COMMIT",
           "SELECT id, name FROM items WHERE id BETWEEN 40 AND 49 ORDER BY id"});
}

json::value parallel(MYSQL*) {
  json::array seen(sessions);
  std::vector<std::string> failures(sessions);
  std::vector<std::thread> threads;
  for (int number = 0; number < sessions; ++number)
    threads.emplace_back([number, &seen, &failures] {
      try {
        const Db db = open();
        const std::string mine = std::to_string(number);
        ask(db.get(), "SET sort_buffer_size = " + std::to_string(1024 * (100 + number)));
        json::array all;
        for (int turn = 0; turn < 10; ++turn) {
          all.push_back(run(db.get(), "SELECT @@sort_buffer_size, ? * ?", {mine.c_str(), "3"}));
          ask(db.get(), "BEGIN");
          ask(db.get(), "REPLACE INTO entries (id, name) VALUES (" + std::to_string(3000 + number) + ", 'turn " +
                            std::to_string(turn) + "')");
          ask(db.get(), turn % 2 ? "COMMIT" : "ROLLBACK");
        }
        all.push_back(ask(db.get(), "SELECT name FROM entries WHERE id = " + std::to_string(3000 + number)));
        seen[static_cast<std::size_t>(number)] = all;
      } catch (const std::exception& error) {
        failures[static_cast<std::size_t>(number)] = error.what();
      }
      mysql_thread_end();
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& failure : failures)
    if (!failure.empty()) throw std::runtime_error(failure);
  return seen;
}

using Scenario = std::pair<std::string, std::function<json::value(MYSQL*)>>;

std::vector<Scenario> all_scenarios() {
  std::ifstream file(environment("DRIVER_STATEMENTS"));
  const json::value shared = json::parse(std::string(std::istreambuf_iterator<char>(file), {}));
  std::vector<Scenario> made;
  for (const auto& each : shared.at("scenarios").as_object()) {
    std::vector<std::string> texts;
    for (const json::value& text : each.value().as_array()) texts.emplace_back(text.as_string());
    made.emplace_back(std::string(each.key()), [texts](MYSQL* db) { return ask_all(db, texts); });
  }
  std::vector<std::string> values;
  for (const json::value& value : shared.at("values").as_array()) values.emplace_back(value.as_string());
  made.emplace_back("types", [values](MYSQL* db) {
    json::array seen;
    for (const std::string& value : values)
      seen.push_back(json::array{value, ask(db, "SELECT " + value + " AS v"), run(db, "SELECT " + value + " AS v")});
    return seen;
  });
  const std::vector<Scenario> more{{"commits", commits},           {"prepared", prepared},
                                   {"at_once", at_once},           {"bulk", bulk},
                                   {"cursors", cursors},           {"sent_ahead", sent_ahead},
                                   {"not_blocking", not_blocking}, {"commands", commands},
                                   {"session_told", session_told}, {"reset", reset},
                                   {"parallel", parallel}};
  made.insert(made.end(), more.begin(), more.end());
  return made;
}

const std::set<std::string> movable{"commits", "at_once", "parallel"};

}  // namespace

int main(int count, char** words) {
  mysql_library_init(0, nullptr, nullptr);
  const std::vector<std::string> wanted(words + 1, words + count);
  const bool is_loop = wanted == std::vector<std::string>{"loop"};
  Db db;
  do {
    for (const auto& [name, body] : all_scenarios()) {
      if (is_loop ? !movable.contains(name) : !wanted.empty() && std::ranges::find(wanted, name) == wanted.end())
        continue;
      json::object line{{"scenario", name}};
      try {
        if (!db) db = open();
        line["result"] = body(db.get());
      } catch (const std::exception& error) {
        std::cerr << name << ": " << error.what() << '\n';
        line["error"] = error.what();
        db.reset();
      }
      std::cout << json::serialize(line) << std::endl;
    }
  } while (is_loop && access(environment("DRIVER_STOP").c_str(), F_OK) != 0);
}
