#include "control/mysql_client.h"

#include <arpa/inet.h>
#include <errmsg.h>
#include <mysql.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <mutex>

#include "conf/address.h"

namespace turnout::control {

namespace {

constexpr unsigned second_ms = 1000;

void initialise_library() {
  static std::once_flag once;
  std::call_once(once, [] { mysql_library_init(0, nullptr, nullptr); });
}

// Backslashes are letters in our texts (mysql_literal), and no lock is waited for longer than a window can bear.
// Fingerprints are made of whole lists: MySQL would cut them. AUTO_INCREMENT as it is, not as MySQL last remembered it
// (MariaDB leaves comments of MySQL's 8.0 out).
constexpr const char* session_sql =
    "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', lock_wait_timeout = 2, autocommit = 1, group_concat_max_len = "
    "1048576 /*!80000 , information_schema_stats_expiry = 0 */";

// Whether somebody may listen between us is the operator's choice; whether TLS is there, the server's.
enum class TlsTry { none, encrypted };

bool verifies(const conf::Tls& tls) {
  return tls.mode == conf::TlsMode::verify_ca || tls.mode == conf::TlsMode::verify_full;
}

void set_tls(MYSQL* connection, const conf::Tls& tls) {
  my_bool on = 1;
  mysql_optionsv(connection, MYSQL_OPT_SSL_ENFORCE, &on);
  if (!tls.ca_file.empty()) mysql_optionsv(connection, MYSQL_OPT_SSL_CA, tls.ca_file.c_str());
  if (!tls.certificate_file.empty()) mysql_optionsv(connection, MYSQL_OPT_SSL_CERT, tls.certificate_file.c_str());
  if (!tls.key_file.empty()) mysql_optionsv(connection, MYSQL_OPT_SSL_KEY, tls.key_file.c_str());
  my_bool is_verified = verifies(tls) ? 1 : 0;
  mysql_optionsv(connection, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &is_verified);
}

MYSQL* open(const MysqlTarget& target, const conf::Address& place, std::uint32_t ms_max, TlsTry tls) {
  MYSQL* const connection = mysql_init(nullptr);
  if (connection == nullptr) return nullptr;
  const unsigned seconds = (ms_max + second_ms - 1) / second_ms;
  const unsigned no_local_files = 0;
  mysql_optionsv(connection, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
  mysql_optionsv(connection, MYSQL_OPT_READ_TIMEOUT, &seconds);
  mysql_optionsv(connection, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
  mysql_optionsv(connection, MYSQL_OPT_LOCAL_INFILE, &no_local_files);
  mysql_optionsv(connection, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  mysql_optionsv(connection, MYSQL_INIT_COMMAND, session_sql);
  if (tls == TlsTry::encrypted) set_tls(connection, target.tls);
  const bool is_unix = place.is_unix();
  const unsigned protocol = is_unix ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;  // "localhost" is a name like others
  mysql_optionsv(connection, MYSQL_OPT_PROTOCOL, &protocol);
  mysql_real_connect(connection, is_unix ? nullptr : place.host.c_str(), target.login.user.c_str(),
                     target.login.password.c_str(), nullptr, is_unix ? 0U : place.port,
                     is_unix ? place.unix_path.c_str() : nullptr, 0);
  return connection;
}

bool is_connected(MYSQL* connection) {
  return connection != nullptr && mysql_errno(connection) == 0;
}

// "" = it has none, or of another kind.
std::string number_of_peer(MYSQL* connection) {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  if (::getpeername(static_cast<int>(mysql_get_socket(connection)), reinterpret_cast<sockaddr*>(&peer), &length) != 0)
    return "";
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* const number = peer.ss_family == AF_INET6
                                 ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr)
                                 : &reinterpret_cast<const sockaddr_in&>(peer).sin_addr;
  return ::inet_ntop(peer.ss_family, number, text.data(), text.size()) == nullptr ? "" : text.data();
}

}  // namespace

std::string MysqlTarget::text() const {
  return std::string(router::name(side)) + ' ' + address.text();
}

std::string MysqlError::message() const {
  return where + ": " + (number == 0 ? "" : std::to_string(number) + ' ') + text;
}

bool MysqlRows::is_null(std::size_t row, std::size_t column) const {
  return row >= rows_.size() || column >= rows_[row].size() || !rows_[row][column];
}

std::string MysqlRows::text(std::size_t row, std::size_t column) const {
  return is_null(row, column) ? std::string() : *rows_[row][column];
}

std::string MysqlRows::text(std::size_t row, std::string_view column) const {
  for (std::size_t i = 0; i < columns_.size(); ++i)
    if (columns_[i] == column) return text(row, i);
  return {};
}

std::vector<std::string> MysqlRows::row(std::size_t row) const {
  std::vector<std::string> texts;
  for (std::size_t i = 0; row < rows_.size() && i < rows_[row].size(); ++i) texts.push_back(text(row, i));
  return texts;
}

std::int64_t MysqlRows::integer(std::size_t row, std::size_t column) const {
  const std::string digits = text(row, column);
  std::int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

void MysqlClient::Close::operator()(st_mysql* connection) const {
  mysql_close(connection);
}

// The library holds a certificate against what it was told to connect to. So where one is to be verified it is told the
// name, asks for its number itself, and must have come to one of those that are known to be this server's.
MysqlOutcome<MysqlClient> MysqlClient::connect(const MysqlTarget& target, std::uint32_t ms_max) {
  initialise_library();
  const bool is_named = !target.numeric.empty() && !conf::is_numeric(target.address);
  if (target.numeric.empty() || (is_named && verifies(target.tls))) {
    auto client = connect_to(target, target.address, ms_max);
    if (client && is_named && !client->is_at(target.numeric))
      return MysqlError{
          target.text(), 0,
          number_of_peer(client->connection_.get()) + ", where this machine's resolver sees it, is not in use", true};
    return client;
  }
  auto client = connect_to(target, target.numeric.front(), ms_max);
  for (std::size_t next = 1; !client && next < target.numeric.size(); ++next)
    client = connect_to(target, target.numeric[next], ms_max);
  return client;
}

bool MysqlClient::is_at(const std::vector<conf::Address>& places) const {
  const auto number = number_of_peer(connection_.get());
  return std::ranges::any_of(places, [&](const conf::Address& place) { return place.host == number; });
}

MysqlOutcome<MysqlClient> MysqlClient::connect_to(const MysqlTarget& target, const conf::Address& place,
                                                  std::uint32_t ms_max) {
  const auto mode = target.tls.mode;
  const bool is_plain = place.is_unix() || mode == conf::TlsMode::disable;
  MysqlClient client(target, open(target, place, ms_max, is_plain ? TlsTry::none : TlsTry::encrypted));
  const bool may_be_plain = mode == conf::TlsMode::prefer || mode == conf::TlsMode::allow;
  if (!is_plain && may_be_plain && client.connection_ &&
      mysql_errno(client.connection_.get()) == CR_SSL_CONNECTION_ERROR)
    client.connection_.reset(open(target, place, ms_max, TlsTry::none));
  if (!is_connected(client.connection_.get())) return client.error_now();
  client.number_ = mysql_thread_id(client.connection_.get());
  client.product_ = mysql_product(mysql_get_server_info(client.connection_.get()));
  return client;
}

MysqlError MysqlClient::error_now() const {
  MysqlError error;
  error.where = target_.text();
  if (connection_ == nullptr) {
    error.text = "the connection is gone";
    error.lost = true;
    return error;
  }
  error.number = mysql_errno(connection_.get());
  error.text = mysql_error(connection_.get());
  error.lost = error.number >= CR_MIN_ERROR && error.number <= CR_MYSQL_LAST_ERROR;
  return error;
}

MysqlOutcome<MysqlRows> MysqlClient::query(const std::string& sql) {
  if (connection_ == nullptr) return error_now();
  const std::string text = std::string(mysql_signature) + sql;
  if (mysql_real_query(connection_.get(), text.data(), text.size()) == 0) return rows();
  auto error = error_now();
  if (error.lost) connection_.reset();
  return error;
}

MysqlOutcome<MysqlRows> MysqlClient::rows() {
  MYSQL_RES* const result = mysql_store_result(connection_.get());
  if (result == nullptr) {
    if (mysql_errno(connection_.get()) == 0) return MysqlRows();
    auto error = error_now();
    if (error.lost) connection_.reset();
    return error;
  }
  std::vector<std::string> columns;
  const unsigned width = mysql_num_fields(result);
  const MYSQL_FIELD* const fields = mysql_fetch_fields(result);
  for (unsigned i = 0; i < width; ++i) columns.emplace_back(fields[i].name);
  std::vector<MysqlRows::Row> all;
  while (char** const row = mysql_fetch_row(result)) {
    const unsigned long* const lengths = mysql_fetch_lengths(result);
    auto& one = all.emplace_back();
    for (unsigned i = 0; i < width; ++i) {
      one.push_back(row[i] == nullptr ? std::nullopt : std::optional(std::string(row[i], lengths[i])));
    }
  }
  mysql_free_result(result);
  return MysqlRows(std::move(columns), std::move(all));
}

bool MysqlClient::is_alive() const {
  if (connection_ == nullptr) return false;
  // An idle server says nothing but its goodbye.
  pollfd look{static_cast<int>(mysql_get_socket(connection_.get())), POLLIN, 0};
  return poll(&look, 1, 0) == 0;
}

std::uint64_t mysql_number(std::string_view digits) {
  std::uint64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

std::string mysql_literal(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    out += c;
    if (c == '\'') out += c;
  }
  return out + '\'';
}

}  // namespace turnout::control
