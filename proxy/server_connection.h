// One connection to a side: opened, logged in, lent to a session, given back. Belongs to one pool, on one worker.
//
// Always true: `session()` is set exactly while leased; nothing is forwarded to anybody else. Bytes that arrive while
// idle are asynchronous messages, or the connection is closed: an error or an end on an idle connection is noticed at
// once, not at next use. The exchange (protocol/pg/exchange.h) is the only judge of what is owed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "protocol/pg/exchange.h"
#include "protocol/pg/login.h"
#include "proxy/canceller.h"
#include "proxy/deployment.h"
#include "proxy/event_loop.h"
#include "proxy/parameters.h"
#include "proxy/transport.h"
#include "proxy/type_lens.h"

namespace turnout::proxy {

class Pool;
class ServerConnection;
class Session;
class Worker;
struct LoginFailure;

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
};

class ServerConnection final : public Handler {
 public:
  enum class State {
    connecting,   // TCP
    asking_tls,   // SSLRequest sent, one byte awaited
    handshaking,  // TLS
    logging_in,
    proving,    // SHOW transaction_read_only is on its way
    cleaning,   // DISCARD ALL is on its way
    listening,  // its keeper's: see LineKeeper
    idle,
    leased,
    closed,
  };

  // With a keeper it is none of the pool's: opened as the pool's are, then the keeper's alone.
  ServerConnection(Pool& pool, std::uint64_t id, LineKeeper* keeper = nullptr);
  ~ServerConnection() override;

  void open();  // failures are reported to the pool, never thrown
  void on_events(std::uint32_t events) override;

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] std::uint32_t backend_pid() const { return backend_pid_; }
  [[nodiscard]] const std::string& cancel_key() const { return cancel_key_; }
  [[nodiscard]] Session* session() const { return session_; }
  [[nodiscard]] Pool& pool() const { return *pool_; }
  [[nodiscard]] std::uint64_t opened_ms() const { return opened_ms_; }
  [[nodiscard]] const conf::Address& address() const { return address_; }
  // Opening: gives this address up when its share of `ms_max` is over, and tries the next one.
  void hurry(std::uint64_t now_ms, std::uint32_t ms_max);
  [[nodiscard]] std::uint64_t idle_since_ms() const { return idle_since_ms_; }
  [[nodiscard]] const Welcome& reported() const { return reported_; }

  // ---- lease; called by the pool
  void lease_to(Session& session);
  void end_lease();
  void become_idle();
  void prove();  // ask whether transactions may write; the pool hears of the answer
  void clean();  // DISCARD ALL after a session that may have left something, locks above all; the pool hears of the end

  // ---- used by the session that holds the lease
  protocol::pg::Exchange exchange;
  Parameters parameters;            // what we, or the session, set on it since login
  std::uint64_t last_session = 0;   // whose state it may carry when `suspect`
  bool is_retired = false;          // at an address that the side no longer has, or not to be trusted: closed when idle
  bool is_parked = false;           // its session goes on elsewhere, or comes back: proxy/lock_transfer.h
  bool suspect = false;             // may carry state that we did not see: DISCARD ALL before anybody else uses it
  void forget_state();              // of the four above and the statements: DISCARD ALL is being sent
  std::uint32_t announced = 0;      // session whose notifications this backend's are, as the hubs were told; 0 = none
  std::uint64_t unnamed_owner = 0;  // whose unnamed statement it has, and which one (Session::unnamed_mark)
  std::uint64_t body_left = 0;      // of a message to the client that is being streamed
  bool forward_body = false;
  std::unique_ptr<TypeLens> lens;  // only while its side has other numbers for types than clients know
  void look_through(const protocol::pg::TypeMapPtr& map);
  std::uint32_t cancels_in_flight = 0;
  CancelTicket cancel_waiting;       // for what Turnout itself has sent to be done: see canceller.h
  std::uint64_t proven_version = 0;  // of the routing table it was proven writable for
  std::uint64_t opened_version = 0;  // of the routing table under which it began
  bool reports_writable = false;     // default_transaction_read_only was reported off at the last report

  void send(std::string_view bytes);
  [[nodiscard]] bool is_backed_up() const { return !output_.empty(); }
  void pause_reading(bool paused);

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
  // The end: says goodbye and hands over the socket, open while the server may still have a backend behind it. The pool
  // has already let go of it.
  [[nodiscard]] Transport take_leave();

  // ---- moving to another worker: only while idle
  void detach_from_loop();
  void attach_to_pool(Pool& pool);

 private:
  void connect_next(std::string why);
  void begin_login();
  void ask_classic(std::string why);
  [[nodiscard]] std::atomic<bool>& is_classic() const;
  void on_connected();
  void on_tls_answer();
  void on_readable(bool is_ending);
  [[nodiscard]] bool is_logged_in() const;
  void continue_handshake();
  std::size_t on_login_bytes(protocol::pg::Bytes data);
  std::size_t on_idle_bytes(protocol::pg::Bytes data);
  void on_login_message(char type, protocol::pg::Bytes body);
  void fail(std::string sqlstate, std::string message, std::string raw_error = {});
  void lost(const std::string& why, std::string raw_error = {});
  void flush();
  void listen_to(std::uint32_t events);
  [[nodiscard]] Worker& worker() const;

  Pool* pool_;
  LineKeeper* const keeper_;
  const std::uint64_t id_;
  State state_ = State::connecting;
  Transport transport_;
  Session* session_ = nullptr;
  std::unique_ptr<protocol::pg::ServerLogin> login_;
  std::string input_;   // an incomplete message
  std::string output_;  // what the socket would not take
  std::uint32_t events_ = 0;
  bool reading_paused_ = false;
  bool proof_says_writable_ = false;
  std::uint32_t backend_pid_ = 0;
  std::string cancel_key_;
  Welcome reported_;
  std::unordered_map<std::uint32_t, std::uint64_t> statements_;  // number → last use
  std::uint64_t statement_clock_ = 0;
  std::uint32_t statement_generation_ = 0;
  std::uint64_t opened_ms_ = 0;
  conf::Address address_;
  AddressesPtr to_try_;  // while opening
  std::size_t first_ = 0, tried_ = 0;
  std::uint64_t tries_since_ms_ = 0;
  std::uint64_t idle_since_ms_ = 0;
};

}  // namespace turnout::proxy
