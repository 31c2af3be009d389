// One connection of the control side to a MySQL or MariaDB server, with a deadline on everything.
//
// Always true: no call blocks past the deadline that connect() was given; a query that does takes its connection with
// it, and what it was doing may go on (mysql_shelf.h remembers it); nothing is thrown; an error says which side, which
// server, the number and the server's own words. Every text begins with a comment that says whose it is, so that a next
// process finds what a dead one has left running. Not thread-safe: one thread at a time. Rows own their bytes.
#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conf/config.h"
#include "control/mysql_dialect.h"
#include "router/routing_table.h"

struct st_mysql;

namespace turnout::control {

struct MysqlTarget {
  router::Side side = router::Side::blue;
  conf::Address address;
  conf::Login login;
  conf::Tls tls;
  // Where `address` is now, tried in turn; empty = the library asks the name servers itself, and blocks while it does.
  std::vector<conf::Address> numeric = {};

  [[nodiscard]] std::string text() const;  // "blue 127.0.0.1:3306"
};

struct MysqlError {
  std::string where;  // "blue 127.0.0.1:3306"
  unsigned number = 0;
  std::string text;
  bool lost = false;  // the connection is gone; whether the query was executed is not known

  [[nodiscard]] std::string message() const;
};

template <typename T>
using MysqlOutcome = boost::system::result<T, MysqlError>;

// The whole answer. Columns are asked for by number, or by name where the server decides their order.
class MysqlRows {
 public:
  using Row = std::vector<std::optional<std::string>>;

  MysqlRows() = default;
  MysqlRows(std::vector<std::string> columns, std::vector<Row> rows)
      : columns_(std::move(columns)), rows_(std::move(rows)) {}

  [[nodiscard]] std::size_t size() const { return rows_.size(); }
  [[nodiscard]] std::size_t width() const { return columns_.size(); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  [[nodiscard]] bool is_null(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::string text(std::size_t row, std::size_t column = 0) const;  // "" for NULL and what is not there
  [[nodiscard]] std::string text(std::size_t row, std::string_view column) const;
  [[nodiscard]] std::vector<std::string> row(std::size_t row) const;  // its texts
  [[nodiscard]] std::int64_t integer(std::size_t row, std::size_t column = 0) const;

 private:
  std::vector<std::string> columns_;
  std::vector<Row> rows_;
};

class MysqlClient {
 public:
  // `ms_max`: of the login, and of each query afterwards; whole seconds, rounded up.
  [[nodiscard]] static MysqlOutcome<MysqlClient> connect(const MysqlTarget& target, std::uint32_t ms_max);

  // One statement.
  [[nodiscard]] MysqlOutcome<MysqlRows> query(const std::string& sql);

  [[nodiscard]] bool is_usable() const { return connection_ != nullptr; }
  // Of an idle connection: false when the server has closed it meanwhile. Never blocks.
  [[nodiscard]] bool is_alive() const;
  [[nodiscard]] std::uint64_t number() const { return number_; }  // CONNECTION_ID()
  [[nodiscard]] const MysqlTarget& target() const { return target_; }
  // Of the server that it is logged in to.
  [[nodiscard]] const MysqlDialect& dialect() const { return dialect_of(product_); }

 private:
  struct Close {
    void operator()(st_mysql* connection) const;
  };
  MysqlClient(MysqlTarget target, st_mysql* connection) : target_(std::move(target)), connection_(connection) {}

  [[nodiscard]] static MysqlOutcome<MysqlClient> connect_to(const MysqlTarget& target, const conf::Address& place,
                                                            std::uint32_t ms_max);
  [[nodiscard]] bool is_at(const std::vector<conf::Address>& places) const;
  [[nodiscard]] MysqlError error_now() const;
  [[nodiscard]] MysqlOutcome<MysqlRows> rows();

  MysqlTarget target_;
  std::unique_ptr<st_mysql, Close> connection_;
  std::uint64_t number_ = 0;
  MysqlProduct product_ = MysqlProduct::mariadb;
};

// What begins every text of ours, in the server's list of what runs.
inline constexpr std::string_view mysql_signature = "/* turnout control */ ";

// Whose rights a session has, as information_schema names a grantee.
inline constexpr const char* mysql_me =
    "CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)))";

// The server's own tables, and what is made up on demand.
inline constexpr const char* mysql_own_schemas = "('mysql', 'information_schema', 'performance_schema', 'sys')";

// 'it''s': for our own connections, to which a backslash is a letter.
[[nodiscard]] std::string mysql_literal(std::string_view text);
// Up to the largest BIGINT UNSIGNED; 0 for what is no number.
[[nodiscard]] std::uint64_t mysql_number(std::string_view digits);

}  // namespace turnout::control
