#include "protocol/pg/replication.h"

#include <algorithm>
#include <array>
#include <string>

namespace turnout::protocol::pg {

std::optional<ReplicationKind> parse_replication(std::string_view value) {
  std::string word(value);
  std::transform(word.begin(), word.end(), word.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (value == "database") return ReplicationKind::logical;  // this one is not folded by the server
  if (word.empty()) return std::nullopt;
  // Any beginning of the word that is not the beginning of another one.
  const auto begins = [&word](std::string_view whole, std::size_t least = 1) {
    return word.size() >= least && whole.starts_with(word);
  };
  if (begins("true") || begins("yes") || begins("on", 2) || word == "1") return ReplicationKind::physical;
  if (begins("false") || begins("no") || begins("off", 2) || word == "0") return ReplicationKind::none;
  return std::nullopt;
}

void WalsenderWatch::client_said(char type) {
  if (type == 'Q' || type == 'S' || type == 'F') ++owed_;
}

void WalsenderWatch::server_said(char type, std::uint8_t first) {
  if (type == 'W') is_streaming_ = true;  // CopyBothResponse
  // An error ends the stream; so does the end that both sides have said, behind which the command's own end comes.
  if (type == 'E' || type == 'C') is_streaming_ = false;
  if (type != 'Z') return;
  is_streaming_ = false;
  status_ = static_cast<char>(first);
  if (owed_ != 0) --owed_;
}

}  // namespace turnout::protocol::pg
