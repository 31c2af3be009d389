// What a crash must not forget: one decision an epoch (compare-and-set), and the records around it.
//
// Always true: an answer other than `unknown` is durable; the first decision of (deployment, epoch) stands for ever,
// and everybody who asks later gets that one; records come back in the order in which they were appended. `unknown`
// means that nothing may be concluded: ask again, and until then nobody writes. Thread-safe. The local log
// (local_store.h) serves a single proxy; a fleet's store goes behind the same interface.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "drain/cutover.h"

namespace turnout::control {

enum class RecordKind : std::uint8_t {
  begin,     // {direction, who}: an attempt has begun
  facts,     // what later steps need after a crash: databases, streams, slots; then {schema}: fingerprints
  undo,      // {side, …}: settings of a server before we changed them (server_settings.h)
  restored,  // {side}: they are back as they were
  decision,  // {decision, …}; written by decide() only
  end,       // {outcome, writer, at_s}: the attempt is closed; seconds since 1970
  binding,   // {blue, green: {address, identifier}}: which servers the two sides are
  made,      // {what, database, name, side, undo}: of a replica, before it is made; with {undone}: taken down again
};
[[nodiscard]] const char* name(RecordKind kind);
[[nodiscard]] std::optional<RecordKind> record_kind(std::string_view name);

struct Record {
  std::string deployment;
  std::uint64_t epoch = 0;
  RecordKind kind = RecordKind::begin;
  boost::json::object data;
};

class DecisionStore {
 public:
  DecisionStore() = default;
  virtual ~DecisionStore() = default;
  DecisionStore(const DecisionStore&) = delete;
  DecisionStore& operator=(const DecisionStore&) = delete;

  // Sets the key (deployment, epoch) to `wanted` if it is empty. Returns what it holds now; unknown: the store could
  // not be read or written, the key may hold either.
  [[nodiscard]] virtual drain::Decision decide(const std::string& deployment, std::uint64_t epoch,
                                               drain::Decision wanted, boost::json::object detail) = 0;
  // What the key holds; none = empty.
  [[nodiscard]] virtual drain::Decision decision(const std::string& deployment, std::uint64_t epoch) = 0;
  // "" = durable, else why not.
  [[nodiscard]] virtual std::string append(const Record& record) = 0;
  [[nodiscard]] virtual std::vector<Record> records(const std::string& deployment) = 0;
};

// The machine's first event, from a deployment's records; and the writer that stands when nothing is under way.
[[nodiscard]] drain::Recovered recover(const std::vector<Record>& records);
// The newest record of that kind, of any epoch, for which `data[key] == value` (key "" = any).
[[nodiscard]] const Record* newest(const std::vector<Record>& records, RecordKind kind, std::string_view key = "",
                                   std::string_view value = "");
// Has this epoch remembered the settings of `side`, and not put them back? A record of another epoch is no answer: that
// attempt is over, and what it found may have been changed since, or belong to another server.
[[nodiscard]] bool has_undo(const std::vector<Record>& records, std::uint64_t epoch, std::string_view side);
// The newest record of that kind that has `key` at all.
[[nodiscard]] const Record* newest_with(const std::vector<Record>& records, RecordKind kind, std::string_view key);
[[nodiscard]] std::string text_of(const boost::json::object& data, std::string_view key);  // "" when absent

}  // namespace turnout::control
