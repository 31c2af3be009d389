// What the workers of one deployment share. Everything here is immutable once read, atomic, or behind a mutex that the
// data path takes only at a login, at a new statement text, or when a pool has run dry.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "conf/config.h"
#include "protocol/pg/login.h"
#include "proxy/access.h"
#include "proxy/counters.h"
#include "proxy/fetched_secrets.h"
#include "proxy/mysql/shared.h"
#include "proxy/pool_rules.h"
#include "proxy/proxy.h"
#include "proxy/rate_limit.h"
#include "proxy/transport.h"
#include "router/routing_table.h"
#include "router/verdict_cache.h"

namespace turnout::proxy {

inline constexpr std::size_t workers_max = 64;

// How many server connections of one (side, access, database, user) exist, over all workers, and who waits for one.
class Quota {
 public:
  [[nodiscard]] bool try_take(std::uint32_t size);
  void give() { open_.fetch_sub(1, std::memory_order_acq_rel); }
  [[nodiscard]] std::uint32_t open() const { return open_.load(std::memory_order_acquire); }

  // A worker's oldest waiter began to wait at `since_us`; 0 = nobody waits there.
  void set_waiting(std::size_t worker, std::uint64_t since_us);
  // The worker other than `except` whose waiter is the oldest. False: nobody waits elsewhere.
  [[nodiscard]] bool oldest_elsewhere(std::size_t except, std::size_t& worker, std::uint64_t& since_us) const;

 private:
  std::atomic<std::uint32_t> open_{0};
  std::atomic<std::uint64_t> waiting_workers_{0};  // a bit a worker
  std::array<std::atomic<std::uint64_t>, workers_max> oldest_us_{};
};

// Connections that count together over all workers and pools.
class ConnectionCount {
 public:
  [[nodiscard]] bool try_take(std::uint32_t max);  // 0 = no limit
  void give() { open_.fetch_sub(1, std::memory_order_acq_rel); }
  [[nodiscard]] std::uint32_t open() const { return open_.load(std::memory_order_acquire); }

 private:
  std::atomic<std::uint32_t> open_{0};
};
using SideCounts = std::array<ConnectionCount, 2>;  // by side

// What a server told at login, to be told to clients: ParameterStatus values.
using Welcome = std::vector<std::pair<std::string, std::string>>;
using WelcomePtr = std::shared_ptr<const Welcome>;

struct SharedAccount {
  SharedAccount(std::string database_name, std::string user_name, std::uint64_t its_dialect, SideCounts& all,
                SideCounts& of_user, SideCounts& of_database)
      : database(std::move(database_name)),
        user(std::move(user_name)),
        dialect(its_dialect),
        counts_{&all, &of_user, &of_database} {}
  const std::string database;
  const std::string user;
  // MySQL: what its sessions and server connections agreed on for life (proxy/mysql/server_connection.h); 0: nothing.
  const std::uint64_t dialect;
  std::array<std::array<Quota, 2>, 2> quota;  // [side][access]

  // A unit of every limit that pools share, or of none: then the one that was hit.
  [[nodiscard]] SharedLimit take_shared(router::Side side, const conf::Limits& limits);
  void give_shared(router::Side side);

  [[nodiscard]] WelcomePtr welcome(router::Side side) const;
  // That side's, or else the other one's, which is as good until that side has greeted somebody.
  [[nodiscard]] WelcomePtr known_welcome(router::Side side) const;
  void set_welcome(router::Side side, WelcomePtr welcome);

  // Prepared statements that a server has accepted for this database and user: preparing one of them again can be
  // answered without a server connection.
  void note_accepted(std::uint32_t statement);
  [[nodiscard]] bool is_accepted(std::uint32_t statement) const;

 private:
  const std::array<SideCounts*, 3> counts_;  // of the side, the user, the database
  mutable std::mutex mutex_;
  std::unordered_set<std::uint32_t> accepted_;
  std::array<WelcomePtr, 2> welcome_;
};

// One generation of the configuration, resolved and loaded; swapped whole by reload.
struct Settings {
  conf::Deployment conf;
  bool has_green = false;
  Users users;
  mysql::Users mysql_users;                  // instead of `users`, if that is the protocol
  std::vector<protocol::pg::HbaRule> rules;  // of auth: hba
  TlsContext client_tls;                     // null: we offer no TLS
  TlsContext server_tls;                     // null: sslmode disable
};
using SettingsPtr = std::shared_ptr<const Settings>;
// Throws std::runtime_error: a users file, rules or a certificate that cannot be used.
[[nodiscard]] SettingsPtr make_settings(const conf::Deployment& conf);

// Where a side is: numbers, or one socket, in the order to try. Never null; empty: not known yet.
inline constexpr std::size_t former_addresses_max = 256;
using AddressesPtr = std::shared_ptr<const std::vector<conf::Address>>;

class Deployment {
 public:
  Deployment(DeploymentIndex index, SettingsPtr settings, std::size_t workers);

