#include "protocol/mysql/session_changes.h"

namespace turnout::protocol::mysql {

std::optional<SessionChange> SessionChanges::fail() {
  is_malformed_ = true;
  block_ = pairs_ = Reader({});
  return std::nullopt;
}

std::optional<SessionChange> SessionChanges::next_pair() {
  const auto name = pairs_.counted();
  const auto value = pairs_.counted();
  if (!name || !value) return fail();
  return SessionChange{SessionChange::Kind::system_variable, *name, *value};
}

std::optional<SessionChange> SessionChanges::next() {
  if (!pairs_.is_empty()) return next_pair();
  while (!block_.is_empty()) {
    const auto kind = block_.u8();
    const auto data = block_.counted();
    if (!kind || !data) return fail();
    if (*kind > static_cast<std::uint8_t>(SessionChange::Kind::transaction_state)) continue;
    Reader entry(bytes_of(*data));
    SessionChange change;
    change.kind = static_cast<SessionChange::Kind>(*kind);
    if (change.kind == SessionChange::Kind::system_variable) {
      if (data->empty()) continue;
      pairs_ = entry;
      return next_pair();
    }
    if (change.kind == SessionChange::Kind::state) {  // alone among them not counted once more
      change.value = *data;
      return change;
    }
    // One byte before the sets says how they are written; 0, text, is all there is.
    if (change.kind == SessionChange::Kind::gtids && !entry.u8()) return fail();
    const auto value = entry.counted();
    if (!value) return fail();
    change.value = *value;
    return change;
  }
  return std::nullopt;
}

void put_session_change(std::string& block, const SessionChange& change) {
  std::string data;
  Writer entry(data);
  if (change.kind == SessionChange::Kind::system_variable) entry.counted(change.name);
  if (change.kind == SessionChange::Kind::gtids) entry.u8(0);
  if (change.kind == SessionChange::Kind::state)
    entry.raw(change.value);
  else
    entry.counted(change.value);
  Writer(block).u8(static_cast<std::uint8_t>(change.kind)).counted(data);
}

std::optional<TransactionState> parse_transaction_state(std::string_view value) {
  if (value.size() != 8) return std::nullopt;
  constexpr std::string_view letters[] = {"TI", "r", "R", "w", "W", "s", "S", "L"};
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] != '_' && letters[i].find(value[i]) == std::string_view::npos) return std::nullopt;
  }
  TransactionState state;
  state.is_explicit = value[0] == 'T';
  state.is_implicit = value[0] == 'I';
  state.has_read_unsafe = value[1] == 'r';
  state.has_read = value[2] == 'R';
  state.has_written_unsafe = value[3] == 'w';
  state.has_written = value[4] == 'W';
  state.has_unsafe_statement = value[5] == 's';
  state.has_sent_result = value[6] == 'S';
  state.has_locked_tables = value[7] == 'L';
  return state;
}

}  // namespace turnout::protocol::mysql
