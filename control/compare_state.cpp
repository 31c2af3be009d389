#include "control/compare_state.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>

namespace turnout::control {

namespace {

namespace json = boost::json;

constexpr std::int64_t version = 1;
constexpr std::array phases = {ComparePhase::none,     ComparePhase::running, ComparePhase::paused,
                               ComparePhase::finished, ComparePhase::stopped, ComparePhase::interrupted};
constexpr std::array stages = {TableStage::waiting, TableStage::running, TableStage::done, TableStage::failed};

template <typename T, std::size_t count>
std::optional<T> named(const std::array<T, count>& all, std::string_view text) {
  for (const auto one : all) {
    if (text == name(one)) return one;
  }
  return std::nullopt;
}

json::array to_json(const std::vector<std::string>& list) {
  json::array out;
  for (const auto& one : list) out.emplace_back(one);
  return out;
}

json::array to_json(const std::vector<RowKey>& keys) {
  json::array out;
  for (const auto& one : keys) out.emplace_back(to_json(one));
  return out;
}

// Reads a document of which nothing is certain; one thing that is not as it should be spoils the whole.
class Reader {
 public:
  [[nodiscard]] bool is_good() const { return good_; }

  std::string text(const json::object& from, std::string_view key) {
    const auto* found = from.if_contains(key);
    return found != nullptr && found->is_string() ? std::string(found->get_string()) : spoiled<std::string>();
  }
  bool flag(const json::object& from, std::string_view key) {
    const auto* found = from.if_contains(key);
    return found != nullptr && found->is_bool() ? found->get_bool() : spoiled<bool>();
  }
  std::uint64_t number(const json::object& from, std::string_view key) {
    const auto* found = from.if_contains(key);
    if (found != nullptr && found->is_uint64()) return found->get_uint64();
    if (found == nullptr || !found->is_int64() || found->get_int64() < 0) return spoiled<std::uint64_t>();
    return static_cast<std::uint64_t>(found->get_int64());
  }
  std::vector<std::string> texts(const json::value& value) {
    const auto* list = value.if_array();
    if (list == nullptr) return spoiled<std::vector<std::string>>();
    std::vector<std::string> out;
    for (const auto& one : *list)
      out.push_back(one.is_string() ? std::string(one.get_string()) : spoiled<std::string>());
    return out;
  }
  std::vector<std::string> texts(const json::object& from, std::string_view key) {
    const auto* found = from.if_contains(key);
    return found == nullptr ? spoiled<std::vector<std::string>>() : texts(*found);
  }
  const json::array& list(const json::object& from, std::string_view key) {
    static const json::array nothing;
    const auto* found = from.if_contains(key);
    if (found != nullptr && found->is_array()) return found->get_array();
    good_ = false;
    return nothing;
  }
  const json::object& object(const json::value& value) {
    static const json::object nothing;
    if (value.is_object()) return value.get_object();
    good_ = false;
    return nothing;
  }
  template <typename T>
  T spoiled() {
    good_ = false;
    return T{};
  }

