// Do the statements that living sessions hold mean something on the follower? A type, table or column that is missing
// there would be found by the first session that comes over; here it is found in time.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#include "control/preflight_look.h"
#include "protocol/pg/wire.h"
#include "router/query_shape.h"

namespace turnout::control {

namespace {

constexpr const char* check_name = "prepared_statements";
constexpr std::uint32_t connect_ms_max = 5'000;
constexpr std::uint32_t parse_ms_max = 2'000;
constexpr std::size_t texts_max = 500;  // a look; more have the same tables
constexpr std::size_t shape_bytes_max = 100;
constexpr std::uint32_t first_own_oid = 16'384;  // FirstNormalObjectId: types below it are the same everywhere

struct Statement {
  std::string sql;
  std::vector<std::uint32_t> types;
  bool knows_types = true;
};

// A Parse message's query and parameter types. User-defined types have other numbers there: the server says which.
Statement statement_of(const std::string& content) {
  Statement statement;
  protocol::pg::Reader reader(protocol::pg::bytes_of(content));
  statement.sql = std::string(reader.cstring().value_or(""));
  const auto count = reader.u16().value_or(0);
  for (std::uint16_t i = 0; i < count; ++i) {
    const std::uint32_t type = reader.u32().value_or(0);
    statement.types.push_back(type < first_own_oid ? type : 0);
    if (type >= first_own_oid) statement.knows_types = false;
  }
  return statement;
}

// What is missing, or means something else. Not what the server cannot tell without the types.
bool counts(const PgError& error, const Statement& statement) {
  if (!error.sqlstate.starts_with("42") && !error.sqlstate.starts_with("3F")) return false;
  const bool is_about_types = error.sqlstate == "42P18" || error.sqlstate == "42P08" || error.sqlstate == "42725";
  return statement.knows_types || !is_about_types;
}

// One side's opinion, with the names that this user sees by default.
class Reader {
 public:
  Reader(Look& look, router::Side side) : look_(look), side_(side) {}

  // nullopt: it could not be asked.
  std::optional<PgOutcome<PgRows>> parse(const std::string& database, const std::string& user,
                                         const Statement& statement) {
    if (!client_ || !client_->is_usable() || database_ != database || user_ != user) {
      client_.reset();
      auto fresh = look_.context.shelf.fresh(side_, database, connect_ms_max);
      if (!fresh) return std::nullopt;
      const auto path = quote_identifier(user) + ", public";
      if (!fresh->query("SELECT set_config('search_path', $1, false)", {path}, parse_ms_max)) return std::nullopt;
      client_ = std::move(*fresh);
      database_ = database;
      user_ = user;
    }
    return client_->parse(statement.sql, statement.types, parse_ms_max);
  }

 private:
  Look& look_;
  const router::Side side_;
  std::optional<PgClient> client_;
  std::string database_, user_;
};

}  // namespace

void check_statements(Look& look) {
  auto texts = look.context.proxy.prepared_texts(look.context.index);
  const std::size_t all = texts.size();
  if (texts.size() > texts_max) texts.resize(texts_max);
  const auto moved = look.databases();
  Reader there(look, look.to), here(look, look.from);
  std::vector<std::string> missing;
  for (const auto& text : texts) {
    if (look.give_up) break;
    if (std::find(moved.begin(), moved.end(), text.database) == moved.end()) continue;
    const Statement statement = statement_of(text.content);
    const auto parsed = there.parse(text.database, text.user, statement);
    if (!parsed) {
      look.fail(check_name, "could not look", "", "see that turnout's admin can log in on both sides");
      return;
    }
    if (*parsed || !counts(parsed->error(), statement)) continue;
    // What we cannot parse on the writer either says nothing: its user's default search_path is another one.
    const auto known = here.parse(text.database, text.user, statement);
    if (!known || !*known) continue;
    missing.push_back(fmt::format("client {}: {}: {}", text.client, router::query_shape(statement.sql, shape_bytes_max),
                                  parsed->error().text));
  }
  look.verdict(check_name, Verdict::fail, missing,
               fmt::format("{} of {} statements of living sessions", texts.size(), all),
               "each of them means something on the follower",
               "give the follower what is missing; a session whose statement it cannot parse fails after the flip");
}

}  // namespace turnout::control
