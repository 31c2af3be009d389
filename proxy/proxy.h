// The data path as the control side sees it: workers that relay, and a few thread-safe questions and orders.
//
// Every order is a new RoutingTable (router/routing_table.h); every answer is a level that may be asked again. Nothing
// here blocks on the data path. Deployments are named by their position in Config::deployments.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "conf/config.h"
#include "protocol/pg/type_map.h"
#include "proxy/names.h"
#include "proxy/pins.h"
#include "router/analysis.h"
#include "router/classify.h"
#include "router/routing_table.h"
#include "router/shadow_book.h"

namespace turnout::proxy {

using DeploymentIndex = std::size_t;

// Sum over all workers. `version` is the least version that every worker has reached: the rest speaks of that table.
struct Levels {
  std::uint64_t version = 0;
  struct PerSide {
    std::uint32_t writes_in_flight = 0;  // leases of `write` connections in or possibly in a transaction
    std::uint32_t reads_in_flight = 0;
    std::uint32_t begin_later = 0;  // of the writes in flight: what the server may have yet to begin (not answered yet,
                                    // behind another one, or inside a CALL). A fence now would refuse it
    std::uint32_t write_connections = 0;  // open or opening, without those that are sealed (proxy/pool.h)
    std::uint32_t read_connections = 0;
    std::uint32_t unproven = 0;  // logged-in `write` connections that prove_writable still waits for
    std::uint32_t warming = 0;   // connections that `warm`/`warm_reads` still wants
  };
  std::array<PerSide, 2> side;
  std::uint32_t held_sessions = 0;
  std::uint64_t held_bytes = 0;
  bool hold_overflow = false;       // a worker would pass hold.sessions_max or bytes_max: the window must abort
  std::uint64_t client_errors = 0;  // errors that Turnout itself made for clients since start
};

// Of the latest hold: how long held work waited, from being ready to run to being sent.
struct HoldTimes {
  std::uint64_t held = 0;
  double p50_ms = 0, p99_ms = 0, max_ms = 0;
};

struct ClientInfo {
  std::uint64_t id = 0;
  std::string address, user, database, application;
  std::string state;  // login, idle, active, waiting, held, closing
  std::string side;   // of its lease, "" without
  bool in_transaction = false;
  double connected_s = 0, state_s = 0;
  std::string pinned_by;      // why it cannot move: "temp_object", "listen", …; "" = movable
  std::string stays_because;  // what kept a session with advisory locks from moving in the hold that is on
  std::uint32_t prepared_statements = 0;
  std::uint32_t server_pid = 0;
};

struct PoolInfo {
  std::string database, user;
  router::Side side = router::Side::blue;
  router::Access access = router::Access::write;
  conf::PoolMode mode = conf::PoolMode::transaction;
  std::uint32_t clients_active = 0, clients_waiting = 0;
  std::uint32_t servers_active = 0, servers_idle = 0, servers_opening = 0;
  std::uint32_t servers_closing = 0;  // told goodbye, and still there as far as we know
  double longest_wait_s = 0;
  std::string waits_for;  // what those who wait for: pool.size, a limit, the server's refusal; "" = nobody waits
};

// A host name of the configuration and where it leads. One row a side of a deployment; a side that is named by a number
// or a socket has none.
struct NameInfo {
  DeploymentIndex deployment = 0;
  router::Side side = router::Side::blue;
  std::string name;
  Hosts addresses, refused;  // in use; another server than this side has been
  std::string failure;       // of the latest question, "" = answered
  double answer_age_s = 0;
  std::uint64_t questions = 0, failures = 0;
};

struct Counters {
  std::uint64_t transactions[2] = {0, 0}, queries[2] = {0, 0};
  std::uint64_t bytes_from_clients = 0, bytes_to_clients = 0;
  std::uint64_t reads_proven[2] = {0, 0};  // proven reads answered by each side (the ramp's actual share)
  std::uint64_t detours = 0;               // ramped reads run again on the writer
  std::uint64_t logins = 0, login_failures = 0, client_errors = 0, commit_unknown = 0, protocol_errors = 0;
  std::uint64_t clients = 0, clients_waiting = 0, clients_held = 0;
  std::uint64_t server_logins = 0, server_login_failures = 0;
  std::uint64_t server_evictions = 0;  // idle connections closed for another pool, within a limit that both share
  // Cancel requests: carried to a server; answered for work that waited here; for nobody's work; with a key that no
  // session has; beyond limits.cancels or limits.cancels_per_second.
  std::uint64_t cancels_sent = 0, cancels_answered = 0, cancels_idle = 0, cancels_unknown = 0, cancels_limited = 0;
  std::array<std::uint64_t, pin_count> pinned_now{}, pinned{};   // by reason (proxy/pins.h): clients now, and ever
  std::vector<std::uint64_t> wait_us_buckets, query_us_buckets;  // bounds in histogram_bounds_us()
  double wait_s_sum = 0, query_s_sum = 0;
};
[[nodiscard]] const std::vector<std::uint64_t>& histogram_bounds_us();

// What the position sampler (control) tells the workers; read by sessions with one relaxed load. Sample numbers grow by
// one; a session whose last answer from the writer came while `started` was s may read on green once `proven` > s.
struct TokenBoard {
  std::atomic<std::uint64_t> started{0};  // number of the newest sample that has begun
  std::atomic<std::uint64_t> proven{0};   // newest sample whose position is applied on green
  // Under policy `global`: the sample that shows every write which the writer has answered so far, whoever made it.
  std::atomic<std::uint64_t> written{0};
  void raise_written(std::uint64_t sample) {
    std::uint64_t known = written.load(std::memory_order_relaxed);
    while (known < sample && !written.compare_exchange_weak(known, sample, std::memory_order_acq_rel)) {
    }
  }
};

// Of each database: the numbers of types on green, where they are others than blue's, which clients know.
struct TypeMaps {
  std::map<std::string, protocol::pg::TypeMapPtr, std::less<>> databases;
  [[nodiscard]] protocol::pg::TypeMapPtr of(std::string_view database) const {
    const auto found = databases.find(database);
    return found == databases.end() ? nullptr : found->second;
  }
};
using TypeMapsPtr = std::shared_ptr<const TypeMaps>;

class Proxy {
 public:
  // Throws std::runtime_error when a listener cannot be opened or a certificate cannot be read.
  explicit Proxy(const conf::Config& config);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // Asked about the server behind an address that is new (proxy/names.h), on a thread of the resolver. Before start().
  using IdentityCheck = std::function<Identity(DeploymentIndex, router::Side, const conf::Address& numeric)>;
  void set_identity_check(IdentityCheck check);

