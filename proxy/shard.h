// One deployment on one worker: its sessions, its pools, its copy of the routing table.
//
// Everything here runs on the worker's thread. New tables and settings come as posted tasks; levels go out through the
// worker's own numbers, the table's version last.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "proxy/canceller.h"
#include "proxy/deployment.h"
#include "proxy/farewell.h"
#include "proxy/pool.h"
#include "proxy/proxy.h"
#include "proxy/read_meter.h"
#include "router/verdict_cache.h"

namespace turnout::proxy {

class Arrival;
class AuthQuery;
class ChannelHub;
class Client;
class Greeting;
class Replication;
class Session;
class ShadowRunner;
class Worker;
namespace mysql {
class PasswordTrials;
}

// One (database, user) on one worker: four pools, and the logins that wait to hear what a server says.
class Account {
 public:
  Account(Shard& shard, SharedAccount& shared);
  ~Account();
  [[nodiscard]] Pool& pool(router::Side side, router::Access access) {
    return *pools_[router::index(side)][router::index(access)];
  }
  [[nodiscard]] const auto& pools() const { return pools_; }
  // Of all workers' sessions of this account; only on its home worker (proxy/channel_hub.h).
  [[nodiscard]] ChannelHub& hub();
  [[nodiscard]] const std::unique_ptr<ChannelHub>& known_hub() const { return hub_; }
  SharedAccount& shared;
  Shard& shard;
  std::optional<conf::TokenPolicy> ramp_policy;  // of this user or database; else the ramp's
  const std::string default_search_path;         // the server's default with "$user" in it resolved
  std::uint32_t sessions = 0;
  protocol::pg::TypeMapPtr types;   // of the side that is not native; null: nothing differs
  std::vector<Arrival*> greetings;  // wait for the first server login

 private:
  std::array<std::array<std::unique_ptr<Pool>, 2>, 2> pools_;
  std::unique_ptr<ChannelHub> hub_;
};

class Shard {
 public:
  Shard(Worker& worker, Deployment& deployment);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  Worker& worker;
  Deployment& deployment;
  WorkerNumbers& numbers;
  SettingsPtr settings;
  std::array<AddressesPtr, 2> addresses;       // of the sides
  std::array<std::size_t, 2> first_address{};  // of them: tried first, it worked last time
  router::CatalogPtr catalog;
  router::VerdictCache verdicts;
  ReadMeter reads;
  std::unique_ptr<ShadowRunner> shadow;  // while the table asks for one

  [[nodiscard]] const router::RoutingTable& table() const { return *table_; }
  [[nodiscard]] Account& account(SharedAccount& shared);
  [[nodiscard]] const std::map<SharedAccount*, std::unique_ptr<Account>>& accounts() const { return accounts_; }

  void apply_table(router::RoutingTablePtr table);
  void apply_settings(SettingsPtr settings);
  void apply_types(const TypeMapsPtr& types);
  void apply_addresses(router::Side side, AddressesPtr addresses);
  std::uint32_t tick();   // returns when it wants the next one, in milliseconds
  void drain_for_stop();  // ends what is at a safe point, now and at every next one
  [[nodiscard]] bool is_stopping() const { return stopping_; }

  // ---- connections that pools share a limit of
  void make_room(const RoomClaim& claim);  // one idle connection gives way now, or the next that gets free
  [[nodiscard]] bool must_give_way(const Pool& pool) const;
  void room_was_made() { claim_.limit = SharedLimit::none; }
  void add_farewell(std::unique_ptr<Farewell> farewell);
  void remove_farewell(Farewell& farewell);  // buries it

  // ---- cancels on their way to a server
  void add_canceller(std::unique_ptr<Canceller> canceller);
  void remove_canceller(Canceller& canceller);  // buries it
  [[nodiscard]] Canceller* find_canceller(std::uint64_t connection_id) const;

  // ---- logins and sessions
  [[nodiscard]] AuthQuery& auth_query();
  void forget_question(const Greeting& greeting);
  [[nodiscard]] mysql::PasswordTrials& password_trials();
  void add_greeting(std::unique_ptr<Arrival> greeting);
  void remove_greeting(Arrival& greeting);            // buries it
  void add_session(std::unique_ptr<Client> session);  // it begins
  void remove_session(Client& session);               // buries it
  [[nodiscard]] Client* find_client(std::uint32_t number) const;
  [[nodiscard]] Session* find_session(std::uint32_t number) const;  // of a PostgreSQL deployment
  [[nodiscard]] const std::map<std::uint32_t, std::unique_ptr<Client>>& sessions() const { return sessions_; }

  // ---- replication clients, each with a connection of its own
  Replication& add_replication(std::unique_ptr<Replication> replication);
  void remove_replication(Replication& replication);  // buries it
  void continue_replication(std::uint32_t number);    // there is more to read, of which no event will tell
  [[nodiscard]] Replication* find_replication(std::uint32_t number) const;
  [[nodiscard]] const auto& replications() const { return replications_; }

  // ---- the hold: sessions wait here, oldest first
  void hold(Client& session, std::size_t bytes);
  void unhold(Client& session);
  [[nodiscard]] std::size_t held() const { return held_.size(); }
  // The hold is over, and not everybody who was held is at work yet, on this worker or another; a second at most.
  [[nodiscard]] bool is_releasing() const { return releasing_until_ms_ != 0; }

  // ---- sessions whose advisory locks are on their way to the other side
  void watch_locks(const Session& session);

  // ---- counting leases: the levels of the drain
  void lease_began(const Pool& pool);
  void lease_ended(const Pool& pool);

 private:
  void apply_shadow();
  void reconsider_waiters();
  template <typename Do>
  void for_each_replication(Do what);
  void begin_release(bool was_holding);
  void count_as_releasing(bool counts);
  void continue_release(bool is_at_work);
  void release_held();
  void move_locks(std::uint64_t now_ms);

  router::RoutingTablePtr table_;
  std::map<SharedAccount*, std::unique_ptr<Account>> accounts_;
  std::map<std::uint32_t, std::unique_ptr<Client>> sessions_;
  std::map<std::uint32_t, std::unique_ptr<Replication>> replications_;
  std::list<std::unique_ptr<Arrival>> greetings_;
  std::deque<Client*> held_;
  std::set<std::uint32_t> lock_movers_;    // numbers of sessions
  std::unique_ptr<AuthQuery> auth_query_;  // made for the first question
  std::unique_ptr<mysql::PasswordTrials> password_trials_;
  std::list<std::unique_ptr<Farewell>> farewells_;    // oldest first
  std::list<std::unique_ptr<Canceller>> cancellers_;  // oldest first
  std::uint64_t releasing_until_ms_ = 0;              // 0 = not
  bool counts_as_releasing_ = false;                  // in deployment.releasing_workers
  RoomClaim claim_;
  std::uint64_t swept_ms_ = 0;
  bool stopping_ = false;
};

}  // namespace turnout::proxy
