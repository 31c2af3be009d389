#include "protocol/pg/notification.h"

#include <algorithm>

namespace turnout::protocol::pg {

std::optional<Notification> parse_notification(Bytes body) {
  Reader reader(body);
  const auto pid = reader.u32();
  const auto channel = reader.cstring();
  const auto payload = reader.cstring();
  if (!pid || !channel || !payload || !reader.is_empty()) return std::nullopt;
  return Notification{*pid, *channel, *payload};
}

void put_notification(std::string& out, const Notification& notification) {
  Writer(out).begin('A').u32(notification.pid).cstring(notification.channel).cstring(notification.payload).end();
}

std::optional<std::string_view> first_column(Bytes data_row) {
  Reader reader(data_row);
  const auto columns = reader.u16();
  const auto length = reader.u32();
  if (!columns || *columns == 0 || !length) return std::nullopt;
  const auto value = reader.take(*length);  // NULL's length, -1, is longer than any message
  if (!value) return std::nullopt;
  return text(*value);
}

std::string quote_identifier(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + "\"";
}

std::string_view cut_identifier(std::string_view name) {
  constexpr std::size_t bytes_max = 63;  // NAMEDATALEN - 1
  if (name.size() <= bytes_max) return name;
  std::size_t end = bytes_max;
  while (end > 0 && (static_cast<std::uint8_t>(name[end]) & 0xC0U) == 0x80U) --end;  // not inside a UTF-8 character
  return name.substr(0, end);
}

void UnlistenLog::add(Kind kind, std::string_view name) {
  if (steps_.size() >= steps_max) return;
  steps_.push_back({kind, std::string(kind == Kind::unlisten ? cut_identifier(name) : name)});
}

void UnlistenLog::savepoint(std::string_view name, std::string_view what) {
  if (what == "savepoint") {
    // Before the first UNLISTEN there is nothing to come back to: a name that is not found means all of it.
    if (!steps_.empty()) add(Kind::savepoint, name);
    return;
  }
  const auto newest = std::find_if(steps_.rbegin(), steps_.rend(),
                                   [&](const Step& step) { return step.kind == Kind::savepoint && step.name == name; });
  if (what == "release") {
    if (newest != steps_.rend()) steps_.erase(std::next(newest).base());
  } else {
    steps_.erase(newest.base(), steps_.end());  // the savepoint itself stays
  }
}

UnlistenLog::Changes UnlistenLog::take() {
  Changes changes;
  for (Step& step : steps_) {
    if (step.kind == Kind::unlisten_all) changes.all = true;
    if (step.kind == Kind::unlisten) changes.channels.push_back(std::move(step.name));
  }
  steps_.clear();
  return changes;
}

}  // namespace turnout::protocol::pg
