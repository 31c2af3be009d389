// shadow_read.h of MySQL and MariaDB: a text, or an execution of a prepared statement with its values, in the database
// and under the variables of its session.
//
// Owns all of it. On a connection that has the statement, prepared under the same names and settings, it is executed as
// it is for clients.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/mysql/variables.h"
#include "proxy/shadow_read.h"

namespace turnout::proxy::mysql {

struct ShadowRequest final : ShadowRead {
  std::string database;  // "" = none
  Variables variables;
  std::string sql;
  std::string key;      // of the prepared statement: ServerConnection::find_statement; "" = a text
  std::string execute;  // the payload, with the types of its values; the number of the statement is put in place

  [[nodiscard]] bool is_prepared() const { return !execute.empty(); }
  [[nodiscard]] std::string_view text() const override { return sql; }
  [[nodiscard]] std::size_t bytes() const override;
  [[nodiscard]] std::unique_ptr<ShadowRead> explained() const override;
};

// The session's, with the shadow's own time limit.
[[nodiscard]] Variables shadow_variables(const Variables& session, std::uint32_t statement_ms_max, bool is_mariadb);

}  // namespace turnout::proxy::mysql
