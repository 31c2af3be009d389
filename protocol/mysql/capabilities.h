// What the two ends of a connection can do, and what of it Turnout lets a client and a server agree on.
//
// A client keeps its dialect for life, but its session moves between servers: so a client is offered only what blue,
// green and Turnout all can (offer()), and each server connection is opened with exactly what its clients agreed to
// (towards_server()), so that a server answers in the words that the client expects. Three kinds of capabilities:
//  - of one hop (TLS, how the login is written, trackers): chosen for each connection by itself;
//  - of the dialect (FOUND_ROWS, MULTI_STATEMENTS, the form of rows …): the client's choice, the same on its server
//    connection, hence part of what tells pools apart (dialect());
//  - never offered: compression, LOCAL INFILE, several factors, metadata that a server leaves out because it remembers
//    that it was sent (the next server does not).
// The two forms of the end of a result (DEPRECATE_EOF) and the trackers are translated (translation.h), so they are of
// one hop. Pure functions of sets. Source: MySQL "Capabilities Flags"; MariaDB "Connection" (extended capabilities).
#pragma once

#include <cstdint>
#include <optional>

namespace turnout::protocol::mysql {

// MariaDB's extended capabilities are the upper half. Bit 0 says "not MariaDB": only without it the upper half is sent.
using Capabilities = std::uint64_t;

namespace capability {
inline constexpr Capabilities long_password = 1ULL << 0;
inline constexpr Capabilities found_rows = 1ULL << 1;
inline constexpr Capabilities long_flag = 1ULL << 2;
inline constexpr Capabilities connect_with_db = 1ULL << 3;
inline constexpr Capabilities no_schema = 1ULL << 4;
inline constexpr Capabilities compress = 1ULL << 5;
inline constexpr Capabilities odbc = 1ULL << 6;
inline constexpr Capabilities local_files = 1ULL << 7;
inline constexpr Capabilities ignore_space = 1ULL << 8;
inline constexpr Capabilities protocol_41 = 1ULL << 9;
inline constexpr Capabilities interactive = 1ULL << 10;
inline constexpr Capabilities tls = 1ULL << 11;
inline constexpr Capabilities ignore_sigpipe = 1ULL << 12;
inline constexpr Capabilities transactions = 1ULL << 13;
inline constexpr Capabilities reserved = 1ULL << 14;
inline constexpr Capabilities secure_connection = 1ULL << 15;
inline constexpr Capabilities multi_statements = 1ULL << 16;
inline constexpr Capabilities multi_results = 1ULL << 17;
inline constexpr Capabilities statement_multi_results = 1ULL << 18;
inline constexpr Capabilities plugin_auth = 1ULL << 19;
inline constexpr Capabilities connect_attributes = 1ULL << 20;
inline constexpr Capabilities long_auth_response = 1ULL << 21;  // its length is a length-encoded integer
inline constexpr Capabilities expired_passwords = 1ULL << 22;
inline constexpr Capabilities session_track = 1ULL << 23;
inline constexpr Capabilities deprecate_eof = 1ULL << 24;
inline constexpr Capabilities optional_metadata = 1ULL << 25;
inline constexpr Capabilities zstd = 1ULL << 26;
inline constexpr Capabilities query_attributes = 1ULL << 27;
inline constexpr Capabilities several_factors = 1ULL << 28;
inline constexpr Capabilities verify_certificate = 1ULL << 30;
inline constexpr Capabilities remember_options = 1ULL << 31;
// MariaDB
inline constexpr Capabilities progress = 1ULL << 32;
inline constexpr Capabilities bulk_execute = 1ULL << 34;
inline constexpr Capabilities extended_metadata = 1ULL << 35;
inline constexpr Capabilities cached_metadata = 1ULL << 36;
inline constexpr Capabilities bulk_results = 1ULL << 37;
}  // namespace capability

// What a server connection has, without which Turnout does not talk to it (MySQL 5.7, MariaDB 10.2 and later have it).
inline constexpr Capabilities required_of_server =
    capability::protocol_41 | capability::secure_connection | capability::plugin_auth;
// Without these a client is of before 4.1: its words are not known here.
inline constexpr Capabilities required_of_client = capability::protocol_41 | capability::secure_connection;

// Those that a session must find again on whatever server connection it gets.
inline constexpr Capabilities dialect_mask =
    capability::found_rows | capability::no_schema | capability::odbc | capability::ignore_space |
    capability::interactive | capability::multi_statements | capability::multi_results |
    capability::statement_multi_results | capability::expired_passwords | capability::optional_metadata |
    capability::query_attributes | capability::progress | capability::bulk_execute | capability::extended_metadata |
    capability::bulk_results;
// Said of every connection alike.
inline constexpr Capabilities always = capability::long_flag | capability::protocol_41 | capability::transactions |
                                       capability::reserved | capability::secure_connection | capability::plugin_auth |
                                       capability::long_auth_response;
inline constexpr Capabilities mariadb_mask = 0xffff'ffffULL << 32;

// What the greeting towards clients says. Green: what its servers greet with, when there is one.
[[nodiscard]] Capabilities offer(Capabilities blue, std::optional<Capabilities> green, bool has_tls);

// What a client that answers `wanted` to `offered` gets; nothing: it lacks what is required.
[[nodiscard]] std::optional<Capabilities> agree(Capabilities offered, Capabilities wanted);

// The part of an agreement that its server connections must share.
[[nodiscard]] inline Capabilities dialect(Capabilities agreed) {
  return agreed & dialect_mask;
}

// How a server connection for sessions of this dialect is opened: `capabilities` goes into its handshake response.
// `missing`: of the dialect, or of what is required, what this server lacks; then it cannot carry such a session.
struct Towards {
  Capabilities capabilities = 0;
  Capabilities missing = 0;
};
[[nodiscard]] Towards towards_server(Capabilities dialect, Capabilities server, bool with_tls, bool with_database);

}  // namespace turnout::protocol::mysql
