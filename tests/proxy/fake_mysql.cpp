#include "tests/proxy/fake_mysql.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <utility>

#include "protocol/mysql/command.h"
#include "protocol/mysql/login.h"
#include "protocol/mysql/reply.h"
#include "protocol/mysql/result.h"
#include "protocol/mysql/session_changes.h"

namespace turnout::proxy {

namespace my = protocol::mysql;

namespace {

constexpr my::Capabilities offered = my::always | my::capability::found_rows | my::capability::connect_with_db |
                                     my::capability::multi_statements | my::capability::multi_results |
                                     my::capability::connect_attributes | my::capability::session_track |
                                     my::capability::deprecate_eof;

bool read_exactly(int fd, std::string& into, std::size_t bytes) {
  into.resize(bytes);
  std::size_t have = 0;
  while (have < bytes) {
    const ssize_t got = ::recv(fd, into.data() + have, bytes - have, 0);
    if (got <= 0) return false;
    have += static_cast<std::size_t>(got);
  }
  return true;
}

bool write_all(int fd, const std::string& data) {
  return ::send(fd, data.data(), data.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(data.size());
}

bool read_packet(int fd, std::uint8_t& number, std::string& payload) {
  std::string bytes;
  my::Header header;
  if (!read_exactly(fd, bytes, my::header_bytes) || !my::read_header(my::bytes_of(bytes), header)) return false;
  number = header.number;
  return read_exactly(fd, payload, header.payload);
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  where.sin_port = htons(port);
  return where;
}

// What the server's side of one connection says.
class Answers {
 public:
  Answers(my::Capabilities capabilities, std::string name, bool is_read_only)
      : capabilities_(capabilities), name_(std::move(name)), is_read_only_(is_read_only) {}

  std::string ok(const std::string& changes = {}) {
    my::Ok ok;
    ok.status = status_;
    if (!changes.empty()) ok.status |= my::status::session_state_changed;
    ok.changes = changes;
    return message(1, ok);
  }

  std::string to_query(std::string_view sql, bool is_read_only) {
    is_read_only_ = is_read_only;
    if (sql.starts_with("BEGIN")) status_ |= my::status::in_transaction;
    if (sql.starts_with("COMMIT"))
      status_ = static_cast<std::uint16_t>(status_ & ~unsigned{my::status::in_transaction});
    if (sql.starts_with("SELECT @@character_set_client"))
      return rows({"utf8mb4", "utf8mb4", "utf8mb4", "utf8mb4_general_ci", ""});
    if (sql.starts_with("SELECT @@session_track_schema")) return rows({"1", tracked_, "0", "OFF"});
    constexpr std::string_view tracking = "SET session_track_system_variables = '";
    if (sql.starts_with(tracking)) tracked_ = sql.substr(tracking.size(), sql.size() - tracking.size() - 1);
    if (sql.starts_with("SET session_track_schema = ON")) tracked_ = "*";
    if (sql.starts_with("SELECT @@global.read_only")) return rows({is_read_only_ ? "1" : "0"});
    if (sql.starts_with("SELECT SLEEP")) return error(1317, "70100", "Query execution was interrupted");
    if (sql.starts_with("SIGNAL")) return error(1094, "HY000", "as it was told");
    if (sql.starts_with("SELECT nonsense")) return error(1054, "42S22", "Unknown column 'nonsense'");
    if (sql.starts_with("SELECT @@time_zone")) return rows({zone_});
    if (sql.starts_with("SELECT") || sql.starts_with("SHOW")) return rows({name_});
    if (!sql.starts_with("SET time_zone = ")) return ok();
    zone_ = sql.substr(16);
    if (zone_ == "DEFAULT") zone_ = "SYSTEM";
    std::erase(zone_, '\'');
    std::string changes;
    if (tracked_ != "*" && tracked_ != "time_zone") return ok();
    my::put_session_change(changes, {my::SessionChange::Kind::system_variable, "time_zone", zone_});
    my::put_session_change(changes, {my::SessionChange::Kind::state, {}, "1"});
    return ok(changes);
  }

  void reset() {
    zone_ = "SYSTEM";
    tracked_ = "time_zone";
    status_ = my::status::autocommit;
  }

 private:
  std::string message(std::uint8_t number, const my::Ok& ok) {
    std::string payload, out;
    my::put_ok(payload, ok, capabilities_);
    my::put_message(out, number, payload);
    return out;
  }

  std::string error(std::uint16_t number, std::string_view sqlstate, std::string_view text) {
    std::string payload, out;
    my::put_error(payload, {number, sqlstate, text});
    my::put_message(out, 1, payload);
    return out;
  }

  std::string rows(const std::vector<std::string>& values) {
    std::string payload, out;
    my::put_column_count(payload, values.size(), capabilities_);
    std::uint8_t number = my::put_message(out, 1, payload);
    std::vector<my::Field> fields;
    for (const std::string& value : values) {
      my::Column column;
      column.name = "x";
      payload.clear();
      my::put_column(payload, column, capabilities_);
      number = my::put_message(out, number, payload);
      fields.emplace_back(value);
    }
    payload.clear();
    my::put_text_row(payload, fields);
    number = my::put_message(out, number, payload);
    my::Ok end;
    end.ends_rows = true;
    end.status = status_;
    return out + message(number, end);
  }

  const my::Capabilities capabilities_;
  const std::string name_;
  bool is_read_only_;
  std::string zone_ = "SYSTEM", tracked_ = "time_zone";
  std::uint16_t status_ = my::status::autocommit;
};

}  // namespace

// ---- the server ----------------------------------------------------------------------------------------------------

FakeMysql::FakeMysql(std::string name) : name_(std::move(name)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where = loopback(0);
  socklen_t length = sizeof where;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&where), length) != 0 || ::listen(listener_, 512) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&where), &length) != 0)
    throw std::runtime_error("no loopback port for the fake server");
  port_ = ntohs(where.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

FakeMysql::~FakeMysql() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
    kills_.notify_all();
    for (const int fd : fds_) ::shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
  for (const int fd : fds_) ::close(fd);
  ::close(listener_);
}

