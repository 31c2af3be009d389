// One libpq connection of the control side, with a deadline on everything.
//
// Always true: no call blocks past its deadline; a query that does takes its connection with it (the server ends what
// was left behind within client_connection_check_interval); nothing is thrown; an error says which side, which server,
// the SQLSTATE and the server's own words. Never puts default_transaction_read_only=off on a session: whoever must
// write on a fenced server says BEGIN READ WRITE for that one transaction. Not thread-safe: one thread at a time. Rows
// own their bytes.
#pragma once

#include <libpq-fe.h>

#include <boost/system/result.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "conf/config.h"
#include "protocol/pg/notification.h"
#include "router/routing_table.h"

namespace turnout::control {

// Where a connection goes. `application` tells our backends apart from everybody else's in pg_stat_activity.
struct PgTarget {
  router::Side side = router::Side::blue;
  conf::Address address;
  conf::Login login;
  conf::Tls tls;
  std::string database;
  std::string application = "turnout";
  // Where `address` is now, tried in turn; empty = libpq asks the name servers itself, and blocks while it does.
  std::vector<conf::Address> numeric = {};

  [[nodiscard]] std::string text() const;  // "blue 127.0.0.1:5431/app"
};

struct PgError {
  router::Side side = router::Side::blue;
  std::string where;     // "blue 127.0.0.1:5431/app"
  std::string sqlstate;  // "" when it did not come from the server
  std::string text;
  bool lost = false;     // the connection is gone; whether the query was executed is not known
  std::int32_t pid = 0;  // of the backend that may still be busy with it

  [[nodiscard]] std::string message() const;
  [[nodiscard]] bool is_refused() const { return sqlstate == "42501"; }  // insufficient_privilege
};

class PgRows {
 public:
  PgRows() = default;
  explicit PgRows(PGresult* result) : result_(result) {}

  [[nodiscard]] int size() const { return result_ ? PQntuples(result_.get()) : 0; }
  [[nodiscard]] int width() const { return result_ ? PQnfields(result_.get()) : 0; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] bool is_null(int row, int column) const;
  [[nodiscard]] std::string text(int row, int column) const;  // "" for NULL
  [[nodiscard]] std::int64_t integer(int row, int column, std::int64_t if_null = 0) const;
  [[nodiscard]] double number(int row, int column, double if_null = 0) const;
  [[nodiscard]] bool boolean(int row, int column) const;  // false for NULL

 private:
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGresult, Clear> result_;
};

template <typename T>
using PgOutcome = boost::system::result<T, PgError>;

class PgClient {
 public:
  [[nodiscard]] static PgOutcome<PgClient> connect(const PgTarget& target, std::uint32_t ms_max);

  PgClient(PgClient&&) noexcept = default;
  PgClient& operator=(PgClient&&) noexcept = default;

  // Simple protocol: several statements are one implicit transaction unless they say BEGIN. Returns the last
  // statement's rows that had any columns; the first error ends it.
  [[nodiscard]] PgOutcome<PgRows> query(const std::string& sql, std::uint32_t ms_max);
  // Extended protocol with text parameters;.
  [[nodiscard]] PgOutcome<PgRows> query(const std::string& sql, const std::vector<std::string>& parameters,
                                        std::uint32_t ms_max);

  // Parse alone, as the unnamed statement: names and types are looked up, nothing is executed, several statements are
  // refused. `types`: a type's OID for each parameter, 0 = the server says which.
  [[nodiscard]] PgOutcome<PgRows> parse(const std::string& sql, const std::vector<std::uint32_t>& types,
                                        std::uint32_t ms_max);

  [[nodiscard]] bool is_usable() const {
    return connection_ != nullptr && PQstatus(connection_.get()) == CONNECTION_OK;
  }
  // Of an idle connection: false when the server has closed it meanwhile. Never blocks.
  [[nodiscard]] bool is_alive();
  [[nodiscard]] bool in_transaction() const;
  [[nodiscard]] std::int32_t pid() const { return pid_; }
  [[nodiscard]] int server_version() const { return version_; }  // 150020, 180004
  [[nodiscard]] const PgTarget& target() const { return target_; }
  // Of ParameterStatus, so without a round trip; "" when the server does not report it.
  [[nodiscard]] std::string parameter(const char* name) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  PgClient(PgTarget target, PGconn* connection) : target_(std::move(target)), connection_(connection) {}

  [[nodiscard]] PgOutcome<PgRows> finish_query(bool sent, std::uint32_t ms_max);
  [[nodiscard]] bool wait(short events, Clock::time_point deadline) const;
  [[nodiscard]] PgError drop(std::string text);
  [[nodiscard]] PgError error_of(const PGresult* result) const;

  PgTarget target_;
  std::unique_ptr<PGconn, Finish> connection_;
  std::int32_t pid_ = 0;
  int version_ = 0;
};

// SQL text helpers: what cannot be a parameter (DDL) is quoted here and nowhere else.
using protocol::pg::quote_identifier;
[[nodiscard]] std::string quote_literal(std::string_view text);
// A conninfo value: 'it''s' with backslashes escaped as libpq wants it.
[[nodiscard]] std::string quote_conninfo(std::string_view text);
// "host=… port=… user=… dbname=… sslmode=…", without the application name. With `numeric`, the host's name is only what
// TLS checks.
[[nodiscard]] std::string conninfo(const conf::Address& address, const conf::Login& login, conf::TlsMode mode,
                                   const std::string& database, const std::vector<conf::Address>& numeric = {});
// The same with what TLS needs, as connect() uses it, for whoever logs in on our behalf: `login` in place of the
// target's.
[[nodiscard]] std::string client_conninfo(const PgTarget& target, const conf::Login& login);
[[nodiscard]] const char* sslmode_name(conf::TlsMode mode);

}  // namespace turnout::control
