#include "control/decision_store.h"

#include <array>

namespace turnout::control {

namespace {

constexpr std::array kinds = {RecordKind::begin,    RecordKind::facts, RecordKind::undo,    RecordKind::restored,
                              RecordKind::decision, RecordKind::end,   RecordKind::binding, RecordKind::made};

router::Side side_of(std::string_view text) {
  return text == "green" ? router::Side::green : router::Side::blue;
}

drain::Outcome outcome_of(std::string_view text) {
  using drain::Outcome;
  for (const auto outcome : {Outcome::planned, Outcome::refused, Outcome::committed, Outcome::reverted,
                             Outcome::aborted, Outcome::rehearsed}) {
    if (text == drain::name(outcome)) return outcome;
  }
  return Outcome::none;
}

}  // namespace

const char* name(RecordKind kind) {
  switch (kind) {
    case RecordKind::begin:
      return "begin";
    case RecordKind::facts:
      return "facts";
    case RecordKind::undo:
      return "undo";
    case RecordKind::restored:
      return "restored";
    case RecordKind::decision:
      return "decision";
    case RecordKind::end:
      return "end";
    case RecordKind::binding:
      return "binding";
    case RecordKind::made:
      return "made";
  }
  return "?";
}

std::optional<RecordKind> record_kind(std::string_view text) {
  for (const auto kind : kinds) {
    if (text == name(kind)) return kind;
  }
  return std::nullopt;
}

std::string text_of(const boost::json::object& data, std::string_view key) {
  const auto* value = data.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

const Record* newest(const std::vector<Record>& records, RecordKind kind, std::string_view key,
                     std::string_view value) {
  for (auto record = records.rbegin(); record != records.rend(); ++record) {
    if (record->kind == kind && (key.empty() || text_of(record->data, key) == value)) return &*record;
  }
  return nullptr;
}

const Record* newest_with(const std::vector<Record>& records, RecordKind kind, std::string_view key) {
  for (auto record = records.rbegin(); record != records.rend(); ++record) {
    if (record->kind == kind && record->data.contains(key)) return &*record;
  }
  return nullptr;
}

bool has_undo(const std::vector<Record>& records, std::uint64_t epoch, std::string_view side) {
  bool has = false;
  for (const auto& record : records) {
    if (text_of(record.data, "side") != side) continue;
    if (record.kind == RecordKind::restored) has = false;
    if (record.kind == RecordKind::undo && record.epoch == epoch) has = true;
  }
  return has;
}

drain::Recovered recover(const std::vector<Record>& records) {
  drain::Recovered found;
  drain::Side writer = drain::Side::blue;        // before the epoch that is being read
  drain::Side after = drain::Side::blue;         // if that epoch's decision is commit
  std::array<bool, 2> changed = {false, false};  // settings of that side are not as they were
  for (const auto& record : records) {
    switch (record.kind) {
      case RecordKind::begin:
        if (found.decision == drain::Decision::commit) writer = after;
        found = drain::Recovered{};
        found.epoch = record.epoch;
        found.begun = true;
        found.direction =
            text_of(record.data, "direction") == "rollback" ? drain::Direction::rollback : drain::Direction::cutover;
        found.writer = writer;
        after = found.direction == drain::Direction::rollback ? drain::Side::blue : drain::Side::green;
        break;
      case RecordKind::undo:
        changed[index(side_of(text_of(record.data, "side")))] = true;
        break;
      case RecordKind::restored:
        changed[index(side_of(text_of(record.data, "side")))] = false;
        break;
      case RecordKind::decision:
        if (record.epoch != found.epoch) break;
        found.decision =
            text_of(record.data, "decision") == "commit" ? drain::Decision::commit : drain::Decision::abort;
        break;
      case RecordKind::end:
        if (record.epoch != found.epoch) break;
        found.ended = true;
        found.outcome = outcome_of(text_of(record.data, "outcome"));
        break;
      case RecordKind::binding:
        if (record.epoch == found.epoch) found.finished = text_of(record.data, "finished") == "yes";
        // An operator has said which server is which (finish, then a new configuration): that overrides the story.
        if (!text_of(record.data, "writer").empty()) {
          found.decision = drain::Decision::none;
          writer = side_of(text_of(record.data, "writer"));
          found.writer = writer;
          found.outcome = drain::Outcome::none;
        }
        break;
      case RecordKind::facts:
      case RecordKind::made:
        break;
    }
  }
  // The read-only mark that `prepare` leaves on the side that follows is kept here too; only the writer's is a fence.
  found.undo = found.begun && !found.ended && changed[index(writer)];
  return found;
}

}  // namespace turnout::control