std::vector<std::string> FakeMysql::texts() const {
  const std::lock_guard lock(mutex_);
  return texts_;
}

void FakeMysql::accept_loop() {
  while (true) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const auto number = static_cast<std::uint32_t>(++connections_);
    const std::lock_guard lock(mutex_);
    fds_.push_back(fd);
    threads_.emplace_back([this, fd, number] { serve(fd, number); });
  }
}

void FakeMysql::sleep_until_killed(std::uint32_t number) {
  std::unique_lock lock(mutex_);
  killed_.erase(number);  // one that comes before the statement does nothing
  kills_.wait(lock, [&] { return is_over_ || killed_.contains(number); });
}

void FakeMysql::serve(int fd, std::uint32_t connection) {
  my::ClientLogin::Input input;
  input.server_version = "5.5.5-10.11.0-MariaDB";
  input.connection_id = connection;
  input.offered = offered;
  input.plugin = my::native_plugin;
  input.collation = fake_mysql_collation;
  input.nonce.fill('n');
  input.switch_nonce.fill('s');
  my::ClientLogin login(std::move(input));
  my::LoginStep step = login.start();
  std::uint8_t number = 0;
  std::string payload;
  while (step.status != my::LoginStep::Status::done) {
    if (step.status == my::LoginStep::Status::user) {
      step = login.answer_for(my::Secret{my::Secret::Kind::plain, fake_mysql_password});
      continue;
    }
    if (!write_all(fd, step.send) || step.status == my::LoginStep::Status::failed ||
        !read_packet(fd, number, payload)) {
      ::shutdown(fd, SHUT_RDWR);
      return;
    }
    step = login.on_message(number, my::bytes_of(payload));
  }
  std::string welcome;
  my::Ok ok;
  ok.status = my::status::autocommit;
  payload.clear();
  my::put_ok(payload, ok, login.agreed());
  my::put_message(welcome, login.next_number(), payload);
  bool goes_on = write_all(fd, step.send + welcome);
  const std::uint64_t open = ++open_;
  for (std::uint64_t most = most_at_once_; most < open && !most_at_once_.compare_exchange_weak(most, open);) {
  }
  Answers answers(login.agreed(), name_, is_read_only);
  while (goes_on && read_packet(fd, number, payload) && !payload.empty()) {
    const auto command = my::command_of(static_cast<std::uint8_t>(payload[0]));
    if (!command || *command == my::Command::quit) break;
    if (*command == my::Command::query) {
      const auto query = my::parse_query(my::bytes_of(payload), login.agreed());
      if (!query) break;
      {
        const std::lock_guard lock(mutex_);
        texts_.emplace_back(query->sql);
        if (query->sql.starts_with("KILL QUERY ")) {
          killed_.insert(static_cast<std::uint32_t>(std::stoul(std::string(query->sql.substr(11)))));
          kills_.notify_all();
        } else if (query->sql.starts_with("KILL ")) {
          ended_.insert(static_cast<std::uint32_t>(std::stoul(std::string(query->sql.substr(5)))));
        }
        if (ended_.contains(connection)) break;
      }
      if (query->sql.starts_with("SELECT SLEEP")) sleep_until_killed(connection);
      std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms.load()));
      goes_on = write_all(fd, answers.to_query(query->sql, is_read_only));
      continue;
    }
    if (*command == my::Command::reset_connection) answers.reset();
    if (my::answer_form(*command) != my::AnswerForm::none) goes_on = write_all(fd, answers.ok());
  }
  --open_;
  ::shutdown(fd, SHUT_RDWR);
}

