#include "proxy/setting_journal.h"

#include <algorithm>

namespace turnout::proxy {

namespace {

auto find_mark(auto& marks, std::string_view name) {
  return std::find_if(marks.rbegin(), marks.rend(), [name](const auto& mark) { return mark.name == name; });
}

}  // namespace

void SettingJournal::note_change(const Parameters& session, const Parameters& connection) {
  if (before_ && (marks_.empty() || marks_.back().before)) return;
  const auto now = std::make_shared<const KeptSettings>(KeptSettings{session, connection});
  if (!before_) before_ = now;
  for (auto mark = marks_.rbegin(); mark != marks_.rend() && !mark->before; ++mark) mark->before = now;
}

void SettingJournal::note_local(std::string_view name) {
  constexpr std::size_t locals_max = 1'000;
  if (locals_.size() < locals_max) locals_.emplace_back(name);
}

bool SettingJournal::was_local(std::string_view name) const {
  return std::find(locals_.begin(), locals_.end(), name) != locals_.end();
}

bool SettingJournal::savepoint(std::string_view name) {
  if (marks_.size() >= marks_max) return false;
  marks_.push_back({std::string(name), nullptr});
  return true;
}

void SettingJournal::release(std::string_view name) {
  const auto mark = find_mark(marks_, name);
  if (mark != marks_.rend()) marks_.erase(mark.base() - 1, marks_.end());
}

const KeptSettings* SettingJournal::rollback_to(std::string_view name) {
  const auto mark = find_mark(marks_, name);
  if (mark == marks_.rend()) return nullptr;
  marks_.erase(mark.base(), marks_.end());
  return marks_.back().before.get();
}

void SettingJournal::commit() {
  before_.reset();
  marks_.clear();
  locals_.clear();
}

}  // namespace turnout::proxy
