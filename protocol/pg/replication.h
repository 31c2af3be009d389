// What a client that speaks the replication protocol asks for, and what it is doing, as far as a proxy must know.
//
// Always true: only a logical one (a walsender with a database) can run SQL, so only that one can write.
// Source: PostgreSQL manual 55.4 "Streaming Replication Protocol"; the words are those of the server's parse_bool.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace turnout::protocol::pg {

enum class ReplicationKind { none, physical, logical };
// The start-up parameter `replication`. Nothing: not a value the server would take.
[[nodiscard]] std::optional<ReplicationKind> parse_replication(std::string_view value);

// The conversation with a walsender: commands, one at a time or pipelined, and the stream in between.
class WalsenderWatch {
 public:
  void client_said(char type);
  void server_said(char type, std::uint8_t first);

  [[nodiscard]] bool is_streaming() const { return is_streaming_; }
  // A command runs or a transaction is open: it may be one that writes. A stream only reads.
  [[nodiscard]] bool may_write() const { return !is_streaming_ && (owed_ != 0 || status_ != 'I'); }

 private:
  std::uint32_t owed_ = 0;  // ReadyForQuery
  char status_ = 'I';
  bool is_streaming_ = false;
};

}  // namespace turnout::protocol::pg