 private:
  bool good_ = true;
};

json::object stored(const TableState& one) {
  json::array differences;
  for (const auto& each : one.differences) {
    differences.push_back(json::object{
        {"kind", each.kind}, {"key", to_json(each.key)}, {"columns", to_json(each.columns)}, {"text", each.text}});
  }
  return {{"database", one.database},
          {"schema", one.table.schema},
          {"name", one.table.name},
          {"stage", name(one.stage)},
          {"mode", one.mode},
          {"key", to_json(one.key)},
          {"backward", one.is_backward},
          {"after", one.after ? json::value(to_json(*one.after)) : json::value(nullptr)},
          {"rows", one.rows},
          {"rows_back", one.rows_back},
          {"rows_estimate", one.rows_estimate},
          {"pieces", one.pieces},
          {"differences", std::move(differences)},
          {"cut_short", one.is_cut_short},
          {"unsettled", to_json(one.unsettled)},
          {"unsettled_more", one.unsettled_more},
          {"notes", to_json(one.notes)},
          {"error", one.error}};
}

TableState restored(Reader& read, const json::object& from) {
  TableState out;
  out.database = read.text(from, "database");
  out.table = {read.text(from, "schema"), read.text(from, "name")};
  const auto stage = named(stages, read.text(from, "stage"));
  out.stage = stage ? *stage : read.spoiled<TableStage>();
  out.mode = read.text(from, "mode");
  out.key = read.texts(from, "key");
  out.is_backward = read.flag(from, "backward");
  if (const auto* after = from.if_contains("after"); after != nullptr && !after->is_null()) {
    out.after = read.texts(*after);
    if (out.after->size() != out.key.size() || out.key.empty()) read.spoiled<bool>();
  }
  out.rows = read.number(from, "rows");
  out.rows_back = read.number(from, "rows_back");
  out.rows_estimate = read.number(from, "rows_estimate");
  out.pieces = read.number(from, "pieces");
  for (const auto& value : read.list(from, "differences")) {
    const auto& one = read.object(value);
    out.differences.push_back(
        {read.text(one, "kind"), read.texts(one, "key"), read.texts(one, "columns"), read.text(one, "text")});
  }
  out.is_cut_short = read.flag(from, "cut_short");
  for (const auto& value : read.list(from, "unsettled")) out.unsettled.push_back(read.texts(value));
  out.unsettled_more = read.number(from, "unsettled_more");
  out.notes = read.texts(from, "notes");
  out.error = read.text(from, "error");
  return out;
}

json::object key_shown(const TableState& table, const RowKey& key) {
  json::object out;
  for (std::size_t i = 0; i < key.size() && i < table.key.size(); ++i) out[table.key[i]] = key[i];
  return out;
}

json::object shown(const TableState& one) {
  json::object out{{"database", one.database},
                   {"table", one.text()},
                   {"stage", name(one.stage)},
                   {"mode", one.mode},
                   {"key", to_json(one.key)},
                   {"rows", one.rows},
                   {"rows_estimate", one.rows_estimate},
                   {"pieces", one.pieces},
                   {"percent", std::floor(one.share() * 1000) / 10},
                   {"differences", one.differences.size()},
                   {"cut_short", one.is_cut_short},
                   {"unsettled", one.unsettled_count()},
                   {"notes", to_json(one.notes)}};
  if (!one.error.empty()) out["error"] = one.error;
  return out;
}

}  // namespace

const char* name(ComparePhase phase) {
  switch (phase) {
    case ComparePhase::none:
      return "none";
    case ComparePhase::running:
      return "running";
    case ComparePhase::paused:
      return "paused";
    case ComparePhase::finished:
      return "finished";
    case ComparePhase::stopped:
      return "stopped";
    case ComparePhase::interrupted:
      return "interrupted";
  }
  return "none";
}

const char* name(TableStage stage) {
  switch (stage) {
    case TableStage::waiting:
      return "waiting";
    case TableStage::running:
      return "running";
    case TableStage::done:
      return "done";
    case TableStage::failed:
      return "failed";
  }
  return "waiting";
}

double TableState::share() const {
  if (stage == TableStage::done || stage == TableStage::failed) return 1;
  const auto ways = mode == name(CompareMode::ranges) ? 1.0 : 2.0;
  const auto read = static_cast<double>(rows + rows_back);
  return std::min(read / std::max(ways * static_cast<double>(rows_estimate), read + 1), 0.999);
}

std::string TableState::full_text() const {
  return database == table.schema ? text() : database + '.' + text();
}

std::string CompareState::outcome() const {
  if (phase != ComparePhase::finished) return "";
  if (differences() != 0) return "different";
  return unsettled() + failed() == 0 ? "equal" : "unsettled";
}

double CompareState::percent() const {
  double all = 0, done = 0;
  for (const auto& one : tables) {
    const double weight = static_cast<double>(std::max(one.rows_estimate, one.rows)) + 1;
    all += weight;
    done += weight * one.share();
  }
  return all == 0 ? 0 : std::floor(done / all * 1000) / 10;
}

std::uint64_t CompareState::differences() const {
  std::uint64_t sum = 0;
  for (const auto& one : tables) sum += one.differences.size();
  return sum;
}

std::uint64_t CompareState::unsettled() const {
  std::uint64_t sum = 0;
  for (const auto& one : tables) sum += one.unsettled_count();
  return sum;
}

std::uint64_t CompareState::failed() const {
  return static_cast<std::uint64_t>(
      std::count_if(tables.begin(), tables.end(), [](const auto& one) { return one.stage == TableStage::failed; }));
}

std::string serialized(const CompareState& state) {
  json::array tables;
  for (const auto& one : state.tables) tables.emplace_back(stored(one));
  return json::serialize(json::object{{"version", version},
                                      {"phase", name(state.phase)},
                                      {"reason", state.reason},
                                      {"who", state.who},
                                      {"started_at", state.started_at},
                                      {"ended_at", state.ended_at},
                                      {"writer", state.writer},
                                      {"wanted", to_json(state.wanted)},
                                      {"rows_per_second", state.rows_per_second},
                                      {"tables", std::move(tables)},
                                      {"not_published", to_json(state.not_published)}});
}

std::optional<CompareState> parse_compare_state(std::string_view text) {
  json::parse_options options;
  options.max_depth = 8;
  boost::system::error_code error;
  const auto value = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error || !value.is_object()) return std::nullopt;
  const auto& from = value.get_object();
  Reader read;
  if (read.number(from, "version") != static_cast<std::uint64_t>(version)) return std::nullopt;
  CompareState state;
  const auto phase = named(phases, read.text(from, "phase"));
  if (!phase) return std::nullopt;
  state.phase = *phase;
  state.reason = read.text(from, "reason");
  state.who = read.text(from, "who");
  state.started_at = read.text(from, "started_at");
  state.ended_at = read.text(from, "ended_at");
  state.writer = read.text(from, "writer");
  state.wanted = read.texts(from, "wanted");
  state.rows_per_second = read.number(from, "rows_per_second");
  for (const auto& one : read.list(from, "tables")) state.tables.push_back(restored(read, read.object(one)));
  state.not_published = read.texts(from, "not_published");
  if (!read.is_good()) return std::nullopt;
  return state;
}

