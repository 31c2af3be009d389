#include "proxy/mysql/shadow_request.h"

namespace turnout::proxy::mysql {

namespace {

// The form with a row for each table, which both products know and which holds no literal.
constexpr std::string_view explain = "EXPLAIN FORMAT=TRADITIONAL ";

}  // namespace

std::size_t ShadowRequest::bytes() const {
  std::size_t bytes = sizeof *this + database.size() + sql.size() + key.size() + execute.size();
  for (const auto& [name, value] : variables.entries()) bytes += name.size() + value.size() + sizeof name * 2;
  return bytes;
}

std::unique_ptr<ShadowRead> ShadowRequest::explained() const {
  auto asked = std::make_unique<ShadowRequest>(*this);
  asked->sql.insert(0, explain);
  if (is_prepared()) asked->key.append(explain);  // behind the text, which no other one ends with
  return asked;
}

Variables shadow_variables(const Variables& session, std::uint32_t statement_ms_max, bool is_mariadb) {
  Variables variables = session;
  const std::uint32_t ms = statement_ms_max % 1000;
  const std::string seconds = std::to_string(statement_ms_max / 1000) + "." + std::to_string(1000 + ms).substr(1);
  // Beyond as many as are followed it has none, and the lane's own limit ends it.
  static_cast<void>(is_mariadb ? variables.set("max_statement_time", seconds)
                               : variables.set("max_execution_time", std::to_string(statement_ms_max)));
  return variables;
}

}  // namespace turnout::proxy::mysql
