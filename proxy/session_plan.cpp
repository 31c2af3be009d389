// Prepared statements that a server no longer takes: "cached plan must not change result type" after DDL (0A000), or a
// statement that is gone from the connection (26000). The unit is run once more with the statement prepared anew, where
// nobody can notice: outside a transaction, nothing told but ParseComplete, CloseComplete and the parameters' types
// (which come before the refusal when a statement is described), and the client is told the new columns or has never
// been told the old ones. Else the client gets the server's error, as it would without us, and who prepares the text
// anew gets a statement of its own, on every connection.
#include <utility>

#include "proxy/session.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::size_t recorded_bytes_max = 16 * 1024;
constexpr std::size_t spare_max = 64;
constexpr std::size_t spare_bytes_min = 64;  // less is not worth to be lent

bool is_of_segment(char type) {
  return type == 'P' || type == 'B' || type == 'D' || type == 'E' || type == 'C' || type == 'H' || type == 'S';
}

bool is_trivial(char type) {
  return type == '1' || type == '3' || type == 't';
}

}  // namespace

// ---- keeping the unit until its first answer -----------------------------------------------------------------------

// `at` is the message's place in what is being read, `from` that of the first one of it that belongs to the recording:
// the bytes of a whole reading are kept at once (keep_recorded), behind what earlier readings brought.
void Session::record(const pg::Header& header, pg::Bytes message, std::size_t at, std::size_t& from) {
  if (record_ == Record::ready) {
    const bool is_named_parse =
        header.type == 'P' && message.size() > pg::header_bytes && message[pg::header_bytes] != 0;
    if (client_status_ != 'I' || ramped_ ||
        !(is_named_parse || header.type == 'B' || header.type == 'D' || may_wait_for_lock(header.type))) {
      record_ = Record::off;
      return;
    }
    record_ = Record::on;
    told_more_ = segment_describes_ = false;
    told_trivial_ = 0;
    from = at;
  }
  segment_describes_ = segment_describes_ || header.type == 'D';
  const bool is_query = header.type == 'Q' && from == at && replay_.empty();
  const bool fits = body_left_ == 0 && replay_.size() + (at - from) + message.size() <= recorded_bytes_max;
  if (record_ == Record::whole || !fits || (!is_query && !is_of_segment(header.type))) {
    stop_recording();
    return;
  }
  if (header.type == 'S' || is_query) record_ = Record::whole;
}

void Session::keep_recorded(pg::Bytes bytes) {
  if (record_ == Record::ready || bytes.empty()) return;
  auto& spares = worker().spare_buffers;
  if (replay_.empty() && !spares.empty()) {
    replay_ = std::move(spares.back());
    spares.pop_back();
  }
  replay_.append(pg::text(bytes));
}

void Session::stop_recording() {
  if (record_ == Record::on || record_ == Record::whole) {
    replay_.clear();
    auto& spares = worker().spare_buffers;
    if (spares.size() < spare_max && replay_.capacity() >= spare_bytes_min) spares.push_back(std::move(replay_));
    replay_ = {};
  }
  record_ = Record::off;
  bound_ = nullptr;
}

// ---- an error ------------------------------------------------------------------------------------------------------

// true: the client hears nothing of it, the unit will run once more.
bool Session::renew_plan(ServerConnection& connection, const pg::Exchange::Entry& entry, pg::Bytes error) {
  const bool is_about_statement = entry.owner == pg::Owner::client && entry.statement != 0 &&
                                  (entry.request == pg::Request::bind || entry.request == pg::Request::describe);
  if (!is_about_statement) return false;
  const pg::ErrorFields fields = pg::parse_error(error);
  const bool is_gone = fields.sqlstate == "26000";
  const bool has_changed =
      fields.sqlstate == "0A000" && pg::text(error).find("RevalidateCachedQuery") != std::string_view::npos;
  if (!is_gone && !has_changed) return false;
  StatementPtr old;
  bool knows_columns = false;
  for (const auto& [name, prepared] : prepared_) {
    if (prepared.statement->number != entry.statement) continue;
    old = prepared.statement;
    knows_columns = knows_columns || prepared.is_described;
  }
  if (!old) return false;
  if (has_changed) old->is_stale.store(true, std::memory_order_relaxed);
  connection.drop_statement(is_gone ? entry.statement : 0);
  if (knows_columns && !segment_describes_ && has_changed) return false;
  const StatementPtr renewed = worker().statements.intern(old->content);
  for (auto& [name, prepared] : prepared_)
    if (prepared.statement == old) prepared.statement = renewed;
  const bool is_unseen = record_ == Record::whole && !told_more_ && !was_renewed_ && client_status_ == 'I';
  if (!is_unseen) return false;
  was_renewed_ = true;
  skip_trivial_ = told_trivial_;
  return true;
}

// Of the second run: has the client had this reply already?
bool Session::was_told(char type) {
  if (skip_trivial_ == 0 || !is_trivial(type)) return false;
  --skip_trivial_;
  return true;
}

void Session::note_told(char type) {
  if (is_trivial(type))
    ++told_trivial_;
  else
    told_more_ = true;
}

// ---- trying them elsewhere ------------------------------------------------------------------------------------------

void Session::add_prepared_texts(std::set<Proxy::PreparedText>& texts) const {
  if (has_own_names()) return;
  for (const auto& [name, prepared] : prepared_) {
    if (texts.size() >= Proxy::prepared_texts_max) return;
    if (prepared.statement)
      texts.insert({account_.shared.database, account_.shared.user, prepared.statement->content, number_});
  }
}

// Its names may mean something else than everybody's.
bool Session::has_own_names() const {
  return parameters_.find("search_path") != nullptr || parameters_.find("role") != nullptr ||
         parameters_.find("session_authorization") != nullptr;
}

}  // namespace turnout::proxy
