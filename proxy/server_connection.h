// One connection to a PostgreSQL server: logged in, asked whether it may write, cleaned; what a session set up on it.
//
// Always true: bytes that arrive while idle are asynchronous messages, or the connection is closed: an error or an end
// on an idle connection is noticed at once, not at next use. The exchange (protocol/pg/exchange.h) is the only judge of
// what is owed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "protocol/pg/exchange.h"
#include "protocol/pg/login.h"
#include "proxy/connection.h"
#include "proxy/parameters.h"
#include "proxy/type_lens.h"

namespace turnout::proxy {

class ServerConnection;

// Who keeps a connection that no pool lends: it stays with its keeper and listens (proxy/channel_hub.h).
class LineKeeper {
 public:
  LineKeeper() = default;
  LineKeeper(const LineKeeper&) = delete;
  LineKeeper& operator=(const LineKeeper&) = delete;
  virtual ~LineKeeper() = default;
  virtual void line_opened(ServerConnection& line) = 0;
  virtual void line_failed(ServerConnection& line, const LoginFailure& failure) = 0;  // at login or later: it is over
  virtual void line_answered(ServerConnection& line) = 0;                             // the oldest query is done
  virtual void line_notified(ServerConnection& line, protocol::pg::Bytes body) = 0;
  virtual void line_read() = 0;  // all that was there
  // One that reads what the server says by itself, in pieces cut anywhere: how much of it was used up.
  [[nodiscard]] virtual bool reads_itself() const { return false; }
  [[nodiscard]] virtual std::size_t line_bytes(ServerConnection& /*line*/, protocol::pg::Bytes data) {
    return data.size();
  }
};

class ServerConnection final : public Connection {
 public:
  // With a keeper it is none of the pool's: opened as the pool's are, then the keeper's alone.
  ServerConnection(Pool& pool, std::uint64_t id, LineKeeper* keeper = nullptr);
  ~ServerConnection() override;

  void on_events(std::uint32_t events) override;

  [[nodiscard]] const std::string& cancel_key() const { return cancel_key_; }

  void prove() override;  // SHOW transaction_read_only
  void clean() override;  // DISCARD ALL
  [[nodiscard]] std::optional<Abandoned> abandoned() const override;

  // ---- used by the session that holds the lease
  protocol::pg::Exchange exchange;
  Parameters parameters;            // what we, or the session, set on it since login
  void forget_state();              // parameters, statements, what is suspect: DISCARD ALL is being sent
  std::uint32_t announced = 0;      // session whose notifications this backend's are, as the hubs were told; 0 = none
  std::uint64_t unnamed_owner = 0;  // whose unnamed statement it has, and which one (Session::unnamed_mark)
  std::uint64_t body_left = 0;      // of a message to the client that is being streamed
  bool forward_body = false;
  std::unique_ptr<TypeLens> lens;  // only while its side has other numbers for types than clients know
  void look_through(const protocol::pg::TypeMapPtr& map);

  // Which statements are prepared on it. has() also notes the use; make_room() returns one to close, or 0.
  [[nodiscard]] bool has_statement(std::uint32_t number);
  void add_statement(std::uint32_t number) { statements_[number] = ++statement_clock_; }
  void drop_statement(std::uint32_t number) {
    statements_.erase(number);
    if (lens) lens->forget(number);
  }
  void drop_all_statements();
  [[nodiscard]] std::uint32_t statement_to_close(std::uint32_t keep_max) const;
  [[nodiscard]] std::uint32_t statement_generation() const { return statement_generation_; }

  void parameter_reported(std::string_view name, std::string_view value);

 private:
  void begin() override;
  void tls_is_up() override;
  void forget_login() override;
  void failed(const LoginFailure& failure) override;
  void put_goodbye(std::string& out) const override;
  void begin_login();
  void ask_classic(std::string why);
  [[nodiscard]] std::atomic<bool>& is_classic() const;
  void on_tls_answer();
  void on_readable(bool is_ending);
  std::size_t on_login_bytes(protocol::pg::Bytes data);
  std::size_t on_idle_bytes(protocol::pg::Bytes data);
  void on_login_message(char type, protocol::pg::Bytes body);
  void warm_up();
  void ready_for_work();

  LineKeeper* const keeper_;
  std::unique_ptr<protocol::pg::ServerLogin> login_;
  bool proof_says_writable_ = false;
  std::string cancel_key_;
  std::unordered_map<std::uint32_t, std::uint64_t> statements_;  // number → last use
  std::uint64_t statement_clock_ = 0;
  std::uint32_t statement_generation_ = 0;
};

// Of a pool of a PostgreSQL deployment.
[[nodiscard]] inline ServerConnection& of_postgres(Connection& connection) {
  return static_cast<ServerConnection&>(connection);
}

}  // namespace turnout::proxy
