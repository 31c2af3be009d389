// The text of a KILL that names a connection by its number, which is what clients send to end a statement or another
// connection; in a prepared one the number may be a parameter (MariaDB). Pure.
// Source: MariaDB "KILL [CONNECTION | QUERY]", MySQL "KILL Statement"; COM_PROCESS_KILL: MySQL 8.3 "What Is New",
// removed functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "protocol/mysql/command.h"

namespace turnout::protocol::mysql {

inline constexpr std::size_t kill_bytes_max = 1024;  // longer texts are not looked at

struct Kill {
  std::uint64_t connection = 0;
  bool is_query_only = false;  // what it runs now, else the connection
  bool is_parameter = false;   // `?` in place of the number, which comes with the execution
  friend bool operator==(const Kill&, const Kill&) = default;
};
// Nothing: another statement, or a KILL by a user, an expression, the number of a query, or one of several statements.
[[nodiscard]] std::optional<Kill> parse_kill(std::string_view sql);

// The number that an execution brings as the statement's only parameter. Nothing: it is not there (NULL, sent ahead as
// long data) or not a whole number. `types`: of the parameters, those of an earlier execution where it has none.
[[nodiscard]] std::optional<std::uint64_t> killed_by(Bytes payload, const Execute& execute, std::string_view types);

// MySQL's servers from 8.3 on call the command unknown (measured on 9.7). `version`: as the server greets.
[[nodiscard]] bool has_process_kill(bool is_mariadb, std::string_view version);

}  // namespace turnout::protocol::mysql
