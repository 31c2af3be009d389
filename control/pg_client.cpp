#include "control/pg_client.h"

#include <poll.h>

#include <charconv>
#include <cstdlib>
#include <optional>

namespace turnout::control {

namespace {

// A query whose client is gone is ended by the server within this time (PostgreSQL 14+); and none of ours waits long
// for a lock: behind us everybody else would queue.
constexpr const char* session_options = "-c client_connection_check_interval=250 -c lock_timeout=2s";

// The socket file "/run/postgresql/.s.PGSQL.5432" as libpq wants it: directory and port.
struct UnixParts {
  std::string directory, port;
};
std::optional<UnixParts> split_unix(const std::string& path) {
  const auto slash = path.rfind('/');
  const auto dot = path.rfind('.');
  if (slash == std::string::npos || dot == std::string::npos || dot < slash) return std::nullopt;
  return UnixParts{slash == 0 ? "/" : path.substr(0, slash), path.substr(dot + 1)};
}

std::string without_newline(const char* text) {
  std::string out = text == nullptr ? "" : text;
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  return out;
}

void ignore_notice(void*, const PGresult*) {}

}  // namespace

const char* sslmode_name(conf::TlsMode mode) {
  switch (mode) {
    case conf::TlsMode::disable:
      return "disable";
    case conf::TlsMode::allow:
      return "allow";
    case conf::TlsMode::prefer:
      return "prefer";
    case conf::TlsMode::require:
      return "require";
    case conf::TlsMode::verify_ca:
      return "verify-ca";
    case conf::TlsMode::verify_full:
      return "verify-full";
  }
  return "prefer";
}

std::string quote_literal(std::string_view text) {
  std::string out = "'";
  bool backslash = false;
  for (const char c : text) {
    if (c == '\'') out += '\'';
    if (c == '\\') {
      out += '\\';
      backslash = true;
    }
    out += c;
  }
  // E'' means the same whatever standard_conforming_strings is.
  return (backslash ? "E" : "") + out + '\'';
}

std::string quote_conninfo(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + '\'';
}

std::string conninfo(const conf::Address& address, const conf::Login& login, conf::TlsMode mode,
                     const std::string& database, const std::vector<conf::Address>& numeric) {
  std::string out;
  if (address.is_unix()) {
    const auto parts = split_unix(address.unix_path);
    out = "host=" + quote_conninfo(parts ? parts->directory : address.unix_path);
    if (parts) out += " port=" + quote_conninfo(parts->port);
  } else {
    std::string hosts = address.host;
    std::string numbers;
    for (const conf::Address& one : numeric) {
      if (!numbers.empty()) hosts += "," + address.host;
      numbers += (numbers.empty() ? "" : ",") + one.host;
    }
    out = "host=" + quote_conninfo(hosts) + " port=" + std::to_string(address.port);
    if (!numbers.empty()) out += " hostaddr=" + quote_conninfo(numbers);
    out += std::string(" sslmode=") + sslmode_name(mode);
  }
  out += " user=" + quote_conninfo(login.user) + " dbname=" + quote_conninfo(database);
  if (!login.password.empty()) out += " password=" + quote_conninfo(login.password);
  return out;
}

std::string client_conninfo(const PgTarget& target, const conf::Login& login) {
  std::string info = conninfo(target.address, login, target.tls.mode, target.database, target.numeric);
  // Never ~/.pgpass: what we log in with is what the configuration says.
  info += " passfile=/dev/null/none client_encoding=UTF8";
  if (!target.address.is_unix() && target.tls.channel_binding == conf::ChannelBinding::require)
    info += " channel_binding=require";
  if (target.tls.channel_binding == conf::ChannelBinding::disable) info += " channel_binding=disable";
  if (!target.tls.ca_file.empty()) info += " sslrootcert=" + quote_conninfo(target.tls.ca_file);
  if (!target.tls.certificate_file.empty()) info += " sslcert=" + quote_conninfo(target.tls.certificate_file);
  if (!target.tls.key_file.empty()) info += " sslkey=" + quote_conninfo(target.tls.key_file);
  return info;
}

std::string PgTarget::text() const {
  return std::string(router::name(side)) + ' ' + address.text() + '/' + database;
}

std::string PgError::message() const {
  return where + ": " + (sqlstate.empty() ? "" : sqlstate + ' ') + text;
}

bool PgRows::is_null(int row, int column) const {
  return PQgetisnull(result_.get(), row, column) != 0;
}

std::string PgRows::text(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column), static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::int64_t PgRows::integer(int row, int column, std::int64_t if_null) const {
  if (is_null(row, column)) return if_null;
  const char* begin = PQgetvalue(result_.get(), row, column);
  std::int64_t value = if_null;
  std::from_chars(begin, begin + PQgetlength(result_.get(), row, column), value);
  return value;
}

double PgRows::number(int row, int column, double if_null) const {
  return is_null(row, column) ? if_null : std::strtod(PQgetvalue(result_.get(), row, column), nullptr);
}

bool PgRows::boolean(int row, int column) const {
  return !is_null(row, column) && *PQgetvalue(result_.get(), row, column) == 't';
}

PgOutcome<PgClient> PgClient::connect(const PgTarget& target, std::uint32_t ms_max) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(ms_max);
  const std::string info = client_conninfo(target, target.login) +
                           " application_name=" + quote_conninfo(target.application) +
                           " options=" + quote_conninfo(session_options);

