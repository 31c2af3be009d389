#include "control/preflight_look.h"

#include <utility>

namespace turnout::control {

namespace {
constexpr std::uint32_t connect_ms_max = 5'000;
}

Look::Look(StepContext& the_context, router::Side the_writer, const std::atomic<bool>& the_give_up)
    : context(the_context),
      give_up(the_give_up),
      config(the_context.config()),
      from(the_writer),
      to(router::other(the_writer)) {
  auto found = discover(context.shelf, from, config.databases);
  if (found) {
    topology = std::move(*found);
  } else {
    no_topology = found.error();
    topology.from = from;
  }
}

std::string Look::any_database() const {
  if (!topology.streams.empty()) return topology.streams.front().database;
  return config.databases.empty() ? "postgres" : config.databases.front();
}

std::vector<std::string> Look::databases() const {
  auto names = topology.databases();
  return names.empty() ? config.databases : names;
}

std::optional<PgRows> Look::ask(const char* name, router::Side side, const std::string& database,
                                const std::string& sql, const std::vector<std::string>& parameters) {
  if (give_up) {
    fail(name, "not looked: given up", "", "ask again");
    return std::nullopt;
  }
  auto loan = context.shelf.take(side, database, connect_ms_max);
  auto rows = !loan                ? PgOutcome<PgRows>(loan.error())
              : parameters.empty() ? (*loan)->query(sql, quiet_ms_max)
                                   : (*loan)->query(sql, parameters, quiet_ms_max);
  if (rows) return std::move(*rows);
  fail(name, "could not look: " + rows.error().message(), "",
       "see that turnout's admin can log in there and may read the catalogs");
  return std::nullopt;
}

std::optional<PgRows> Look::ask(const char* name, router::Side side, const std::string& sql) {
  return ask(name, side, any_database(), sql);
}

std::optional<Names> Look::names(const char* name, router::Side side, const std::string& database, const char* sql) {
  const auto rows = ask(name, side, database, sql);
  if (!rows) return std::nullopt;
  Names found;
  for (int row = 0; row < rows->size(); ++row) found.emplace(rows->text(row, 0), rows->text(row, 1));
  return found;
}

}  // namespace turnout::control
