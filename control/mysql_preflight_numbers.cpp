// AUTO_INCREMENT: is there room for more, and does the follower go on where the writer stops?

#include <fmt/format.h>

#include "control/mysql_preflight.h"
#include "control/step_context.h"

namespace turnout::control {

namespace {

constexpr const char* numbers = "auto_increment";
constexpr const char* bound = "room for a tenth more of each type, and no number is given out twice";
constexpr double full = 0.9;
constexpr int looks = 3;
constexpr const char* counters_sql =
    "SELECT CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME), t.AUTO_INCREMENT, c.COLUMN_TYPE FROM information_schema.TABLES "
    "t JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME AND "
    "c.EXTRA LIKE '%auto_increment%' WHERE t.AUTO_INCREMENT IS NOT NULL AND t.TABLE_SCHEMA NOT IN ";

std::optional<MysqlCounters> read_counters(MysqlLook& look, router::Side side) {
  const auto rows = look.ask(numbers, side, std::string(counters_sql) + mysql_own_schemas);
  if (!rows) return std::nullopt;
  MysqlCounters out;
  for (std::size_t row = 0; row < rows->size(); ++row)
    out[rows->text(row, 0)] = {mysql_number(rows->text(row, 1)), last_of_type(rows->text(row, 2))};
  return out;
}

// Everything that the writer has committed so far has arrived. Nothing: the check has its verdict.
std::optional<bool> has_applied(MysqlLook& look) {
  const auto position = look.ask_log_end(numbers);
  return position ? look.ask_applied(numbers, *position) : std::nullopt;
}

}  // namespace

std::uint64_t last_of_type(const std::string& column_type) {
  const auto bits_of = [&]() -> unsigned {
    if (column_type.starts_with("tinyint")) return 8;
    if (column_type.starts_with("smallint")) return 16;
    if (column_type.starts_with("mediumint")) return 24;
    if (column_type.starts_with("int")) return 32;
    return column_type.starts_with("bigint") ? 64 : 0;
  };
  const unsigned bits = bits_of();
  if (bits == 0) return 0;
  const bool is_signed = column_type.find("unsigned") == std::string::npos;
  return ~std::uint64_t{0} >> (64 - bits + (is_signed ? 1 : 0));
}

std::vector<std::string> nearly_full(const MysqlCounters& counters) {
  std::vector<std::string> out;
  for (const auto& [table, counter] : counters) {
    if (counter.last != 0 && static_cast<double>(counter.next) >= full * static_cast<double>(counter.last))
      out.push_back(fmt::format("{}: next {} of {}", table, counter.next, counter.last));
  }
  return out;
}

std::vector<std::string> given_out_again(const MysqlCounters& here, const MysqlCounters& there) {
  std::vector<std::string> out;
  for (const auto& [table, counter] : here) {
    const auto found = there.find(table);
    if (found != there.end() && found->second.next < counter.next)
      out.push_back(fmt::format("{}: {} there, {} here", table, found->second.next, counter.next));
  }
  return out;
}

void check_numbers(MysqlLook& look) {
  if (!look.pair) return look.could_not_look(numbers, look.no_pair);
  const auto here = read_counters(look, look.from);
  if (!here) return;
  auto findings = nearly_full(*here);
  std::vector<std::string> again;
  // What was being inserted as `here` was read has a number and is not there yet: it has when it is looked again.
  for (int times = 0; times < looks; ++times) {
    const auto applied = has_applied(look);
    if (!applied) return;
    if (!*applied) {
      again = {"not compared: the follower is behind"};
      break;
    }
    const auto there = read_counters(look, look.to);
    if (!there) return;
    again = given_out_again(*here, *there);
    if (again.empty()) break;
    long_pause();
  }
  findings.insert(findings.end(), again.begin(), again.end());
  look.verdict(
      numbers, Verdict::warn, findings, fmt::format("{} tables", here->size()), bound,
      "a larger type; where the follower is behind: ALTER TABLE … AUTO_INCREMENT = … there with sql_log_bin = 0, "
      "if anybody remembers numbers of rows that were rolled back or deleted");
}

}  // namespace turnout::control
