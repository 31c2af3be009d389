// One connection to a MySQL or MariaDB server: logged in, told to tell what changes in its session, asked whether it
// may write, cleaned; what a session set up on it.
//
// Always true: bytes that arrive while idle are its last words, or the connection is closed. The exchange
// (protocol/mysql/exchange.h) is the only judge of what is owed. Whatever has been reset on it (a new connection,
// COM_RESET_CONNECTION) is told again to track before anything else runs: without that, what a session sets would be
// unseen, and the next session's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "protocol/mysql/exchange.h"
#include "protocol/mysql/login.h"
#include "protocol/mysql/translation.h"
#include "proxy/connection.h"
#include "proxy/mysql/variables.h"
#include "proxy/statement.h"

namespace turnout::proxy::mysql {

class Session;

// What tells accounts of one database and user apart: the capabilities of the dialect, and the collation that the
// server derives the first character sets from.
[[nodiscard]] inline std::uint64_t dialect_of(protocol::mysql::Capabilities agreed, std::uint8_t collation) {
  return protocol::mysql::dialect(agreed) | std::uint64_t{collation} << 56U;
}
[[nodiscard]] inline protocol::mysql::Capabilities capabilities_of(std::uint64_t dialect) {
  return protocol::mysql::dialect(dialect);
}
[[nodiscard]] inline std::uint8_t collation_of(std::uint64_t dialect) {
  return static_cast<std::uint8_t>(dialect >> 56U);
}

// A login that was brought to its end elsewhere (server_dial.h).
struct FinishedLogin {
  Transport transport;
  conf::Address address;
  std::unique_ptr<protocol::mysql::ServerLogin> login;
};

// Who keeps a connection that no pool lends.
class LineKeeper {
 public:
  LineKeeper() = default;
  LineKeeper(const LineKeeper&) = delete;
  LineKeeper& operator=(const LineKeeper&) = delete;
  virtual ~LineKeeper() = default;
  virtual void line_opened() = 0;
  virtual void line_failed() = 0;  // at login or later: it is over
  // What the server says, in pieces cut anywhere: how much of it was used up.
  [[nodiscard]] virtual std::size_t line_bytes(protocol::mysql::Bytes data) = 0;
};

class ServerConnection final : public Connection {
 public:
  // With a keeper it is none of the pool's: opened as the pool's are, then the keeper's alone.
  ServerConnection(Pool& pool, std::uint64_t id, LineKeeper* keeper = nullptr);
  ~ServerConnection() override;

  void on_events(std::uint32_t events) override;
  void go_on(FinishedLogin login);  // in place of open()

  void prove() override;  // SELECT @@global.read_only
  void clean() override;  // COM_RESET_CONNECTION
  [[nodiscard]] std::optional<Abandoned> abandoned() const override { return std::nullopt; }

  // ---- used by the session that holds the lease
  protocol::mysql::Exchange exchange;
  std::string database;                              // the default one; empty: none, which it can not go back to
  Variables variables;                               // what a session set on it since it began, or was reset
  const Variables& start() const { return start_; }  // what the login made of the server's defaults
  // What clients are told of changes to their session until they ask for something else: by the server's own settings.
  const protocol::mysql::WantedChanges& told() const { return told_; }
  std::uint64_t body_left = 0;  // of a packet to the client that is being streamed
  bool forward_body = false;
  bool is_broken = false;     // there is no relying on what the server says: nothing more is waited for on it
  bool has_warnings = false;  // or may have: of a statement of a session, until it is cleaned of them
  // Of a statement that waited for locks (StateWords::waits): the server has not told yet that it has set them back.
  bool owes_lock_waits = false;
  bool has_xa = false;       // an XA transaction has begun on it, and is not over there
  bool ends_packet = false;  // the packet that is being streamed went on as it is: Translation::passed() is due

