// Prepared statements by content: two sessions that prepare the same text with the same parameter types share one, on
// every server connection, under one server-side name.
//
// A Statement is immutable and numbered for the life of the process; sessions and server connections refer to it by
// number. The registry is shared by all workers behind a mutex; a worker asks it only for a text it has not seen
// lately.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "protocol/pg/state_watch.h"
#include "protocol/pg/wire.h"

namespace turnout::proxy {

struct Statement {
  std::uint32_t number = 0;
  std::string content;  // Parse body after the name: query, zero, parameter types
  protocol::pg::Watch watch;
  mutable std::atomic<bool> is_stale = false;  // a server has refused its plan: who prepares the text gets another one
  bool is_found_at_parse = false;  // FETCH, EXECUTE, SHOW and their like: an earlier Parse says nothing of a later one
  [[nodiscard]] std::string_view sql() const { return content.c_str(); }
};
using StatementPtr = std::shared_ptr<const Statement>;

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

class StatementRegistry {
 public:
  [[nodiscard]] StatementPtr intern(std::string_view content);

 private:
  std::mutex mutex_;
  std::uint32_t next_ = 1;
  // Keys are copies: a key inside an expired value would dangle.
  std::unordered_map<std::string, std::weak_ptr<const Statement>, TextHash, std::equal_to<>> known_;
  std::size_t sweep_at_ = 4096;
};

// A worker's front of the registry.
class StatementCache {
 public:
  explicit StatementCache(StatementRegistry& registry) : registry_(registry) {}
  [[nodiscard]] const StatementPtr& intern(std::string_view content);

 private:
  static constexpr std::size_t entries_max = 20'000;
  StatementRegistry& registry_;
  std::unordered_map<std::string_view, StatementPtr> known_;
};

// The name a statement has on server connections; `generation` counts the times a connection lost all of them.
[[nodiscard]] std::string server_side_name(std::uint32_t number, std::uint32_t generation);
[[nodiscard]] std::uint32_t statement_number(std::string_view server_side_name);  // 0: not such a name
inline constexpr std::string_view server_side_prefix = "turnout_";
// What a server deallocates in place of a statement that others use.
inline constexpr std::string_view gone_name = "turnout_gone";
inline constexpr std::string_view deallocate_gone = "DEALLOCATE turnout_gone";

}  // namespace turnout::proxy
