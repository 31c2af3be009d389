// The server connections of one (side, access, database, user) on one worker, and the sessions that wait for one.
//
// The limits are the deployment's: every connection holds a unit of the shared Quota, and of what pools share (limits
// of the side, the user, the database), until the server has closed it (proxy/farewell.h). First come first served
// among the worker's own sessions; a connection that becomes free goes to another worker when somebody there has waited
// longer by more than a moment, or when nobody waits here. So a session never waits while a connection it could use
// idles.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "proxy/connection.h"
#include "proxy/deployment.h"
#include "proxy/pool_rules.h"

namespace turnout::proxy {

class Account;
class Client;
class Shard;

// Why a connection could not be had; `raw_error` is the server's own error message, without its header, when there is
// one.
struct LoginFailure {
  std::string sqlstate;
  std::string message;
  std::string raw_error = {};
  bool is_soon_over = false;  // as the protocol knows; what the state says is known here
  // The server may accept us later (down, starting, full): waiting sessions go on waiting.
  [[nodiscard]] bool is_transient() const;
};

class Pool {
 public:
  Pool(Account& account, router::Side side, router::Access access);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // An idle connection, now leased; or nullptr, and the session waits until Session::served() or wait_failed().
  // `wanted`: the id of the one that it should be, if that one is idle; 0: whichever.
  [[nodiscard]] Connection* take(Client& session, std::uint64_t wanted = 0);
  // Of a side that is not the writer: for a session that has a connection of the writer's. Nobody waits for it.
  [[nodiscard]] Connection* take_spare(Client& session);
  void forget(Client& session);                      // it no longer waits
  [[nodiscard]] std::deque<Client*> take_waiters();  // all of them, for a new decision

  void give_back(Connection& connection);              // at a safe point
  void remove(Connection& connection);                 // any state; closes it and gives its quota back
  void adopt(std::unique_ptr<Connection> connection);  // from another worker, quota included
  void lend_to_peer(std::size_t worker);               // gives one idle connection to that worker, if there is one
  void open_one_if_allowed();                          // for somebody who waits for the welcome
  [[nodiscard]] Connection* add_one_if_allowed();      // for somebody who has a login to go on with
  void give_way(Connection& connection);               // to another pool, within a limit that they share
  void farewell_over();                                // one of the removed is gone for good

  // ---- heard from connections
  void logged_in(Connection& connection);
  void login_failed(Connection& connection, const LoginFailure& failure);
  void proved(Connection& connection);  // by its session
  void set_parked(Connection& connection, bool is_parked);
  void proof_answered(Connection& connection, bool writable);
  void cleaned(Connection& connection);
  // False: whether the server will still carry it out is not known; then the connection is nobody's any more.
  void cancel_finished(std::uint64_t connection_id, bool is_certain);

  void addresses_changed();  // of the side: what is connected elsewhere goes when nobody has it
  void apply_orders();       // after a new table: close, warm, prove
  void sweep();              // about every 50 ms while busy, every second otherwise: timeouts, ages, retries
  [[nodiscard]] bool needs_tick_soon() const;
  // Connections are opened ahead of a flip, and nothing waits for them yet.
  [[nodiscard]] bool is_warming() const { return warm_target_ != 0 && prove_since_version_ == 0; }
  [[nodiscard]] bool is_proving() const { return prove_since_version_ != 0 && published_unproven_ != 0; }

  [[nodiscard]] Account& account() const { return account_; }
  [[nodiscard]] Shard& shard() const;
  [[nodiscard]] router::Side side() const { return side_; }
  [[nodiscard]] router::Access access() const { return access_; }
  [[nodiscard]] const std::vector<std::unique_ptr<Connection>>& connections() const { return connections_; }
  [[nodiscard]] bool is_sealed(const Connection& connection) const;  // open, but out of use: see seal_idle
  [[nodiscard]] bool needs_proof(const Connection& connection) const { return !may_work(connection); }
  [[nodiscard]] std::size_t idle() const { return idle_.size(); }
  [[nodiscard]] const std::deque<Client*>& waiters() const { return waiters_; }
  [[nodiscard]] std::uint32_t opening() const;
  [[nodiscard]] std::uint32_t closing() const { return closing_; }
  [[nodiscard]] std::string waits_for() const;  // what the waiters wait for, "" = nobody waits
  [[nodiscard]] Connection* longest_idle() const;
  [[nodiscard]] bool wants_more() const;  // although nobody waits
  [[nodiscard]] Connection* find(std::uint64_t id) const;

 private:
  [[nodiscard]] bool is_allowed() const;                            // do the table's orders let it have connections?
  [[nodiscard]] bool may_work(const Connection& connection) const;  // proven, where proof is asked for
  [[nodiscard]] std::uint32_t size_max() const;
  [[nodiscard]] Quota& quota() const;
  [[nodiscard]] bool is_retired(const Connection& connection) const;
  [[nodiscard]] bool is_done_with(const Connection& connection, std::uint64_t now_ms) const;
  [[nodiscard]] bool may_open_one_more() const;
  [[nodiscard]] bool is_backing_off() const;  // the server has just refused one
  [[nodiscard]] std::uint32_t keep_min() const;
  [[nodiscard]] bool take_unit(std::uint32_t size);  // of this pool's size and of every limit; false: hit_ says which
  void give_unit();
  void ask_for_room();
  void start_one();
  Connection& add_one();
  void open_for_waiters();
  void open_what_is_wanted();
  void sweep_waiters(std::uint64_t now_ms);
  void pass_on(Connection& connection);  // to whoever has waited longest, or to the idle ones
  void make_idle(Connection& connection);
  void serve_waiters();
  void lend_if_wanted();
  void make_idle_later(Connection& connection);
  void replace_later(Connection& connection);
  void publish_waiting();
  void publish_numbers();
  void seal_idle();
  void unseal();
  void warm();
  [[nodiscard]] bool may_warm_one_more() const;
  void prove_idle();
  void migrate(Connection& connection, std::size_t worker);
  std::unique_ptr<Connection> release(Connection& connection);

  Account& account_;
  const router::Side side_;
  const router::Access access_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> idle_;  // last in, first out
  std::vector<Connection*> sealed_;
  std::uint64_t sealed_at_ms_ = 0;
  std::deque<Client*> waiters_;
  std::uint32_t warm_target_ = 0;
  std::uint64_t retry_at_ms_ = 0;  // after a transient failure
  std::uint64_t prove_again_ms_ = 0;
  std::uint64_t proofs_asked_ = 0;
  std::uint64_t prove_since_version_ = 0;  // of the table that began to ask for proof; 0 = none asked
  LoginFailure last_failure_;
  SharedLimit hit_ = SharedLimit::none;  // by the latest attempt to open one
  std::uint64_t asked_for_room_ms_ = 0;
  std::uint32_t closing_ = 0;
  bool wants_welcome_ = false;
  std::uint64_t published_connections_ = 0, published_unproven_ = 0, published_warming_ = 0;
};

}  // namespace turnout::proxy