  const DeploymentIndex index;
  const std::string name;
  TokenBoard tokens;
  std::vector<WorkerNumbers> numbers;  // one a worker
  std::atomic<std::uint32_t> cancels_in_flight{0};
  std::atomic<std::uint32_t> releasing_workers{0};  // whose held work is on its way to its connections
  std::atomic<std::uint32_t> clients{0};            // sessions and logins, all workers
  std::atomic<std::uint32_t> replications{0};       // of them: those that speak the replication protocol
  const std::uint64_t seed;                         // of session hashes and verdict caches
  const std::string mock_key;                       // of mock SCRAM salts and long cancel keys

  [[nodiscard]] SettingsPtr settings() const;
  void set_settings(SettingsPtr settings);
  [[nodiscard]] AddressesPtr addresses(router::Side side) const;
  void set_addresses(router::Side side, AddressesPtr addresses);
  // All that it has been at, the newest `former_addresses_max`: connections outlive an address.
  [[nodiscard]] std::vector<conf::Address> addresses_so_far(router::Side side) const;
  [[nodiscard]] router::RoutingTablePtr table() const;
  void set_table(router::RoutingTablePtr table);
  [[nodiscard]] router::CatalogPtr catalog() const;
  void set_catalog(router::CatalogPtr catalog);
  [[nodiscard]] TypeMapsPtr types() const;  // never null
  void set_types(TypeMapsPtr types);

  [[nodiscard]] SharedAccount& account(const std::string& database, const std::string& user, std::uint64_t dialect = 0);
  [[nodiscard]] std::vector<Proxy::Account> accounts() const;

  // What a client of that name must prove to know; nothing: unknown. For SCRAM a plain secret becomes a verifier once,
  // so that a login costs no key derivation.
  [[nodiscard]] std::optional<protocol::pg::Secret> client_secret(const std::string& user, protocol::pg::ClientMethod);

  [[nodiscard]] FetchedSecrets& fetched() { return fetched_; }

  // What a client's own SCRAM login taught us; good for logging in to a server with the same verifier.
  void learn(const std::string& user, const protocol::pg::Secret& secret);
  [[nodiscard]] protocol::pg::Secret server_secret(const std::string& user) const;

  const std::unique_ptr<mysql::Shared> of_mysql;  // null: PostgreSQL
  [[nodiscard]] router::Grammar grammar() const {
    return of_mysql ? router::Grammar::mysql : router::Grammar::postgres;
  }

  // A side whose server has refused to speak of protocol 3.2 at all (no server since 2018 does, some proxies do).
  std::array<std::atomic<bool>, 2> is_classic{};

  // One more cancel request of that client address, within its rate?
  [[nodiscard]] bool may_cancel(const std::string& host, std::uint64_t now_us, std::uint32_t per_second);

  void record_hold(std::uint64_t us);  // how long one released session waited; a new hold forgets the one before
  [[nodiscard]] HoldTimes hold_times() const;

 private:
  mutable std::mutex mutex_;
  SettingsPtr settings_;
  std::array<AddressesPtr, 2> addresses_;
  std::array<std::vector<conf::Address>, 2> addresses_so_far_;
  router::RoutingTablePtr table_;
  router::CatalogPtr catalog_;
  TypeMapsPtr types_ = std::make_shared<const TypeMaps>();
  SideCounts counts_;
  std::map<std::string, SideCounts> user_counts_, database_counts_;
  std::map<std::tuple<std::string, std::string, std::uint64_t>, std::unique_ptr<SharedAccount>> accounts_;
  std::map<std::string, protocol::pg::Secret> learned_;
  std::map<std::string, protocol::pg::Secret> verifiers_;  // made of plain secrets; a reload forgets them
  std::vector<std::uint32_t> hold_us_;
  FetchedSecrets fetched_;  // has a lock of its own
  RateLimit cancel_rates_;
};

}  // namespace turnout::proxy
