#include "control/gtid.h"

#include <algorithm>
#include <charconv>

namespace turnout::control {

namespace {

template <typename Number>
bool take_number(std::string_view& text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take_dash(std::string_view& text) {
  if (!text.starts_with('-')) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<Gtid> parse_one(std::string_view text) {
  Gtid gtid;
  if (!take_number(text, gtid.domain) || !take_dash(text) || !take_number(text, gtid.server) || !take_dash(text) ||
      !take_number(text, gtid.sequence) || !text.empty())
    return std::nullopt;
  return gtid;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\n')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::string Gtid::text() const {
  return std::to_string(domain) + '-' + std::to_string(server) + '-' + std::to_string(sequence);
}

std::optional<std::vector<Gtid>> parse_gtids(std::string_view text) {
  std::vector<Gtid> out;
  if (trimmed(text).empty()) return out;
  while (true) {
    const auto comma = text.find(',');
    const auto one = parse_one(trimmed(text.substr(0, comma)));
    if (!one) return std::nullopt;
    out.push_back(*one);
    if (comma == std::string_view::npos) return out;
    text.remove_prefix(comma + 1);
  }
}

std::vector<Gtid> errant(const std::vector<Gtid>& follower_state, const std::vector<Gtid>& writer_state) {
  std::vector<Gtid> out;
  for (const auto& have : follower_state) {
    const bool is_known = std::ranges::any_of(writer_state, [&](const Gtid& known) {
      return known.domain == have.domain && known.server == have.server && known.sequence >= have.sequence;
    });
    if (!is_known) out.push_back(have);
  }
  return out;
}

bool covers(const std::vector<Gtid>& applied, const std::vector<Gtid>& position) {
  return lacking(applied, position) == 0;
}

std::uint64_t lacking(const std::vector<Gtid>& applied, const std::vector<Gtid>& position) {
  std::uint64_t sum = 0;
  for (const Gtid& wanted : position) {
    std::uint64_t reached = 0;
    for (const Gtid& has : applied)
      if (has.domain == wanted.domain) reached = std::max(reached, has.sequence);
    sum += wanted.sequence - std::min(reached, wanted.sequence);
  }
  return sum;
}

}  // namespace turnout::control
