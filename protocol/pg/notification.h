// NotificationResponse read and made, and channel names as the server compares them.
//
// Source: PostgreSQL manual 55.7 "NotificationResponse (B)", 4.1.1 (identifiers are cut at 63 bytes, between
// characters).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/pg/wire.h"

namespace turnout::protocol::pg {

struct Notification {
  std::uint32_t pid = 0;  // of the backend that notified
  std::string_view channel;
  std::string_view payload;
};

// Nothing: malformed.
[[nodiscard]] std::optional<Notification> parse_notification(Bytes body);
void put_notification(std::string& out, const Notification& notification);

// The first column of a DataRow. Nothing: NULL, none, or malformed.
[[nodiscard]] std::optional<std::string_view> first_column(Bytes data_row);

[[nodiscard]] std::string quote_identifier(std::string_view name);
// An identifier, folded already, as the server keeps it.
[[nodiscard]] std::string_view cut_identifier(std::string_view name);

// What a transaction has unlistened and not committed yet. LISTEN is not in here: which channels a connection listens
// to is asked of the server.
class UnlistenLog {
 public:
  static constexpr std::size_t steps_max = 10'000;  // of one transaction; beyond, the oldest is as good as committed

  void unlisten(std::string_view channel) { add(Kind::unlisten, channel); }
  void unlisten_all() { add(Kind::unlisten_all, {}); }
  // `what` as in Effect: "savepoint", "release", "rollback to".
  void savepoint(std::string_view name, std::string_view what);
  void clear() { steps_.clear(); }
  [[nodiscard]] bool is_empty() const { return steps_.empty(); }

  struct Changes {
    bool all = false;
    std::vector<std::string> channels;
  };
  [[nodiscard]] Changes take();  // at the commit

 private:
  enum class Kind : std::uint8_t { unlisten, unlisten_all, savepoint };
  struct Step {
    Kind kind;
    std::string name;
  };
  void add(Kind kind, std::string_view name);
  std::vector<Step> steps_;
};

}  // namespace turnout::protocol::pg
