// What is known of the numbers (OIDs) that types have on both sides: read from the servers, given to the data path when
// it has changed, and written down, so that a Turnout that starts again tells clients the same although blue is gone.
//
// Always true: what one reading could not get is kept as it was; a file of another pair of servers is not believed.
// Thread-safe; a reading at a time.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/shelf.h"
#include "protocol/pg/type_map.h"
#include "proxy/proxy.h"

namespace turnout::control {

// By database: blue's and green's.
using PairOids = std::map<std::string, std::array<protocol::pg::ObjectOids, 2>>;

class TypeBook {
 public:
  using Publish = std::function<void(proxy::TypeMapsPtr)>;
  TypeBook(Shelf& shelf, std::filesystem::path file, Publish publish)
      : shelf_(shelf), file_(std::move(file)), publish_(std::move(publish)) {}

  // Asks both sides; "" or why it could not.
  [[nodiscard]] std::string refresh(const std::vector<std::string>& databases);
  // The same, if types or tables have changed since.
  [[nodiscard]] std::string refresh_if_changed(const std::vector<std::string>& databases);
  // What was written down for this pair, if anything was.
  void restore();

 private:
  [[nodiscard]] std::string read(const std::vector<std::string>& databases);
  [[nodiscard]] PgOutcome<std::string> mark(const std::vector<std::string>& databases);
  void give();
  [[nodiscard]] std::string pair_name() const;
  void write() const;

  Shelf& shelf_;
  const std::filesystem::path file_;
  const Publish publish_;
  std::mutex mutex_;
  PairOids oids_;
  std::string mark_;  // of what oids_ was read from
  proxy::TypeMapsPtr maps_ = std::make_shared<const proxy::TypeMaps>();
};

[[nodiscard]] proxy::TypeMapsPtr make_type_maps(const PairOids& oids);
[[nodiscard]] std::string to_text(const std::string& pair, const PairOids& oids);
// Nothing: not such a text, or of another pair.
[[nodiscard]] std::optional<PairOids> pair_oids_of(const std::string& text, const std::string& pair);

}  // namespace turnout::control
