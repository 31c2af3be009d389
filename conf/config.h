// What the operator asked for, after every check: plain values, no YAML, no I/O after load().
//
// Always true of a Config that load() returned: every relation between its knobs holds (a pool fits its clients, two
// listeners never share an address, a deadline is longer than the steps inside it). Durations are milliseconds, sizes
// bytes; the suffix says so. Files named here (password, users, certificates) have been read or checked for existence.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace turnout::conf {

enum class Protocol { postgres, mysql };
enum class PoolMode { session, transaction };
// Towards clients. `hba` reads rules from Deployment::hba_file.
enum class ClientAuth { trust, md5, scram_sha_256, cert, peer, hba };
// libpq's sslmode names, for both sides.
enum class TlsMode { disable, allow, prefer, require, verify_ca, verify_full };
// SCRAM with the server's certificate in its proof; libpq's names.
enum class ChannelBinding { disable, prefer, require };
// How far a fence reaches: the server's own default by ALTER SYSTEM, or that of each database that moves, which a role
// without superuser's rights may set too. automatic: the server's where that may be done.
enum class Fence { automatic, server, database };
// What a read on green may see (router/README.md).
enum class TokenPolicy { session, bounded, global, strict };

// Exactly one of (host, port) and unix_path. Written "127.0.0.1:5432", "[::1]:5432", "db.example:5432", "unix:/path".
// For a server, unix_path is the socket file itself ("/run/postgresql/.s.PGSQL.5432").
struct Address {
  std::string host;
  std::uint16_t port = 0;
  std::string unix_path;

  [[nodiscard]] bool is_unix() const { return !unix_path.empty(); }
  [[nodiscard]] std::string text() const;
  friend bool operator==(const Address&, const Address&) = default;
};

struct Tls {
  TlsMode mode = TlsMode::disable;  // towards clients: default disable; towards servers: default prefer
  std::string certificate_file;     // clients: required unless disable. servers: client certificate, optional
  std::string key_file;
  std::string ca_file;                                      // verify_ca, verify_full
  ChannelBinding channel_binding = ChannelBinding::prefer;  // towards servers; a client decides for itself
};

struct Login {
  std::string user;
  std::string password;       // read from password_file; empty = none (trust, peer, .pgpass is never read)
  std::string password_file;  // as written, for messages only
};

// Asks the writer what a client must prove to know, in place of a users file.
struct AuthQuery {
  std::string query;  // $1 is the client's name; the row: name, secret. "" = there is no auth query
  Login login;        // a role of its own, with nothing but this query to do
  std::string database = "postgres";
  std::uint32_t cache_ms = 30'000;         // an answer is believed this long
  std::uint32_t cache_users_max = 10'000;  // answers kept

  [[nodiscard]] bool is_set() const { return !query.empty(); }
};

struct Pool {
  PoolMode mode = PoolMode::transaction;
  std::uint32_t size = 20;     // server connections of one (side, database, user, access), all workers
  std::uint32_t size_min = 0;  // kept open on the writer while a client of that user and database is there
  std::uint32_t reserve = 0;   // more than `size`, when somebody has waited for reserve_after_ms
  std::uint32_t reserve_after_ms = 5'000;
  std::uint32_t opening_max = 16;               // of one pool opened at the same time, over all workers
  std::uint32_t wait_ms_max = 120'000;          // a session waits this long for a server connection
  std::uint32_t idle_ms_max = 600'000;          // an idle server connection older than this is closed; 0 = never
  std::uint32_t lifetime_ms_max = 3'600'000;    // closed when idle after this age; 0 = never
  std::uint32_t lifetime_jitter_percent = 10;   // a connection's own lifetime is shorter by up to this much
  std::uint32_t connect_ms_max = 10'000;        // TCP + TLS + login of one server connection
  std::uint32_t prepared_statements_max = 500;  // kept prepared on one server connection; least recently used closed
};