  // A command of ours: appended, and announced to the exchange.
  void put_own(std::string& out, protocol::mysql::Command command, std::string_view argument, std::uint32_t ticket = 0);
  void put_reset(std::string& out);  // COM_RESET_CONNECTION and what has to follow it
  // Behind a COM_RESET_CONNECTION of the client's. MariaDB's session is as its login made it; MySQL's has the server's
  // character sets: it is told to tell them, in an OK with this ticket.
  void put_after_reset(std::string& out, std::uint32_t ticket);
  // Behind a SET session_track_… of the client's: asks what it wants to hear, in a row for take_wanted(), and tracks
  // on.
  void put_tracking_again(std::string& out, std::uint32_t ticket);
  // `which`: bits of Tracking; the others are as Turnout has set them.
  void take_wanted(protocol::mysql::Bytes row, std::uint8_t which, protocol::mysql::WantedChanges& wanted) const;
  void forget_state();  // of what was reset

  // Its session has ended in the midst of an answer, which nobody is interested in any more.
  void leave_behind() { is_left_behind_ = true; }
  [[nodiscard]] bool is_abandoned() const { return is_left_behind_ && !exchange.is_idle(); }

  // Which texts are prepared on it, by what they were prepared under (Session::key_of).
  struct Known {
    std::uint32_t number = 0;  // the server's
    std::uint64_t last_use = 0;
    std::string types = {};  // of its parameters, as the server heard them last; "" = it has not
  };
  [[nodiscard]] Known* find_statement(std::string_view key);  // notes the use
  void add_statement(std::string_view key, std::uint32_t number);
  // The client prepares it anew: the server's former statement of that text would stay there for ever.
  void replace_statement(std::string& out, std::string_view key);
  // Closes the least recently used ones until there is room for one more.
  void make_room(std::string& out, std::uint32_t keep_max);

 private:
  using Statements = std::unordered_map<std::string, Known, TextHash, std::equal_to<>>;
  void put_tracking(std::string& out);
  void put_start(std::string& out);  // what the login made of the server's defaults
  void close_statement(std::string& out, Statements::iterator known);
  void begin() override;
  void tls_is_up() override;
  void forget_login() override { login_.reset(); }
  void failed(const LoginFailure& failure) override;
  void put_goodbye(std::string& out) const override;
  void on_readable(bool is_ending);
  std::size_t on_own_bytes(protocol::mysql::Bytes data);
  std::size_t skip_abandoned(protocol::mysql::Bytes rest);  // 0: a packet is not all here
  void go_on_alone(protocol::mysql::Bytes rest);
  void on_login_packet(std::uint8_t number, protocol::mysql::Bytes payload);
  void on_login_step(const protocol::mysql::LoginStep& step);
  [[nodiscard]] bool is_writers() const;
  void logged_in();
  void on_own_packet(const protocol::mysql::Header& header, protocol::mysql::Bytes payload);
  void take_row(protocol::mysql::Bytes payload);
  void answered();

  LineKeeper* const keeper_;
  std::unique_ptr<protocol::mysql::ServerLogin> login_;
  Variables start_;
  protocol::mysql::WantedChanges told_;
  bool knows_told_ = false;
  bool proof_says_writable_ = false;
  bool is_left_behind_ = false;  // until it is cleaned
  Statements statements_;
  std::uint64_t statement_clock_ = 0;
};

// What a session of that user, database and dialect is opened with; the secret is missing.
[[nodiscard]] protocol::mysql::ServerLogin::Input login_input(const std::string& user, const std::string& database,
                                                              std::uint64_t dialect);
// Which ways a password may go to that address.
void set_way(protocol::mysql::ServerLogin::Input& input, const Settings& settings, const conf::Address& address);
// Why a login failed; `payload`: the packet that did it.
[[nodiscard]] LoginFailure login_failure(const protocol::mysql::LoginStep& step, protocol::mysql::Bytes payload);

// How that pool logs in to its side at this address.
[[nodiscard]] protocol::mysql::ServerLogin::Input login_input(const Pool& pool, const conf::Address& address);

// Of a pool of a MySQL deployment.
[[nodiscard]] inline ServerConnection& of_mysql(Connection& connection) {
  return static_cast<ServerConnection&>(connection);
}

}  // namespace turnout::proxy::mysql
