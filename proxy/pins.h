// Why a session stays with its server connection after a transaction: state that only that connection has. One table of
// the reasons, for sessions, metrics and reports.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace turnout::proxy {

enum Pin : std::uint32_t {
  pin_temp_object = 1,
  pin_hold_cursor = 2,
  pin_listen = 4,
  pin_advisory_lock = 8,
  pin_sql_prepare = 16,
  pin_set_config = 32,
  pin_load = 64,
  pin_unwatched = 128,
  pin_savepoint_set = 256,
  pin_user_variable = 512,  // MySQL
  pin_table_lock = 1024,    // MySQL
};
// By bit.
inline constexpr std::array<const char*, 11> pin_names = {
    "temp_object", "hold_cursor", "listen",        "advisory_lock", "sql_prepare", "set_config",
    "load",        "unwatched",   "savepoint_set", "user_variable", "table_lock"};
inline constexpr std::size_t pin_count = pin_names.size();

// Those whose end can be asked of the server.
inline constexpr std::uint32_t pins_that_end = pin_temp_object | pin_hold_cursor | pin_advisory_lock | pin_sql_prepare;

}  // namespace turnout::proxy