bool can_resume(const CompareState& state, const std::string& writer, const std::vector<std::string>& wanted) {
  const bool was_broken_off = state.phase == ComparePhase::stopped || state.phase == ComparePhase::interrupted;
  return was_broken_off && state.writer == writer && (wanted.empty() || wanted == state.wanted);
}

std::vector<TableState> merged(std::vector<TableState> today, const std::vector<TableState>& known) {
  for (auto& one : today) {
    const auto found = std::find_if(known.begin(), known.end(), [&](const auto& other) {
      return other.database == one.database && other.table == one.table;
    });
    // What failed is tried again.
    if (found != known.end() && found->stage != TableStage::failed) one = *found;
  }
  return today;
}

bool is_named(const TableState& table, const std::string& wanted) {
  return wanted == table.table.name || wanted == table.text() || wanted == table.database + '.' + table.text();
}

json::object summary(const CompareState& state) {
  json::object out{
      {"phase", name(state.phase)},    {"percent", state.percent()},         {"outcome", state.outcome()},
      {"tables", state.tables.size()}, {"differences", state.differences()}, {"unsettled", state.unsettled()},
      {"failed", state.failed()},      {"started_at", state.started_at},     {"ended_at", state.ended_at}};
  if (!state.reason.empty()) out["reason"] = state.reason;
  if (!state.wanted.empty()) out["wanted"] = to_json(state.wanted);
  return out;
}

json::object to_json(const CompareState& state) {
  auto out = summary(state);
  json::array tables, differing, unsettled;
  std::uint64_t rows = 0;
  for (const auto& one : state.tables) {
    rows += one.rows;
    tables.emplace_back(shown(one));
    for (const auto& each : one.differences) {
      json::object row{{"database", one.database}, {"table", one.text()}, {"kind", each.kind}};
      if (!each.key.empty()) row["key"] = key_shown(one, each.key);
      if (!each.columns.empty()) row["columns"] = to_json(each.columns);
      if (!each.text.empty()) row["text"] = each.text;
      differing.emplace_back(std::move(row));
    }
    for (const auto& each : one.unsettled) {
      unsettled.push_back(
          json::object{{"database", one.database}, {"table", one.text()}, {"key", key_shown(one, each)}});
    }
  }
  out["writer"] = state.writer;
  out["who"] = state.who;
  out["rows"] = rows;
  out["rows_per_second"] = state.rows_per_second;
  out["tables"] = std::move(tables);
  out["differing"] = std::move(differing);
  out["unsettled_rows"] = std::move(unsettled);
  out["not_published"] = to_json(state.not_published);
  return out;
}

}  // namespace turnout::control
