// libpqxx: libpq for C++, prepared by name, streams on COPY, a pipeline, robust transactions. The rules are in
// common.py.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <pqxx/pqxx>
#include <string>
#include <thread>
#include <vector>

namespace {

const std::string owner = "libpqxx";
constexpr int sessions = 16;
const std::vector<std::string> values{"true",
                                      "(-32768)::int2",
                                      "9223372036854775807::int8",
                                      "0.1::float8",
                                      "12345678901234567890.0123456789::numeric",
                                      "'Größe ≠ 漢字 🙂'::text",
                                      "''::text",
                                      "'\\x00ff10275c'::bytea",
                                      "'{\"b\": [1, 2.5, null], \"a\": \"ü\"}'::jsonb",
                                      "'2024-02-29 12:34:56.789012+02'::timestamptz",
                                      "'00112233-4455-6677-8899-aabbccddeeff'::uuid",
                                      "ARRAY[1, 2, NULL]::int4[]",
                                      "ARRAY['a', 'b,\"c', NULL]::text[]",
                                      "NULL::int4",
                                      "'192.168.1.7'::inet",
                                      "'3 days 04:05:06.7'::interval",
                                      "'[1,10)'::int4range",
                                      "repeat('long', 5000)"};
const std::vector<std::string> user_values{
    "'green'::drivers.colour",        "ARRAY['red', 'blue', NULL]::drivers.colour[]",
    "ROW(1, 2, 'a b')::drivers.spot", "55::drivers.percent",
    "'[1.5,2.5)'::drivers.span",      "'sad'::mood"};

// JSON texts, put together as they come.
std::string quoted(std::string_view text) {
  static const char* const hex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += std::string("\\") + c;
    else if (static_cast<unsigned char>(c) < 32)
      out += std::string("\\u00") + hex[c >> 4] + hex[c & 15];
    else
      out += c;
  }
  return out + '"';
}

std::string list(const std::vector<std::string>& parts) {
  std::string out = "[";
  for (const std::string& part : parts) out += (out.size() > 1 ? ", " : "") + part;
  return out + "]";
}

std::string shown(const pqxx::result& result) {
  std::vector<std::string> rows;
  for (const auto& row : result) {
    std::vector<std::string> fields;
    for (const auto& field : row) fields.push_back(field.is_null() ? "null" : quoted(field.c_str()));
    rows.push_back(list(fields));
  }
  return list(rows);
}

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string where() {
  return "host=" + environment("PGHOST") + " port=" + environment("PGPORT") + " user=" + environment("PGUSER") +
         " dbname=" + environment("PGDATABASE") + " sslmode=disable options='-c work_mem=5MB'";
}

std::string refusal(const std::function<void()>& deed) {
  try {
    deed();
  } catch (const pqxx::sql_error& error) {
    const std::string text = error.what();
    return list({quoted(error.sqlstate()), quoted(text.substr(0, text.find('\n')))});
  }
  return list({quoted("no error")});
}

using Db = pqxx::connection;

std::string rows(Db& db, const std::string& text) {
  pqxx::nontransaction work(db);
  return shown(work.exec(text));
}

void clear(Db& db) {
  pqxx::work work(db);
  work.exec_params("DELETE FROM drivers.items WHERE owner = $1", owner);
  work.commit();
}

void insert(pqxx::transaction_base& work, int number, const std::string& name) {
  work.exec_params("INSERT INTO drivers.items (owner, id, name) VALUES ($1, $2, $3)", owner, number, name);
}

std::string items(Db& db) {
  return rows(db, "SELECT id, name FROM drivers.items WHERE owner = 'libpqxx' ORDER BY id");
}

std::string transactions(Db& db) {
  clear(db);
  {
    pqxx::work work(db);
    insert(work, 1, "committed");
    {
      pqxx::subtransaction inner(work, "inner");
      insert(inner, 2, "given up");
      inner.abort();
    }
    {
      pqxx::subtransaction inner(work);
      insert(inner, 3, "in a savepoint");
      inner.commit();
    }
    work.commit();
  }
  {
    pqxx::work work(db);
    insert(work, 4, "rolled back");
  }
  std::string refused, level;
  {
    pqxx::transaction<pqxx::serializable, pqxx::read_only> work(db);
    level = shown(work.exec("SHOW transaction_isolation"));
    refused = refusal([&] { insert(work, 5, "refused"); });
  }
  pqxx::perform([&] {
    pqxx::work work(db);
    insert(work, 6, "by perform");
    work.commit();
  });
  return list({items(db), level, refused});
}