struct Limits {
  std::uint32_t clients_max = 10'000;        // of the deployment; one more gets 53300
  std::uint32_t server_connections_max = 0;  // of one side, all pools together; 0 = only each pool's own size
  std::uint32_t server_connections_per_user_max = 0;
  std::uint32_t server_connections_per_database_max = 0;
  std::uint32_t cancels_max = 100;                              // on their way to the servers at the same time
  std::uint32_t cancels_per_second_max = 100;                   // of one client address
  std::uint32_t unproven_logins_max = 10;                       // of mysql's passthrough, to the servers at once
  std::uint32_t login_ms_max = 15'000;                          // from accept to ReadyForQuery's predecessor, absolute
  std::uint32_t idle_in_transaction_ms_max = 0;                 // 0 = off
  std::uint32_t client_idle_ms_max = 0;                         // 0 = off
  std::uint64_t message_bytes_max = 1'073'741'823;              // one message; Postgres' own limit is 1 GiB - 1
  std::uint32_t replication_clients_max = 10;                   // each has a server connection of its own
  std::uint32_t startup_bytes_max = 10'000;                     // Postgres' own limit
  std::uint32_t buffered_message_bytes_max = 16 * 1024 * 1024;  // messages that must be whole (Query, Parse)
  std::uint32_t session_channels_max = 1'000;  // LISTEN: of one session; beyond, it keeps its server connection
  std::uint32_t channels_max = 20'000;         // LISTEN: of one database and user; beyond, the same
  std::uint32_t notification_queue_bytes_max = 8 * 1024 * 1024;  // waiting for one client
};

struct Hold {
  std::uint32_t sessions_max = 20'000;
  std::uint64_t bytes_max = 64ULL * 1024 * 1024;
  std::uint32_t release_per_ms = 20;  // paced resume: sessions released a millisecond and worker, oldest first
};

struct Cutover {
  std::uint32_t lag_ms_max = 100;  // heartbeat lag at start
  std::uint64_t lag_bytes_max = 1024ULL * 1024;
  std::uint32_t transaction_ms_max = 2'000;  // no older transaction at start
  std::uint32_t drain_ms_max = 1'500;
  std::uint32_t proof_ms_max = 2'000;
  std::uint32_t window_ms_max = 5'000;  // hold to resume, hard; then reverting. > drain + proof
  std::uint32_t cooling_ms = 72u * 3600 * 1000;
  std::uint64_t slot_retained_bytes_max = 8ULL * 1024 * 1024 * 1024;
  std::uint32_t check_interval_ms = 30'000;                // of the preflight that runs by itself; 0 = never
  std::uint32_t rehearsal_ms_max = 7u * 24 * 3600 * 1000;  // an older rehearsal does not count
  Fence fence = Fence::automatic;                          // of both sides
};

struct Ramp {
  TokenPolicy policy = TokenPolicy::session;
  std::uint32_t bounded_ms = 200;                     // policy bounded
  std::uint32_t sample_ms = 10;                       // period of the position sampler while a ramp is on
  std::uint64_t lag_bytes_max = 16ULL * 1024 * 1024;  // green leaves the read set beyond this for two samples
  std::vector<std::uint32_t> ladder = {1, 10, 25, 50, 100};
  std::uint32_t hold_ms = 600'000;
  std::uint32_t samples_min = 3'000;
  std::uint32_t slower_percent = 25;                 // p95 of a shape on green: more than this and
  std::uint32_t slower_ms = 2;                       // more than this above the control group's is a step back
  std::map<std::string, TokenPolicy> user_policies;  // instead of `policy`; a user's outranks a database's
  std::map<std::string, TokenPolicy> database_policies;

  [[nodiscard]] std::optional<TokenPolicy> own_policy(const std::string& database, const std::string& user) const {
    if (const auto found = user_policies.find(user); found != user_policies.end()) return found->second;
    if (const auto found = database_policies.find(database); found != database_policies.end()) return found->second;
    return std::nullopt;
  }
  [[nodiscard]] bool lets_anyone_read_on_green() const {
    const auto lets = [](const auto& entry) { return entry.second != TokenPolicy::strict; };
    return policy != TokenPolicy::strict || std::any_of(user_policies.begin(), user_policies.end(), lets) ||
           std::any_of(database_policies.begin(), database_policies.end(), lets);
  }
};

