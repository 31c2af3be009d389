#include "protocol/pg/advisory_lock.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "protocol/pg/sql_lexer.h"

namespace turnout::protocol::pg {

namespace {

std::string call(std::string_view function, const AdvisoryLock& lock) {
  return "pg_catalog." + std::string(function) + (lock.is_shared ? "_shared(" : "(") + lock.key() + ")";
}

std::optional<std::uint32_t> take_number(std::string_view& text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (text.starts_with(' ')) text.remove_prefix(1);
  return number;
}

std::int64_t whole_key(const AdvisoryLock& lock) {
  return static_cast<std::int64_t>((std::uint64_t{lock.high} << 32U) | lock.low);
}

// What keys are made with.
bool may_be_in_key(const Token& token) {
  static constexpr std::array<std::string_view, 20> words = {"pg_catalog",
                                                             "hashtext",
                                                             "hashtextextended",
                                                             "md5",
                                                             "abs",
                                                             "cast",
                                                             "as",
                                                             "current_database",
                                                             "left",
                                                             "substr",
                                                             "int",
                                                             "int4",
                                                             "int8",
                                                             "text",
                                                             "integer",
                                                             "bigint",
                                                             "bit",
                                                             "varchar",
                                                             "lower",
                                                             "concat"};
  if (token.kind == TokenKind::number || token.kind == TokenKind::literal) return true;
  if (token.kind == TokenKind::symbol) return std::string_view("(),:-+$|.").find(token.text) != std::string_view::npos;
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return token.is_word(word); });
}

}  // namespace

bool waits_for_one_lock(std::string_view sql) {
  SqlLexer lexer(sql);
  if (!lexer.next().is_word("select")) return false;
  Token token = lexer.next();
  if (token.is_word("pg_catalog")) {
    if (!lexer.next().is_symbol('.')) return false;
    token = lexer.next();
  }
  if (!token.is_word("pg_advisory_lock") && !token.is_word("pg_advisory_lock_shared")) return false;
  if (!lexer.next().is_symbol('(')) return false;
  for (int depth = 1; depth > 0;) {
    token = lexer.next();
    if (!may_be_in_key(token)) return false;
    depth += token.is_symbol('(') ? 1 : token.is_symbol(')') ? -1 : 0;
  }
  token = lexer.next();
  if (token.is_word("as")) {
    if (lexer.next().name().empty()) return false;
    token = lexer.next();
  }
  if (token.is_symbol(';')) token = lexer.next();
  return token.kind == TokenKind::end;
}

std::string AdvisoryLock::key() const {
  if (!is_pair) return "'" + std::to_string(whole_key(*this)) + "'::pg_catalog.int8";
  return "'" + std::to_string(static_cast<std::int32_t>(high)) + "'::pg_catalog.int4, '" +
         std::to_string(static_cast<std::int32_t>(low)) + "'::pg_catalog.int4";
}

std::string AdvisoryLock::text() const {
  const std::string numbers = is_pair ? "(" + std::to_string(static_cast<std::int32_t>(high)) + ", " +
                                            std::to_string(static_cast<std::int32_t>(low)) + ")"
                                      : std::to_string(whole_key(*this));
  return is_shared ? numbers + " shared" : numbers;
}

bool AdvisoryLock::is_same(const AdvisoryLock& other) const {
  return high == other.high && low == other.low && is_pair == other.is_pair && is_shared == other.is_shared;
}

std::string ask_advisory_locks() {
  return "SELECT pg_catalog.concat_ws(' ', l.classid, l.objid, l.objsubid, l.mode, EXISTS (SELECT FROM "
         "pg_catalog.pg_locks w WHERE w.locktype = 'advisory' AND NOT w.granted AND w.database = l.database AND "
         "w.classid = l.classid AND w.objid = l.objid AND w.objsubid = l.objsubid)) FROM pg_catalog.pg_locks l "
         "WHERE l.locktype = 'advisory' AND l.granted AND l.pid = pg_catalog.pg_backend_pid()";
}

std::optional<AdvisoryLock> parse_advisory_lock(std::string_view row) {
  const auto high = take_number(row);
  const auto low = take_number(row);
  const auto kind = take_number(row);
  if (!high || !low || !kind || (*kind != 1 && *kind != 2)) return std::nullopt;
  const bool is_shared = row.starts_with("ShareLock ");
  if (!is_shared && !row.starts_with("ExclusiveLock ")) return std::nullopt;
  return AdvisoryLock{*high, *low, *kind == 2, is_shared, row.ends_with(" t")};
}

std::optional<std::uint32_t> parse_count(std::string_view row) {
  const auto count = take_number(row);
  return row.empty() ? count : std::nullopt;
}

std::string try_advisory_locks(const AdvisoryLocks& locks) {
  std::string sql;
  for (const AdvisoryLock& lock : locks) sql += "SELECT " + call("pg_try_advisory_lock", lock) + "; ";
  return sql;
}

std::string release_advisory_locks(const AdvisoryLocks& locks) {
  std::string sql;
  for (const AdvisoryLock& lock : locks) sql += "SELECT " + call("pg_advisory_unlock", lock) + "; ";
  return sql + ask_advisory_locks();
}

std::string drain_advisory_locks(const AdvisoryLocks& locks) {
  std::string sql;
  for (const AdvisoryLock& lock : locks) {
    const std::string unlock = call("pg_advisory_unlock", lock);
    sql += "WITH RECURSIVE each(held) AS (SELECT " + unlock + " UNION ALL SELECT " + unlock +
           " FROM each WHERE held) SELECT pg_catalog.count(*) FILTER (WHERE held) FROM each; ";
  }
  return sql;
}

std::string repeat_advisory_locks(const AdvisoryLocks& locks) {
  std::string sql;
  for (const AdvisoryLock& lock : locks) {
    if (lock.times < 2) continue;
    sql += "SELECT pg_catalog.count(" + call("pg_advisory_lock", lock) + ") FROM pg_catalog.generate_series(2, " +
           std::to_string(lock.times) + "); ";
  }
  return sql;
}

}  // namespace turnout::protocol::pg