// ---- the client ----------------------------------------------------------------------------------------------------

FakeMysqlClient::FakeMysqlClient(std::uint16_t port, const std::string& user, const std::string& password) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in where = loopback(port);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) return;
  my::ServerLogin::Input input;
  input.user = user;
  input.secret = {my::Secret::Kind::plain, password};
  input.tls = my::ServerLogin::Tls::never;
  my::ServerLogin login(std::move(input));
  std::uint8_t number = 0;
  std::string payload;
  while (read_packet(fd_, number, payload)) {
    const my::LoginStep step = login.on_message(number, my::bytes_of(payload));
    if (!step.send.empty() && !write_all(fd_, step.send)) return;
    logged_in_ = step.status == my::LoginStep::Status::done;
    if (step.status == my::LoginStep::Status::failed) login_error_ = step.error_number;
    if (step.status != my::LoginStep::Status::more) break;
  }
  capabilities_ = login.capabilities();
  number_ = login.connection_id();
  collation_ = login.collation();
}

FakeMysqlClient::~FakeMysqlClient() {
  ::close(fd_);
}

void FakeMysqlClient::send(const std::string& bytes) {
  static_cast<void>(write_all(fd_, bytes));
}

FakeMysqlClient::Reply FakeMysqlClient::query(const std::string& sql) {
  std::string payload, message;
  my::put_query(payload, sql, capabilities_);
  my::put_message(message, 0, payload);
  send(message);
  return read_reply();
}

FakeMysqlClient::Reply FakeMysqlClient::ping() {
  std::string payload, message;
  my::put_command(payload, my::Command::ping);
  my::put_message(message, 0, payload);
  send(message);
  return read_reply();
}

FakeMysqlClient::Reply FakeMysqlClient::set_option() {
  std::string payload, message;
  my::put_command(payload, my::Command::set_option, std::string_view("\0\0", 2));
  my::put_message(message, 0, payload);
  send(message);
  return read_reply();
}

FakeMysqlClient::Reply FakeMysqlClient::change_user(const std::string& user, const std::string& password) {
  my::ChangeUser change;
  change.user = user;
  change.plugin = my::native_plugin;
  std::string payload, message;
  my::put_change_user(payload, change, capabilities_);
  my::put_message(message, 0, payload);
  send(message);
  std::uint8_t number = 0;
  Reply closed;
  closed.closed = true;
  if (!read_packet(fd_, number, payload)) return closed;
  if (!payload.empty() && static_cast<std::uint8_t>(payload[0]) == my::error_byte) {
    Reply refused;
    refused.error = my::parse_error(my::bytes_of(payload)).number;
    return refused;
  }
  const auto wanted = my::parse_auth_switch(my::bytes_of(payload));
  if (!wanted) return closed;
  message.clear();
  const my::Sha1 answer = my::native_scramble(my::sha1(password), wanted->data.substr(0, my::nonce_bytes));
  my::put_message(message, static_cast<std::uint8_t>(number + 1), my::view_of(answer));
  send(message);
  expected_ = static_cast<std::uint8_t>(number + 2);
  return read_reply();
}

// One OK, an error, or one result of rows. Numbers must grow by one: what does not is taken for a lost connection.
FakeMysqlClient::Reply FakeMysqlClient::read_reply() {
  Reply reply;
  std::string payload;
  std::uint8_t number = 0, expected = std::exchange(expected_, std::uint8_t{1});
  std::uint64_t columns = 0;
  bool has_columns = false;
  while (read_packet(fd_, number, payload) && !payload.empty() && number == expected++) {
    const auto first = static_cast<std::uint8_t>(payload[0]);
    if (first == my::error_byte) {
      reply.error = my::parse_error(my::bytes_of(payload)).number;
      return reply;
    }
    const bool is_end = has_columns ? columns == 0 && first == my::end_byte : first == my::ok_byte;
    if (is_end) {
      const auto ok = my::parse_ok(my::bytes_of(payload), capabilities_);
      if (!ok) break;
      reply.status = ok->status;
      return reply;
    }
    if (!has_columns) {
      has_columns = true;
      columns = my::Reader(my::bytes_of(payload)).length().value_or(0);
    } else if (columns != 0) {
      --columns;
    } else if (const auto field = my::Reader(my::bytes_of(payload)).counted()) {
      reply.row = *field;
    }
  }
  reply.closed = true;
  return reply;
}

}  // namespace turnout::proxy
