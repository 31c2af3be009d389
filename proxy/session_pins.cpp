// When a pin ends: temporary objects, held cursors, SQL-level PREPARE and session advisory locks are gone when the
// server says so. It is asked once, at the next safe point, after a statement that may have ended one: by its command
// tag, by an unlock, or because the state was made inside a transaction, which may have been rolled back.
#include <charconv>
#include <string>

#include "proxy/session.h"
#include "proxy/subscription.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

struct Question {
  Pin pin;
  const char* exists;
};
constexpr std::array<Question, 4> questions = {{
    {pin_temp_object,
     "SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema() UNION ALL "
     "SELECT FROM pg_catalog.pg_type WHERE typnamespace = pg_catalog.pg_my_temp_schema() UNION ALL "
     "SELECT FROM pg_catalog.pg_proc WHERE pronamespace = pg_catalog.pg_my_temp_schema() UNION ALL "
     "SELECT FROM pg_catalog.pg_operator WHERE oprnamespace = pg_catalog.pg_my_temp_schema()"},
    {pin_hold_cursor, "SELECT FROM pg_catalog.pg_cursors WHERE is_holdable"},
    {pin_advisory_lock,
     "SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()"},
    {pin_sql_prepare, "SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql"},
}};

// "12 4": of the pins 12 was asked, 4 stands.
std::string question_of(std::uint32_t pins) {
  std::string sql = "SELECT pg_catalog.concat(" + std::to_string(pins) + ", ' ', 0";
  for (const Question& question : questions)
    if ((pins & question.pin) != 0)
      sql += std::string(" + CASE WHEN EXISTS (") + question.exists + ") THEN " + std::to_string(question.pin) +
             " ELSE 0 END";
  return sql + ")";
}

}  // namespace

// Its transaction may undo it, or the text only tried.
void Session::pin(Pin reason, bool for_sure) {
  pins_ |= reason;
  pinned_anew_ |= reason;
  if (!for_sure || client_status_ != 'I') recheck_ |= reason;
}

void Session::note_ending_tag(std::string_view tag) {
  if (tag.starts_with("DROP ") || tag.starts_with("DISCARD TEMP")) recheck_ |= pin_temp_object;
  if (tag.starts_with("CLOSE CURSOR")) recheck_ |= pin_hold_cursor;
  if (tag.starts_with("DEALLOCATE")) recheck_ |= pin_sql_prepare;
}

void Session::ask_pins() {
  const std::uint32_t asked = recheck_ & pins_;
  recheck_ = pinned_anew_ = 0;
  send_own(OwnQuery::ask_pins, question_of(asked));
}

void Session::pins_answered(std::string_view row) {
  std::uint32_t asked = 0, standing = 0;
  const char* const end = row.data() + row.size();
  const auto first = std::from_chars(row.data(), end, asked);
  if (first.ec != std::errc{} || first.ptr == end) return;
  if (std::from_chars(first.ptr + 1, end, standing).ec != std::errc{}) return;
  pins_ &= ~(asked & ~standing & ~pinned_anew_ & pins_that_end);
}

// LISTEN pins only where the hub cannot take the channels over.
std::uint32_t Session::visible_pins() const {
  const bool keeps_listening = subscription_ && subscription_->take_over == Subscription::TakeOver::refused;
  return keeps_listening ? pins_ : pins_ & ~static_cast<std::uint32_t>(pin_listen);
}

}  // namespace turnout::proxy
