// What a comparison looks like for people: a line while it runs, tables of tables and rows when it has ended.
#include <fmt/format.h>

#include <algorithm>

#include "control/render.h"

namespace turnout::control {
namespace {

namespace json = boost::json;

constexpr std::size_t bar_columns = 20;
constexpr std::size_t rows_shown = 40;

std::string counts_of(const json::value& body) {
  std::string out;
  for (const auto& [key, words] : {std::pair{"differences", " differences"}, std::pair{"unsettled", " unsettled"},
                                   std::pair{"failed", " tables not compared"}}) {
    if (number_at(body, key) > 0) out += ", " + text_at(body, key) + words;
  }
  return out;
}

std::string row_text(const json::value& row) {
  std::string out = text_at(row, "key");
  if (const auto text = text_at(row, "text"); !text.empty()) out += text;
  if (const auto columns = text_at(row, "columns"); !columns.empty()) out += "  in " + columns;
  return out;
}

std::string rows_table(const json::array& list, bool with_kind) {
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < std::min(list.size(), rows_shown); ++i) {
    rows.push_back({text_at(list[i], "table"), text_at(list[i], "kind"), row_text(list[i])});
    if (!with_kind) rows.back().erase(rows.back().begin() + 1);
  }
  std::vector<Column> columns{{"TABLE"}, {"KIND"}, {"ROW"}};
  if (!with_kind) columns.erase(columns.begin() + 1);
  std::string out = table(columns, rows, "");
  if (list.size() > rows_shown) out += fmt::format("and {} more: -o json has them all\n", list.size() - rows_shown);
  return out;
}

}  // namespace

std::string render_comparison_line(const json::value& body) {
  const double percent = std::clamp(number_at(body, "percent"), 0.0, 100.0);
  const auto full = static_cast<std::size_t>(percent / 100 * bar_columns);
  std::string out = '[' + std::string(full, '#') + std::string(bar_columns - full, '.') + ']' +
                    fmt::format(" {:5.1f} %  {} rows{}", percent, text_at(body, "rows"), counts_of(body));
  if (const auto waits = text_at(body, "waiting_for"); !waits.empty()) {
    out += "  waits: " + waits;
  } else if (const auto current = text_at(body, "current"); !current.empty()) {
    out += "  " + current;
  }
  return shortened(out, screen_columns - 1);
}

std::string comparison_line(std::string_view deployment, const json::value& comparison) {
  const auto phase = text_at(comparison, "phase");
  if (phase.empty()) return "";
  std::string out = harmless(deployment) + ": comparison " + phase;
  if (phase == "running" || phase == "paused") out += ", " + text_at(comparison, "percent") + " %";
  if (const auto outcome = text_at(comparison, "outcome"); !outcome.empty()) {
    out += " at " + text_at(comparison, "ended_at") + ": " + outcome;
  }
  return wrapped(out + counts_of(comparison), 0);
}

std::string render_comparison(const json::value& body) {
  const auto phase = text_at(body, "phase"), outcome = text_at(body, "outcome");
  if (phase.empty()) return render_done(body);
  if (phase == "none") return "no comparison yet\n" + wrapped(text_at(body, "reason"), 2);
  std::string out = (outcome.empty() ? phase + " at " + text_at(body, "percent") + " %" : outcome) + ": " +
                    text_at(body, "rows") + " rows of " + std::to_string(list_at(body, "tables").size()) + " tables" +
                    counts_of(body) + '\n';
  if (const auto reason = text_at(body, "reason"); !reason.empty()) out += wrapped(reason, 2);
  if (const auto waits = text_at(body, "waiting_for"); !waits.empty()) out += wrapped("waits: " + waits, 2);
  const auto right = Align::right;
  std::vector<std::vector<std::string>> rows;
  std::string notes;
  for (const auto& one : list_at(body, "tables")) {
    const auto differing = text_at(one, "differences");
    rows.push_back({text_at(one, "database"), text_at(one, "table"), text_at(one, "stage"), text_at(one, "mode"),
                    text_at(one, "rows"), differing == "0" ? "" : differing,
                    text_at(one, "unsettled") == "0" ? "" : text_at(one, "unsettled")});
    const std::string head = text_at(one, "table") + ": ";
    if (const auto error = text_at(one, "error"); !error.empty()) notes += wrapped(head + error, 0);
    for (const auto& note : list_at(one, "notes")) notes += wrapped(head + one_line(note), 0);
    if (text_at(one, "cut_short") == "true") notes += wrapped(head + "not read to its end: too many differences", 0);
  }
  out += '\n' +
         table({{"DATABASE"}, {"TABLE"}, {"STAGE"}, {"MODE"}, {"ROWS", right}, {"DIFFER", right}, {"UNSETTLED", right}},
               rows, "no tables");
  if (!notes.empty()) out += '\n' + notes;
  if (const auto missing = text_at(body, "not_published"); !missing.empty()) {
    out += wrapped("not published, not compared: " + missing, 0);
  }
  if (const auto& list = list_at(body, "differing"); !list.empty()) out += '\n' + rows_table(list, true);
  if (const auto& list = list_at(body, "unsettled_rows"); !list.empty()) {
    out += "\nkept changing\n" + rows_table(list, false);
  }
  return out;
}

}  // namespace turnout::control