std::string prepared(Db& db) {
  db.prepare("twice", "SELECT $1::int * 2 + 1");
  std::vector<std::string> repeated;
  {
    pqxx::work work(db);
    for (int number = 0; number < 25; ++number)
      repeated.push_back(work.exec_prepared1("twice", number)[0].as<std::string>());
    work.commit();
  }
  for (int number = 0; number < 60; ++number)
    db.prepare("many" + std::to_string(number), "SELECT $1::int + " + std::to_string(number));
  int sum = 0;
  for (int turn = 0; turn < 2; ++turn) {
    pqxx::work work(db);
    for (int number = 0; number < 60; ++number)
      sum += work.exec_prepared1("many" + std::to_string(number), turn)[0].as<int>();
    work.commit();
  }
  for (int number = 0; number < 60; ++number) db.unprepare("many" + std::to_string(number));
  db.unprepare("twice");
  db.prepare("twice", "SELECT $1::text");  // the name is free again
  std::string anew;
  {
    pqxx::work work(db);
    anew = shown(work.exec_prepared("twice", "anew"));
  }
  db.unprepare("twice");
  return list(
      {list(repeated), std::to_string(sum), anew, refusal([&] { db.prepare("broken", "SELECT nothing($1)"); })});
}

std::string cursors(Db& db) {
  std::size_t count = 0, reads = 0;
  std::string jumped;
  {
    pqxx::work work(db);
    pqxx::icursorstream stream(work, "SELECT n, n * 3 FROM generate_series(1, 500) AS n", "walk", 70);
    pqxx::result part;
    while (stream >> part) count += static_cast<std::size_t>(part.size()), ++reads;
    pqxx::stateless_cursor<pqxx::cursor_base::read_only, pqxx::cursor_base::owned> held(
        work, "SELECT generate_series(1, 20)", "held", true);
    work.commit();
    pqxx::nontransaction after(db);
    jumped = shown(held.retrieve(5, 8));
  }
  return list({std::to_string(count), std::to_string(reads), jumped});
}

std::string copy(Db& db) {
  clear(db);
  {
    pqxx::work work(db);
    pqxx::stream_to stream(work, "drivers.items", std::vector<std::string>{"owner", "id", "name"});
    for (int number = 0; number < 2000; ++number)
      stream << std::make_tuple(owner, number, "row " + std::to_string(number));
    stream.complete();
    work.commit();
  }
  const std::string failed = refusal([&] {
    pqxx::work work(db);
    pqxx::stream_to stream(work, "drivers.items", std::vector<std::string>{"owner", "id", "name"});
    stream << std::make_tuple(owner, std::string("nonsense"), std::string("x"));
    stream.complete();
  });
  return list({failed, rows(db, "SELECT count(*), sum(id), max(name) FROM drivers.items WHERE owner = 'libpqxx'")});
}

struct Hearer : pqxx::notification_receiver {
  using pqxx::notification_receiver::notification_receiver;
  std::vector<std::string> heard;
  void operator()(const std::string& payload, int) override { heard.push_back(quoted(payload)); }
};

std::string notify(Db& db) {
  Hearer hearer(db, "pqxx_news");
  Db speaker(where());
  for (int number = 0; number < 5; ++number) {
    pqxx::work work(speaker);
    work.exec_params("SELECT pg_notify('pqxx_news', $1)", "item " + std::to_string(number));
    work.commit();
  }
  for (int turn = 0; turn < 20 && hearer.heard.size() < 5; ++turn) db.await_notification(1, 0);
  return list(hearer.heard);
}

std::string cancel(Db& db) {
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    db.cancel_query();
  });
  const std::string refused = refusal([&] {
    pqxx::work work(db);
    work.exec("SELECT pg_sleep(30)");
  });
  canceller.join();
  return list({refused, rows(db, "SELECT 'usable'")});
}

std::string errors(Db& db) {
  clear(db);
  std::vector<std::string> seen;
  for (const char* text : {"SELEC 1", "SELECT 1/0", "SELECT * FROM nowhere", "SELECT nothing()", "SELECT 'x'::int",
                           "INSERT INTO drivers.items (owner, id) VALUES ('nobody', 1)"}) {
    seen.push_back(refusal([&] {
      pqxx::nontransaction work(db);
      work.exec(text);
    }));
    seen.push_back(refusal([&] {
      pqxx::work work(db);
      work.exec_params(text);
    }));
  }
  {
    pqxx::work work(db);
    insert(work, 1, "first");
    work.commit();
  }
  {
    pqxx::work work(db);
    insert(work, 2, "lost with its transaction");
    seen.push_back(refusal([&] { insert(work, 1, "again"); }));
    seen.push_back(refusal([&] { work.exec("SELECT 1"); }));
  }
  return list({list(seen), items(db), rows(db, "SELECT 'usable'")});
}

std::string typed(Db& db, const std::vector<std::string>& of) {
  std::vector<std::string> seen;
  for (const std::string& value : of) {
    pqxx::work work(db);
    seen.push_back(list({quoted(value), shown(work.exec("SELECT " + value)),
                         shown(work.exec_params("SELECT " + value + ", $1::int", 1))}));
  }
  return list(seen);
}