  void stop_resolving();  // after it the check is not called any more, and addresses stay as they are

  void start();                       // threads; accepts only once every deployment has a table published
  void stop(std::uint32_t grace_ms);  // no new clients; sessions end at safe points; the rest is cut after grace_ms
  void reload(const conf::Config& config);  // same deployments; users, limits, pool sizes, certificates
  // Where a side is now, as numbers or the socket; empty while its name has not been found. Never waits for DNS.
  [[nodiscard]] std::vector<conf::Address> addresses(DeploymentIndex, router::Side) const;
  // And where it has been: connections of ours may still lead there.
  [[nodiscard]] std::vector<conf::Address> addresses_so_far(DeploymentIndex, router::Side) const;
  [[nodiscard]] std::vector<NameInfo> names() const;

  void publish(DeploymentIndex, router::RoutingTablePtr);
  [[nodiscard]] router::RoutingTablePtr table(DeploymentIndex) const;
  void publish_catalog(DeploymentIndex, router::CatalogPtr);
  void publish_types(DeploymentIndex, TypeMapsPtr);
  [[nodiscard]] TokenBoard& tokens(DeploymentIndex);

  [[nodiscard]] Levels levels(DeploymentIndex) const;
  [[nodiscard]] HoldTimes hold_times(DeploymentIndex) const;
  [[nodiscard]] Counters counters(DeploymentIndex) const;
  // Reports of a worker, gathered by posting to it; called from control threads, waits for the workers (≤ 1 s each).
  [[nodiscard]] std::vector<ClientInfo> clients(DeploymentIndex) const;
  [[nodiscard]] std::vector<PoolInfo> pools(DeploymentIndex) const;
  // Backend pids of our own `write` connections on a side (the fence checks that the server has none of them at work).
  [[nodiscard]] std::vector<std::uint32_t> write_pids(DeploymentIndex, router::Side) const;
  // Those of them that are out of use until the hold is over: nothing is owed on them and nothing will be sent.
  [[nodiscard]] std::vector<std::uint32_t> sealed_pids(DeploymentIndex index, router::Side side) const;
  // Those that only listen, for sessions that ran LISTEN: nothing but NOTIFY is ever run on them.
  [[nodiscard]] std::vector<std::uint32_t> listening_pids(DeploymentIndex, router::Side) const;
  // Those that run reads once more, and compare: read only, and none while anything is held.
  [[nodiscard]] std::vector<std::uint32_t> shadow_pids(DeploymentIndex, router::Side) const;
  // What living sessions have prepared by name, each text once: those that see the names that everybody sees.
  struct PreparedText {
    std::string database, user;
    std::string content;  // query, zero, parameter types, as in Parse
    std::uint64_t client = 0;
    friend bool operator<(const PreparedText& a, const PreparedText& b) {
      return std::tie(a.database, a.user, a.content) < std::tie(b.database, b.user, b.content);
    }
  };
  static constexpr std::size_t prepared_texts_max = 2'000;  // of one worker
  [[nodiscard]] std::vector<PreparedText> prepared_texts(DeploymentIndex) const;
  // Every (database, user) that has logged in since start, or that the users file names with a pool now.
  struct Account {
    std::string database, user;
  };
  [[nodiscard]] std::vector<Account> accounts(DeploymentIndex) const;
  // One real login of that account on that side, through the same path as a pool's. "" = fine, else the error.
  [[nodiscard]] std::string try_login(DeploymentIndex, router::Side, const Account&) const;
  // hash16 and proven reads of the last second, of the sessions that made any: input of the ramp's threshold.
  struct SessionReads {
    std::uint16_t hash;
    std::uint32_t reads;
  };
  [[nodiscard]] std::vector<SessionReads> session_reads(DeploymentIndex) const;
  // What the workers measured of the ramped reads and of the control group's since the last call.
  [[nodiscard]] std::vector<router::ShapeLook> read_looks(DeploymentIndex) const;
  // What the workers' shadows have seen since the last call.
  [[nodiscard]] std::vector<router::ShadowBook::Look> shadow_looks(DeploymentIndex) const;
  // Of these shapes, EXPLAIN on both sides at their next run; the plans come with the looks.
  void ask_shadow_plans(DeploymentIndex, const std::vector<std::uint64_t>& shapes) const;
  // Grows when a read failed on green and not on the writer: worth a look at once.
  [[nodiscard]] std::uint64_t green_failures(DeploymentIndex) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace turnout::proxy
