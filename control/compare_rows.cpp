#include "control/compare_rows.h"

#include <algorithm>

namespace turnout::control {

namespace {

bool same_version(const SeenRow* a, const SeenRow* b) {
  return a != nullptr && b != nullptr && a->version == b->version && a->same_content(*b);
}

RowVerdict different(const SeenRow* writer, const SeenRow* follower) {
  if (follower == nullptr) return RowVerdict::only_on_writer;
  return writer == nullptr ? RowVerdict::only_on_follower : RowVerdict::differs;
}

std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (true) {
    const auto comma = text.find(',');
    out.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return out;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

void add_row(SeenRows& rows, RowKey key, const SeenRow& row) {
  const auto [at, is_new] = rows.try_emplace(std::move(key), row);
  if (is_new) return;
  at->second.hash += row.hash;
  at->second.count += row.count;
  // In whatever order they come: the greater text first.
  at->second.version = std::max(at->second.version, row.version) + '+' + std::min(at->second.version, row.version);
}

const SeenRow* find_row(const SeenRows& rows, const RowKey& key) {
  const auto found = rows.find(key);
  return found == rows.end() ? nullptr : &found->second;
}

bool same_content(const SeenRow* a, const SeenRow* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->same_content(*b);
}

std::vector<RowKey> unlike(const SeenRows& writer, const SeenRows& follower) {
  std::vector<RowKey> out;
  for (const auto& [key, row] : writer) {
    if (!same_content(&row, find_row(follower, key))) out.push_back(key);
  }
  for (const auto& [key, row] : follower) {
    if (find_row(writer, key) == nullptr) out.push_back(key);
  }
  return out;
}

RowVerdict judge(const RowLooks& looks) {
  const auto* seen = looks.follower;
  if (same_content(looks.after, seen)) return RowVerdict::equal;
  for (const auto* one : looks.during) {
    if (same_content(one, seen)) return RowVerdict::equal;
  }
  if (same_version(looks.before, looks.after)) return different(looks.before, seen);
  if (same_version(looks.follower_earlier, seen) && !same_content(looks.before, seen)) {
    return different(looks.before, seen);
  }
  return RowVerdict::moving;
}

bool Settling::is_confirmed(const RowKey& key, const SeenRow* follower) {
  if (confirmations_ <= 1) return true;
  auto& known = suspicions_[key];
  const bool is_the_same = known.rounds > 0 && same_content(known.follower ? &*known.follower : nullptr, follower);
  known.rounds = is_the_same ? known.rounds + 1 : 1;
  known.follower = follower == nullptr ? std::nullopt : std::optional(*follower);
  return known.rounds >= confirmations_;
}

std::vector<SettledRow> Settling::round(const SeenRows& before, const std::vector<SeenRows>& during, SeenRows follower,
                                        const SeenRows& after) {
  std::vector<SettledRow> out;
  std::vector<RowKey> left;
  for (auto& key : keys_) {
    RowLooks looks{find_row(before, key), {}, find_row(after, key), find_row(follower, key), find_row(earlier_, key)};
    for (const auto& one : during) looks.during.push_back(find_row(one, key));
    const auto verdict = judge(looks);
    if (verdict == RowVerdict::equal) continue;
    if (verdict == RowVerdict::moving) suspicions_.erase(key);
    if (verdict == RowVerdict::moving || !is_confirmed(key, looks.follower)) {
      left.push_back(std::move(key));
    } else {
      out.push_back({std::move(key), verdict});
    }
  }
  keys_ = std::move(left);
  earlier_ = std::move(follower);
  return out;
}

std::vector<std::string> differing_columns(const std::vector<std::string>& columns, std::string_view a,
                                           std::string_view b) {
  const auto here = parts_of(a), there = parts_of(b);
  std::vector<std::string> out;
  for (std::size_t i = 0; i < columns.size() && i < here.size() && i < there.size(); ++i) {
    if (here[i] != there[i]) out.push_back(columns[i]);
  }
  return out;
}

std::uint64_t rest_ms(std::uint64_t rows, std::uint64_t took_ms, std::uint64_t rows_per_second) {
  if (rows_per_second == 0) return 0;
  const std::uint64_t due_ms = rows * 1'000 / rows_per_second;
  return due_ms > took_ms ? due_ms - took_ms : 0;
}

}  // namespace turnout::control