std::string batch(Db& db) {
  clear(db);
  std::vector<std::string> seen;
  pqxx::work work(db);
  {
    pqxx::pipeline pipe(work);
    pipe.retain(10);
    std::vector<pqxx::pipeline::query_id> asked;
    for (int number = 0; number < 50; ++number)
      asked.push_back(pipe.insert("INSERT INTO drivers.items (owner, id, name) VALUES ('libpqxx', " +
                                  std::to_string(number) + ", 'piped') RETURNING id"));
    for (const auto id : asked) seen.push_back(shown(pipe.retrieve(id)));
  }
  work.commit();
  return list({list(seen), rows(db, "SELECT count(*), sum(id) FROM drivers.items WHERE owner = 'libpqxx'")});
}

std::string parameters(Db&) {
  Db mine(where());
  const auto show = [&] {
    return rows(mine,
                "SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('TimeZone')");
  };
  std::vector<std::string> seen{show()};
  mine.set_variable("work_mem", "'7MB'");
  rows(mine, "SET search_path = drivers, public");
  seen.push_back(show());
  {
    pqxx::work work(mine);
    work.exec("SET work_mem = '9MB'");
    work.exec("SET LOCAL TimeZone = 'Asia/Tokyo'");
    seen.push_back(shown(work.exec("SELECT current_setting('work_mem'), current_setting('TimeZone')")));
  }
  seen.push_back(show());
  mine.set_client_encoding("LATIN1");
  seen.push_back(quoted(mine.get_variable("client_encoding")));
  return list(seen);
}

std::string session_state(Db& db) {
  rows(db, "CREATE TEMPORARY TABLE mine (n int)");
  for (int number = 0; number < 5; ++number) rows(db, "INSERT INTO mine VALUES (" + std::to_string(number) + ")");
  std::vector<std::string> seen{rows(db, "SELECT count(*), sum(n) FROM mine")};
  rows(db, "DROP TABLE mine");
  rows(db, "SELECT pg_advisory_lock(4722)");
  seen.push_back(rows(db, "SELECT pg_advisory_unlock(4722), pg_advisory_unlock(4722)"));
  rows(db, "DISCARD TEMP");
  return list(seen);
}

std::string large_objects(Db& db) {
  pqxx::work work(db);
  std::string data;
  for (int number = 0; number < 50000; ++number) data += "abc";
  std::vector<std::string> seen;
  pqxx::largeobjectaccess object(work);
  object.write(data);
  object.seek(75000, std::ios::beg);
  char part[6];
  seen.push_back(std::to_string(object.read(part, sizeof part)) + "");
  seen.push_back(quoted(std::string_view(part, sizeof part)));
  seen.push_back(std::to_string(object.seek(0, std::ios::end)));
  object.remove(work);
  work.commit();
  return list(seen);
}

std::string parallel(Db&) {
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int number = 0; number < sessions; ++number)
    threads.emplace_back([number, &right] {
      try {
        Db mine(where());
        mine.prepare("times", "SELECT $1::int * " + std::to_string(number) + ", current_setting('work_mem')");
        mine.set_variable("work_mem", "'" + std::to_string(1000 + number) + "kB'");
        for (int turn = 0; turn < 10; ++turn) {
          {
            pqxx::work work(mine);
            const auto row = work.exec_prepared1("times", turn);
            if (row[0].as<int>() != turn * number || row[1].as<std::string>() != std::to_string(1000 + number) + "kB")
              return;
          }
          if (turn % 3 == 0 && refusal([&] { rows(mine, "SELECT 1/0"); }).find("22012") == std::string::npos) return;
        }
        ++right;
      } catch (const std::exception& error) {
        std::cerr << "session " << number << ": " << error.what() << '\n';
      }
    });
  for (std::thread& thread : threads) thread.join();
  return std::to_string(right);
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::pair<std::string, std::function<std::string(Db&)>>> scenarios{
      {"transactions", transactions},
      {"prepared", prepared},
      {"cursors", cursors},
      {"copy", copy},
      {"notify", notify},
      {"cancel", cancel},
      {"errors", errors},
      {"types", [](Db& db) { return typed(db, values); }},
      {"user_types", [](Db& db) { return typed(db, user_values); }},
      {"batch", batch},
      {"parameters", parameters},
      {"session_state", session_state},
      {"large_objects", large_objects},
      {"parallel", parallel}};
  std::unique_ptr<Db> db;
  for (const auto& [name, body] : scenarios) {
    bool wanted = count == 1;
    for (int word = 1; word < count; ++word) wanted = wanted || name == words[word];
    if (!wanted) continue;
    std::string line = "{\"scenario\": " + quoted(name) + ", ";
    try {
      if (!db) db = std::make_unique<Db>(where());
      line += "\"result\": " + body(*db) + "}";
    } catch (const std::exception& error) {
      std::cerr << name << ": " << error.what() << '\n';
      line += "\"error\": " + quoted(error.what()) + "}";
      db.reset();
    }
    std::cout << line << std::endl;
  }
}
