// One client after its login, of whichever protocol: its socket, its place among those who wait or are held, the
// beginning and the end of its lease. What its bytes mean is for those who know the words: session.h (PostgreSQL) and
// mysql/session.h.
//
// Always true:
//  - work is sent to a server only under a lease; a waiting or held client has sent nothing of its unit, which is in
//    `input_`, in order;
//  - bytes take no virtual call beyond the event's own (Handler): the sessions are final, so what they call of
//    themselves is called directly, and what is virtual here happens when somebody has waited, at a new table, at an
//    end.
// A shard has clients of one protocol only (Deployment): who needs the words may cast.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/event_loop.h"
#include "proxy/pins.h"
#include "proxy/pool.h"
#include "proxy/proxy.h"
#include "proxy/read_meter.h"
#include "proxy/shard.h"
#include "proxy/transport.h"
#include "router/route.h"

namespace turnout::proxy {

class Client : public Handler {
 public:
  enum class State { idle, waiting, held, active, ended };

  Client(Shard& shard, Account& account, Transport transport, std::string address, std::uint32_t number);

  void begin();  // registers with the loop; bytes that came with the login are none by protocol

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] std::uint32_t number() const { return number_; }
  [[nodiscard]] std::uint64_t waiting_since_us() const { return since_us_; }
  [[nodiscard]] std::uint16_t hash() const { return hash_; }
  [[nodiscard]] Account& account() const { return account_; }
  [[nodiscard]] std::uint32_t take_reads() { return std::exchange(reads_lately_, 0); }
  [[nodiscard]] virtual ClientInfo info() const = 0;
  virtual void add_prepared_texts(std::set<Proxy::PreparedText>&) const {}

  // ---- from the pool
  virtual void served(Connection& connection) = 0;
  virtual void wait_failed(const LoginFailure& failure) = 0;
  virtual void read_elsewhere() = 0;  // no connection to read on can be had: the writer answers, or the hold keeps it

  // ---- from the server connection it holds
  virtual void server_took_everything() = 0;
  virtual void server_lost(Connection& connection, const std::string& why) = 0;

  // ---- from the shard
  virtual void types_changed() {}
  virtual void table_changed() = 0;  // ends a lease that the new table does not want, where that can be done unseen
  void reconsider();                 // held or waiting: decide again
  void check_deadlines(std::uint64_t now_ms);
  void end_at_safe_point();  // the proxy stops
  void end(const char* reason, std::string_view sqlstate = {}, std::string_view message = {});

 protected:
  // ---- what the protocols know
  virtual void run_input() = 0;  // processes input_ as far as it goes
  virtual void client_took_everything() = 0;
  [[nodiscard]] virtual bool in_transaction() const = 0;  // as the client was told
  [[nodiscard]] virtual bool is_quiet() const = 0;        // nothing is owed to it, and it has asked for nothing
  virtual void put_fatal(std::string& out, const char* reason, std::string_view sqlstate,
                         std::string_view message) const = 0;
  virtual void leave_server() = 0;  // at its end: gives back or closes what it has of servers
  virtual void left() = 0;          // behind that: what others know of it
  // The end of the session, not of its client: whoever gets the socket goes on with it, and counts as the same client.
  [[nodiscard]] Transport hand_over();
  void leave();  // everything that it has, or waits for

  // ---- the client's socket
  // Reads what is there and hands it to `process`, which returns how much it used up; the rest is kept.
  template <typename Process>
  void read_all(bool is_ending, Process process);
  template <typename Process>
  void process_input(Process process);
  // Of the events of its socket; `read`s if there is something.
  template <typename Read>
  void take_events(std::uint32_t events, Read read);
  void send_to_client(std::string_view bytes);
  void flush_client();
  void pause_client(bool paused);
  void listen_to(std::uint32_t events);

  // ---- units of work and leases
  void set_state(State state);
  void start_hold(std::size_t bytes);
  // Nothing: it waits, and served() or wait_failed() follows. `wanted`: see Pool::take.
  [[nodiscard]] Connection* take_connection(const router::Route& route, std::uint64_t wanted = 0);
  void lease_began(Connection& connection);  // first of all that is done with it
  void lease_ended(Connection& connection);  // the connection is not the session's any more; who gets it comes later
  // Session pooling: the lease outlives its safe point while nothing asks for its end.
  [[nodiscard]] bool keeps_by_mode(const Connection& connection) const;
  [[nodiscard]] ClientInfo basic_info(const Connection* connection) const;
  void publish_pins(std::uint32_t now);

  // ---- reads that move: what routing is told of a unit besides its verdict, and what the ramp hears of it
  [[nodiscard]] bool wants_verdict(router::Unit& unit);  // whether anybody wants to know its verdict
  void measure_begin(const router::Route& route);
  void measure_error(std::string_view sqlstate, bool is_seen);  // is_seen: the client has had some of the answer
  void measure_end();
  // Of a whole unit: what its session's next reads have to show.
  void note_answer(const Pool& pool);

  [[nodiscard]] const conf::Deployment& conf() const { return shard_.settings->conf; }
  [[nodiscard]] Worker& worker() const { return shard_.worker; }

  Shard& shard_;
  Account& account_;
  Transport transport_;
  const std::uint32_t number_;
  std::uint32_t events_ = 0;
  State state_ = State::idle;
  const std::uint16_t hash_;
  bool ending_at_safe_point_ = false;
  bool ramped_ = false;                           // the unit reads on a connection that is only to be read on
  bool no_ramp_ = false;                          // the unit is the second run of one that failed there
  bool unit_is_read_ = false;                     // proven, wherever it runs
  bool is_looked_at_ = false;                     // the unit may be one for the shadow
  router::Side lease_side_ = router::Side::blue;  // of the present or latest lease
  std::uint32_t pins_ = 0;
  std::uint32_t published_pins_ = 0;  // as the worker's numbers have them
  std::uint32_t reads_lately_ = 0;
  ReadMark mark_;                      // while the unit is measured for the ramp
  std::uint64_t required_sample_ = 0;  // what a read has to show at least: proxy.h, TokenBoard
  std::uint64_t since_us_ = 0;         // of the state
  std::uint64_t unit_began_us_ = 0;
  std::uint64_t held_us_ = 0;  // since when its work has been ready to run, across reconsiderations
  std::uint64_t connected_us_ = 0;
  std::string input_;   // not sent yet
  std::string output_;  // the client's socket would not take it
  std::string address_;
};

template <typename Read>
void Client::take_events(std::uint32_t events, Read read) {
  if (state_ == State::ended) return;
  if ((events & EPOLLOUT) != 0) flush_client();
  if (state_ == State::ended) return;
  const bool is_paused = (events_ & EPOLLIN) == 0;
  if (is_paused) {
    // Its statement was never sent, or nobody is there to read the answer.
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) end("client closed the connection");
    return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read((events & EPOLLRDHUP) != 0);
}

}  // namespace turnout::proxy
