// COM_CHANGE_USER: the session ends, its client goes on. What it had on a server connection is reset there before the
// login of the other user begins, so that nobody meets its locks or its transaction afterwards; the rest of it ends
// with the session itself, and the next one begins as any other does: another account, hence another pool. A server of
// MariaDB goes on with the former user when the change is refused, and so do we; MySQL ends the connection.
#include "proxy/mysql/greeting.h"
#include "proxy/mysql/session.h"
#include "proxy/worker.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

void Session::begin_change_of_user(const Header& header, Bytes rest) {
  if (header.goes_on() || header.payload > my::login_bytes_max) {
    protocol_violation("a change of user that is too long");
    return;
  }
  if (rest.size() < header.total()) return;
  // What is behind it would be taken for part of the login.
  if (rest.size() > header.total() || transport_.has_pending() || !output_.empty()) {
    protocol_violation("a change of user with something behind it, or before the last answer was read");
    return;
  }
  // What a late KILL might hit, or what waits for the socket, is cleaned when that is over, by the pool.
  if (server_ != nullptr && (server_->cancels_in_flight != 0 || server_->is_backed_up())) leave_server();
  if (server_ == nullptr) {
    change_user(header, rest.subspan(my::header_bytes, header.payload));
    return;
  }
  is_changing_user_ = true;
  begin_only_ = false;
  server_->put_reset(worker().to_server.own());
}

// Nothing is owed on it, and nothing of the session is left there.
void Session::cleaned_for_change() {
  is_changing_user_ = false;
  pins_ = 0;
  is_table_locked_ = has_characteristics_ = false;
  server_->last_session = 0;
  detach();
  run_input();  // the command is the first thing in there
}

void Session::change_user(const Header& header, Bytes payload) {
  auto wanted = my::parse_change_user(payload, capabilities_);
  if (!wanted) {
    protocol_violation("a change of user that cannot be read");
    return;
  }
  ChangeOfUser change;
  change.address = address_;
  change.number = number_;
  change.agreed = capabilities_;
  change.user = account_.shared.user;
  change.database = database_;
  change.refused = refused_changes_;
  change.nonce = nonce_;
  change.collation = collation_of(account_.shared.dialect);
  change.packet = header.number;
  change.wanted = std::move(*wanted);
  change.transport = hand_over();
  shard_.add_greeting(std::make_unique<Greeting>(shard_, std::move(change)));
}

}  // namespace turnout::proxy::mysql
