// One connection to a side, of whichever protocol: its socket and TLS, the addresses it tries, its lease, what it could
// not send yet. What is said on it is for those who know the words: server_connection.h (PostgreSQL),
// mysql_connection.h.
//
// Belongs to one pool, on one worker. Always true: `session()` is set exactly while leased; nothing is forwarded to
// anybody else. Bytes take no virtual call beyond the event's own (Handler): what is virtual here happens at a login, a
// proof, a cleaning, a loss.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "protocol/bytes.h"
#include "proxy/canceller.h"
#include "proxy/deployment.h"
#include "proxy/event_loop.h"
#include "proxy/farewell.h"
#include "proxy/transport.h"

namespace turnout::proxy {

class Client;
class Pool;
class Worker;
struct LoginFailure;

class Connection : public Handler {
 public:
  enum class State {
    connecting,   // TCP
    asking_tls,   // PostgreSQL: SSLRequest sent, one byte awaited
    handshaking,  // TLS
    logging_in,
    warming,    // logged in, and its backend fills its caches before anybody waits for it
    proving,    // it is asked whether it may write
    cleaning,   // what a session may have left is being thrown away
    listening,  // its keeper's: see LineKeeper
    idle,
    leased,
    closed,
  };

  Connection(Pool& pool, std::uint64_t id) : pool_(&pool), id_(id) {}

  void open();  // failures are reported to the pool, never thrown

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] std::uint32_t backend_pid() const { return backend_pid_; }
  [[nodiscard]] Client* session() const { return session_; }
  [[nodiscard]] Pool& pool() const { return *pool_; }
  [[nodiscard]] std::uint64_t opened_ms() const { return opened_ms_; }
  [[nodiscard]] const conf::Address& address() const { return address_; }
  // Opening: gives this address up when its share of `ms_max` is over, and tries the next one.
  void hurry(std::uint64_t now_ms, std::uint32_t ms_max);
  [[nodiscard]] std::uint64_t idle_since_ms() const { return idle_since_ms_; }
  [[nodiscard]] const Welcome& reported() const { return reported_; }

  // ---- lease; called by the pool
  void lease_to(Client& session);
  void end_lease();
  void become_idle();
  virtual void prove() = 0;  // ask whether transactions may write; the pool hears of the answer
  virtual void clean() = 0;  // after a session that may have left something, locks above all; the pool hears of the end
  // A statement is under way that nobody will hear the answer of: what stops it. Nothing: there is none, or no way.
  [[nodiscard]] virtual std::optional<Abandoned> abandoned() const = 0;

  // ---- used by the session that holds the lease
  std::uint64_t last_session = 0;  // whose state it may carry when `suspect`
  bool is_retired = false;         // at an address that the side no longer has, or not to be trusted: closed when idle
  bool is_parked = false;          // its session goes on elsewhere, or comes back: proxy/lock_transfer.h
  bool suspect = false;            // may carry state that we did not see: cleaned before anybody else uses it
  bool reports_writable = false;   // it said, without being asked, that it may write
  std::uint32_t cancels_in_flight = 0;
  CancelTicket cancel_waiting;       // for what Turnout itself has sent to be done: see canceller.h
  std::uint64_t proven_version = 0;  // of the routing table it was proven writable for
  std::uint64_t proof_asked = 0;     // in the order in which its pool asked for proofs; 0 = never
  std::uint64_t opened_version = 0;  // of the routing table under which it began

  // Never ends the connection, for whoever sends is in the midst of something: where the server does not take it any
  // more, that is the connection's next event.
  void send(std::string_view bytes);
  [[nodiscard]] bool is_backed_up() const { return !output_.empty(); }
  void pause_reading(bool paused);

  // The end: says goodbye and hands over the socket, open while the server may still have a backend behind it. The pool
  // has already let go of it.
  [[nodiscard]] Transport take_leave();

  // ---- moving to another worker: only while idle
  void detach_from_loop();
  void attach_to_pool(Pool& pool);

 protected:
  virtual void begin() = 0;                          // the socket is connected: TLS, login
  virtual void tls_is_up() = 0;                      // the handshake is done: login
  virtual void forget_login() = 0;                   // the next address begins anew
  virtual void failed(const LoginFailure& failure);  // while opening, or a keeper's: the pool hears it
  virtual void put_goodbye(std::string& out) const = 0;

  void connect_next(std::string why);
  void go_on_opening();  // of the events before the login, but for those of State::asking_tls
  void begin_tls();      // the server has agreed to it
  void opened();         // logged in, and idle from now on
  // Of the events of a logged-in one: sends on what waits, `read`s, or notices the end.
  template <typename Read>
  void take_events(std::uint32_t events, Read read);
  // Reads all that is there and hands it to `take`, which returns how much of it was used up. false: the lease or the
  // connection is not what it was. In connection_path.h.
  template <typename Take>
  [[nodiscard]] bool read_all(bool is_ending, Take take);
  void fail(std::string sqlstate, std::string message, std::string raw_error = {});
  void lost(const std::string& why, std::string raw_error = {});
  void flush();
  void listen_to(std::uint32_t events);
  void continue_handshake();
  [[nodiscard]] bool is_opening() const { return state_ < State::proving; }
  [[nodiscard]] bool is_logged_in() const { return !is_opening() && state_ != State::closed; }
  [[nodiscard]] Worker& worker() const;

  Pool* pool_;
  const std::uint64_t id_;
  State state_ = State::connecting;
  Transport transport_;
  Client* session_ = nullptr;
  std::string input_;   // an incomplete message
  std::string output_;  // what the socket would not take
  std::uint32_t events_ = 0;
  bool reading_paused_ = false;
  std::uint32_t backend_pid_ = 0;
  Welcome reported_;
  std::uint64_t opened_ms_ = 0;
  conf::Address address_;
  AddressesPtr to_try_;  // while opening
  std::size_t first_ = 0, tried_ = 0;
  std::uint64_t tries_since_ms_ = 0;
  std::uint64_t idle_since_ms_ = 0;
};

template <typename Read>
void Connection::take_events(std::uint32_t events, Read read) {
  if ((events & EPOLLOUT) != 0 && !output_.empty()) flush();
  if (state_ == State::closed) return;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !reading_paused_) {
    read((events & EPOLLRDHUP) != 0);
  } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    lost("the server ended the connection");
  }
}

}  // namespace turnout::proxy