  PgClient client(target, PQconnectStart(info.c_str()));
  if (client.connection_ == nullptr) return client.drop("out of memory");
  PGconn* connection = client.connection_.get();
  if (PQstatus(connection) == CONNECTION_BAD) return client.drop(without_newline(PQerrorMessage(connection)));
  for (auto polling = PGRES_POLLING_WRITING; polling != PGRES_POLLING_OK; polling = PQconnectPoll(connection)) {
    if (polling == PGRES_POLLING_FAILED) return client.drop(without_newline(PQerrorMessage(connection)));
    if (!client.wait(polling == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline)) {
      return client.drop("no answer to the login within " + std::to_string(ms_max) + " ms");
    }
  }
  PQsetNoticeReceiver(connection, ignore_notice, nullptr);
  PQsetnonblocking(connection, 1);
  client.pid_ = PQbackendPID(connection);
  client.version_ = PQserverVersion(connection);
  return client;
}

bool PgClient::is_alive() {
  if (!is_usable()) return false;
  pollfd descriptor{PQsocket(connection_.get()), POLLIN, 0};
  // Readable while idle: a parameter that changed, or the end. Reading tells which, and a second read sees the end
  // that stands behind a last message.
  for (int times = 0; times < 2 && ::poll(&descriptor, 1, 0) > 0; ++times) {
    if (PQconsumeInput(connection_.get()) == 0) return false;
    if (PQisBusy(connection_.get()) == 0 && !is_usable()) return false;
  }
  return is_usable();
}

PgOutcome<PgRows> PgClient::query(const std::string& sql, std::uint32_t ms_max) {
  if (!is_usable()) return drop("connection is closed");
  return finish_query(PQsendQuery(connection_.get(), sql.c_str()) == 1, ms_max);
}

PgOutcome<PgRows> PgClient::query(const std::string& sql, const std::vector<std::string>& parameters,
                                  std::uint32_t ms_max) {
  if (!is_usable()) return drop("connection is closed");
  std::vector<const char*> values;
  for (const auto& parameter : parameters) values.push_back(parameter.c_str());
  const int sent = PQsendQueryParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                                     values.data(), nullptr, nullptr, 0);
  return finish_query(sent == 1, ms_max);
}

PgOutcome<PgRows> PgClient::parse(const std::string& sql, const std::vector<std::uint32_t>& types,
                                  std::uint32_t ms_max) {
  if (!is_usable()) return drop("connection is closed");
  const std::vector<Oid> oids(types.begin(), types.end());
  const int sent = PQsendPrepare(connection_.get(), "", sql.c_str(), static_cast<int>(oids.size()),
                                 oids.empty() ? nullptr : oids.data());
  return finish_query(sent == 1, ms_max);
}

PgOutcome<PgRows> PgClient::finish_query(bool sent, std::uint32_t ms_max) {
  PGconn* connection = connection_.get();
  if (!sent) return drop(without_newline(PQerrorMessage(connection)));
  const auto deadline = Clock::now() + std::chrono::milliseconds(ms_max);
  const std::string late = "no answer within " + std::to_string(ms_max) + " ms; the connection was dropped";
  for (int left = PQflush(connection); left != 0; left = PQflush(connection)) {
    if (left < 0) return drop(without_newline(PQerrorMessage(connection)));
    // Reading as well: a server that is blocked in sending to us will not take our bytes.
    if (!wait(POLLIN | POLLOUT, deadline)) return drop(late);
    if (PQconsumeInput(connection) == 0) return drop(without_newline(PQerrorMessage(connection)));
  }
  PgRows rows;
  std::optional<PgError> error;
  while (true) {
    while (PQisBusy(connection) == 1) {
      if (!wait(POLLIN, deadline)) return drop(late);
      if (PQconsumeInput(connection) == 0) return drop(without_newline(PQerrorMessage(connection)));
    }
    PGresult* result = PQgetResult(connection);
    if (result == nullptr) break;
    const auto status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK) {
      rows = PgRows(result);
      continue;
    }
    if (status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY && !error) error = error_of(result);
    PQclear(result);
  }
  if (PQstatus(connection) != CONNECTION_OK) {
    PgError gone = drop(error ? error->text : "connection lost");
    if (error) gone.sqlstate = error->sqlstate;
    return gone;
  }
  if (error) return *error;
  return rows;
}

bool PgClient::wait(short events, Clock::time_point deadline) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd one{PQsocket(connection_.get()), events, 0};
    const int ready = poll(&one, 1, static_cast<int>(left));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return true;  // libpq will say what is wrong with the socket
  }
}

bool PgClient::in_transaction() const {
  return connection_ != nullptr && PQtransactionStatus(connection_.get()) != PQTRANS_IDLE;
}

std::string PgClient::parameter(const char* name) const {
  const char* value = connection_ == nullptr ? nullptr : PQparameterStatus(connection_.get(), name);
  return value == nullptr ? "" : value;
}

PgError PgClient::drop(std::string text) {
  PgError error{target_.side, target_.text(), "", std::move(text), true, pid_};
  connection_.reset();
  return error;
}

PgError PgClient::error_of(const PGresult* result) const {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const char* detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
  std::string text = primary != nullptr ? primary : without_newline(PQresultErrorMessage(result));
  if (detail != nullptr) text += std::string(" (") + detail + ')';
  return {target_.side, target_.text(), state == nullptr ? "" : state, std::move(text), false, pid_};
}

}  // namespace turnout::control
