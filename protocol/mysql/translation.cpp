#include "protocol/mysql/translation.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "protocol/mysql/session_changes.h"
#include "protocol/mysql/state_words.h"

namespace turnout::protocol::mysql {
namespace {

using Kind = Exchange::Kind;

// Flags of a whole result: they are not yet true behind the columns.
constexpr unsigned flags_of_ends = status::more_results | status::cursor_exists | status::last_row_sent |
                                   status::no_good_index | status::no_index | status::query_was_slow |
                                   status::session_state_changed | status::metadata_changed;

bool is_wanted(const SessionChange& change, const WantedChanges& wanted) {
  switch (change.kind) {
    case SessionChange::Kind::system_variable:
      return wanted.system_variables && (!wanted.names || std::find(wanted.names->begin(), wanted.names->end(),
                                                                    change.name) != wanted.names->end());
    case SessionChange::Kind::schema:
      return wanted.schema;
    case SessionChange::Kind::state:
      return wanted.state;
    case SessionChange::Kind::gtids:
      return wanted.gtids;
    case SessionChange::Kind::transaction_characteristics:
      return wanted.transaction_characteristics;
    case SessionChange::Kind::transaction_state:
      return wanted.transaction_state == StateTold::everything;
  }
  return false;
}

constexpr std::string_view no_transaction = "________";

// What a server that tells no more of a transaction than its beginning and its end says of this state. Nothing:
// nothing.
std::optional<SessionChange> beginning_or_end(const SessionChange& change, bool begins, std::string& told) {
  const auto state = parse_transaction_state(change.value);
  const bool was_explicit = told.starts_with('T');
  if (!state || (state->is_explicit == was_explicit && !begins)) return std::nullopt;
  const std::string_view value = state->is_explicit ? change.value : no_transaction;
  if (value == told) return std::nullopt;
  told = value;
  return SessionChange{change.kind, {}, told};
}

bool begins_explicitly(std::string_view changes) {
  SessionChanges list(bytes_of(changes));
  while (const auto change = list.next()) {
    if (change->kind == SessionChange::Kind::transaction_characteristics &&
        change->value.find("START TRANSACTION") != std::string_view::npos)
      return true;
  }
  return false;
}

}  // namespace

void set_wanted(WantedChanges& wanted, std::uint8_t which, const TrackingValues& values) {
  const auto is_on = [](std::string_view value) { return value == "1" || value == "ON"; };
  if ((which & Tracking::schema) != 0) wanted.schema = is_on(values.schema);
  if ((which & Tracking::state_change) != 0) wanted.state = is_on(values.state_change);
  if ((which & Tracking::transaction_info) != 0) {
    wanted.transaction_characteristics = values.transaction_info == "CHARACTERISTICS";
    const bool is_off = !wanted.transaction_characteristics && values.transaction_info != "STATE";
    wanted.transaction_state = is_off ? values.with_info_off : StateTold::everything;
  }
  if ((which & Tracking::system_variables) == 0) return;
  wanted.names = nullptr;
  if (values.system_variables == "*") return;
  std::vector<std::string> names(1);
  for (const char c : values.system_variables) {
    if (c == ',')
      names.emplace_back();
    else if (c != ' ')
      names.back() += c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  }
  wanted.names = std::make_shared<const std::vector<std::string>>(std::move(names));
}

FilteredChanges filter_changes(std::string_view changes, const WantedChanges& wanted, std::string& told_state) {
  FilteredChanges filtered;
  const bool by_ends = wanted.transaction_state == StateTold::beginning_and_end;
  const bool begins = by_ends && begins_explicitly(changes);
  bool tells_state = false;
  SessionChanges list(bytes_of(changes));
  while (auto change = list.next()) {
    if (by_ends && change->kind == SessionChange::Kind::transaction_state) {
      change = beginning_or_end(*change, begins, told_state);
      tells_state = change.has_value();
    } else if (!is_wanted(*change, wanted)) {
      continue;
    }
    if (change) put_session_change(filtered.kept, *change);
  }
  filtered.is_told_without_words = begins && !tells_state;
  return filtered;
}

Translation::Translation(Capabilities server, Capabilities client, WantedChanges wanted)
    : server_(server),
      client_(client),
      wanted_(wanted),
      server_deprecates_((server & capability::deprecate_eof) != 0),
      client_deprecates_((client & capability::deprecate_eof) != 0),
      filters_((server & capability::session_track) != 0 &&
               ((client & capability::session_track) == 0 || !wanted.is_all())) {}

void Translation::go_on(Capabilities server, Capabilities client, const WantedChanges& wanted) {
  std::string told_state = std::move(told_state_);
  *this = Translation(server, client, wanted);
  told_state_ = std::move(told_state);
}

void Translation::put_eof_of_columns(std::string& out) {
  owes_eof_ = false;
  std::string payload;
  // That of a CALL says already that more follows, and libmariadb looks for it here when it fetches row by row.
  const unsigned more = calls_ ? unsigned{status::more_results} : 0U;
  put_eof(payload, {0, static_cast<std::uint16_t>((status_ & ~flags_of_ends) | more)});
  put(out, payload);
}

// The end of rows, columns or definitions in the client's form.
void Translation::put_end_of(const Exchange::Received& received, std::string& out) {
  std::string translated;
  if (client_deprecates_) {
    Ok ok;
    ok.ends_rows = true;
    ok.status = received.status;
    ok.warnings = received.warnings;
    put_ok(translated, ok, client_);
  } else {
    // EOF has no place for what else the OK said, so it does not announce it.
    const unsigned status = received.status & ~unsigned{status::session_state_changed};
    put_eof(translated, {received.warnings, static_cast<std::uint16_t>(status)});
  }
  put(out, translated);
}

// An OK without the changes that the client is not told; false: there are none to leave out.
bool Translation::put_filtered(Bytes payload, std::string& out) {
  auto ok = parse_ok(payload, server_);
  if (!ok) return false;
  const FilteredChanges filtered = filter_changes(ok->changes, wanted_, told_state_);
  if (filtered.kept == ok->changes && (client_ & capability::session_track) != 0) return false;
  ok->changes = filtered.kept;
  ok->announces_changes = filtered.is_told_without_words;
  std::string translated;
  put_ok(translated, *ok, client_);
  put(out, translated);
  return true;
}

void Translation::passed(std::string& out) {
  ++number_;
  for (; eofs_follow_ != 0; --eofs_follow_) put_eof_of_columns(out);
}

Translation::Pass Translation::pass(const Exchange::Received& received, Bytes payload, std::string& out) {
  const bool is_end_of_opening =
      received.kind == Kind::end && owes_eof_ && (received.status & status::cursor_exists) != 0;
  if (received.kind == Kind::ok || received.kind == Kind::eof || received.kind == Kind::end) status_ = received.status;
  const bool tells_changes = (received.status & status::session_state_changed) != 0;
  switch (received.kind) {
    case Kind::column:
    case Kind::columns:
    case Kind::prepared:
      if (!adds_eof()) return Pass::as_is;
      calls_ = received.entry.calls;
      if (received.entry.opens_cursor)
        owes_eof_ = received.ended_lists != 0;
      else
        eofs_follow_ = received.ended_lists;
      return Pass::as_is;
    case Kind::eof:
      return drops_eof() ? Pass::replaced : Pass::as_is;
    case Kind::end:
      if (owes_eof_ && !is_end_of_opening) put_eof_of_columns(out);
      owes_eof_ = false;
      if (server_deprecates_ != client_deprecates_) {
        put_end_of(received, out);
        return Pass::replaced;
      }
      return filters_ && tells_changes && server_deprecates_ && put_filtered(payload, out) ? Pass::replaced
                                                                                           : Pass::as_is;
    case Kind::ok:
      if (owes_eof_) put_eof_of_columns(out);
      return filters_ && tells_changes && put_filtered(payload, out) ? Pass::replaced : Pass::as_is;
    case Kind::continuation:
    case Kind::row:
    case Kind::progress:
    case Kind::line:
    case Kind::login:
    case Kind::infile:
    case Kind::error:
      break;
  }
  if (owes_eof_) put_eof_of_columns(out);
  if (received.unasked) number_ = 0;
  return Pass::as_is;
}

}  // namespace turnout::protocol::mysql