// Row-level comparison of the two sides.
struct Compare {
  std::uint32_t piece_rows = 5'000;                   // of one piece, about
  std::uint32_t rows_per_second = 50'000;             // read on either side; 0 = as fast as it goes
  std::uint64_t lag_bytes_max = 16ULL * 1024 * 1024;  // beyond, it waits
  std::uint32_t statement_ms_max = 30'000;
  std::uint32_t rounds = 5;               // looks at a row that keeps changing, before it counts as unsettled
  std::uint32_t differences_max = 1'000;  // listed of one table; that many end its comparison
};

// Reads that the writer has answered, sent to the other side as well and compared. The share is set by `turnout
// shadow`.
struct Shadow {
  std::uint32_t queue_max = 200;                        // reads that wait for it, of one worker
  std::uint64_t bytes_max = 8ULL * 1024 * 1024;         // of requests and answers that are kept, of one worker
  std::uint32_t connections_max = 4;                    // of its own, of one worker, both sides together
  std::uint64_t result_bytes_max = 8ULL * 1024 * 1024;  // a longer answer is not compared
  std::uint32_t statement_ms_max = 30'000;              // statement_timeout of a shadow read
  std::uint32_t lag_ms_max = 5'000;                     // for the other side to catch up; then the read is dropped
  std::uint32_t brackets = 3;                           // that must say so before a difference counts as proven
  std::uint32_t shapes_max = 500;
};

// How the two servers reach each other; every field defaults to the deployment's admin and addresses.
struct Replication {
  Login login;
  Address blue_address;
  Address green_address;
  TlsMode tls = TlsMode::prefer;
};

// `prepare --replicate`: making green's copy.
struct Replicate {
  std::string pg_dump;                                 // the program; "" = found where packages put it, and in PATH
  std::uint32_t dump_ms_max = 600'000;                 // it has this long
  std::uint64_t dump_bytes_max = 64ULL * 1024 * 1024;  // of the schema that it writes
  std::uint32_t statement_ms_max = 600'000;            // of one statement: making a slot, ANALYZE of a table
  std::uint32_t stall_ms_max = 1'800'000;              // a copy of which nothing moves for so long is given up
};

struct Deployment {
  std::string name;
  Protocol protocol = Protocol::postgres;
  std::vector<Address> listen;
  Address blue;
  std::optional<Address> green;
  Login admin;
  Replication replication;
  ClientAuth auth = ClientAuth::scram_sha_256;
  std::string users_file;         // PgBouncer's userlist; may be empty with trust
  AuthQuery auth_query;           // in place of users_file; of passthrough with postgres too
  bool passes_passwords = false;  // passthrough with mysql: the writer proves what clients send
  std::string hba_file;
  std::vector<std::string> databases;  // of a cutover; empty = all that green subscribes to
  std::vector<std::string> cdc;        // logical slots on blue of consumers that shall go on after a move
  std::vector<std::string> waive;      // preflight checks waived for good, by name
  Pool pool;
  Limits limits;
  Hold hold;
  Cutover cutover;
  Ramp ramp;
  Replicate replicate;
  Compare compare;
  Shadow shadow;
  Tls client_tls;
  Tls server_tls{TlsMode::prefer, {}, {}, {}, ChannelBinding::prefer};
};

struct Control {
  Address listen;          // default 127.0.0.1:6480
  std::string token_file;  // required when listen is neither loopback nor unix
  std::string token;       // its content, trimmed
  std::string state_dir = "/var/lib/turnout";
};

// Host names of the databases (proxy/resolver.h).
struct Dns {
  std::uint32_t ttl_ms_min = 1'000;   // an answer is asked for again no sooner, whatever its TTL
  std::uint32_t ttl_ms_max = 60'000;  // and no later
  std::uint32_t timeout_ms = 2'000;   // of one question, all tries and name servers together
  std::vector<Address> servers;       // numeric; empty = /etc/resolv.conf
};

struct Config {
  std::string file;
  std::vector<Deployment> deployments;
  Control control;
  Dns dns;
  std::uint32_t workers = 0;       // 0 = one a core
  std::string log_level = "info";  // trace debug info warn error
};

}  // namespace turnout::conf
