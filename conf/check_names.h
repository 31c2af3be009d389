// The names of the preflight's checks: what a waiver may name. Here, because a configuration names them too.
// Always true: control/preflight answers with exactly these (a test compares the two).
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace turnout::conf {

inline constexpr auto check_names = std::to_array<std::string_view>({
    "replication.active",
    "replication.lag",
    "replication.errors",
    "replication.tables_ready",
    "replication.coverage",
    "slot.active",
    "slot.retained_wal",
    "wal_level",
    "reverse.possible",
    "replica_identity",
    "schema.parity",
    "schema.drift",
    "types.oids",
    "extensions.parity",
    "sequences.readable",
    "partitions",
    "unsupported_objects",
    "settings.parity",
    "jobs",
    "privileges",
    "roles.parity",
    "roles.passwords",
    "fence.effective",
    "auth.every_user",
    "identity",
    "version",
    "green.read_only",
    "green.no_writes",
    "green.capacity",
    "green.connections",
    "green.statistics",
    "green.triggers",
    "green.warm",
    "databases.outside",
    "subscription.owner",
    "long_transactions",
    "running_ddl",
    "prepared_statements",
    "prepared_transactions",
    "bypassing_clients",
    "superuser_sessions",
    "unmovable_sessions",
    "replication_clients",
    "rehearsal.recent",
    "cdc.anchors",
});

// What protocol mysql has beside some of those.
inline constexpr auto mysql_check_names =
    std::to_array<std::string_view>({"auto_increment", "binlog", "replication.filters", "replication.gtid"});

[[nodiscard]] bool is_check_name(std::string_view name);
// What is wrong with a waiver of a check that does not exist, and what was probably meant.
[[nodiscard]] std::string no_such_check(std::string_view name);

}  // namespace turnout::conf
