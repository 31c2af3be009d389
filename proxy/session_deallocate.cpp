// DEALLOCATE of statements that the protocol made: alone, or in a text with others (psqlODBC has a savepoint around
// it).
#include <algorithm>

#include "protocol/pg/deallocate.h"
#include "proxy/session.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

// An empty statement in the place of one that others use.
void Session::prepare_gone(std::string_view name) {
  pg::put_close_statement(worker().to_server.own(), name);  // if one before did not get as far as being deallocated
  server_->exchange.sent(pg::Request::close, pg::Owner::ours);
  put_parse(name, std::string_view("\0\0\0", 3));
  server_->exchange.sent(pg::Request::parse, pg::Owner::ours);
}

// DEALLOCATE by name, of a statement that the protocol made and others may use: the client forgets it, and the server
// deallocates an empty one in its place, so that the answer is the server's own.
bool Session::is_deallocate_of_ours(const pg::Watch& watch) const {
  return watch.statements == 1 && watch.effects.size() == 1 && watch.effects[0].kind == pg::EffectKind::deallocate &&
         client_status_ != 'E' && prepared_.contains(watch.effects[0].name);
}

bool Session::take_deallocate(const pg::Watch& watch) {
  if (!is_deallocate_of_ours(watch)) return false;
  bound_ = nullptr;
  prepared_.erase(watch.effects[0].name);
  prepare_gone(gone_name);
  return true;
}

// The server deallocates an empty statement in the place of each; the client's own are forgotten when it has done so.
bool Session::take_deallocates(const pg::Watch& watch, std::string_view sql) {
  const bool is_ours =
      client_status_ != 'E' && std::any_of(watch.effects.begin(), watch.effects.end(), [&](const pg::Effect& effect) {
        return effect.kind == pg::EffectKind::deallocate && prepared_.contains(effect.name);
      });
  if (!is_ours) return false;
  std::string text;
  std::size_t copied = 0;
  std::size_t number = 0;
  for (const pg::DeallocatedName& one : pg::deallocated_names(sql)) {
    if (!prepared_.contains(one.name)) continue;
    const std::string gone = std::string(gone_name) + "_" + std::to_string(++number);
    prepare_gone(gone);
    const auto at = static_cast<std::size_t>(one.text.data() - sql.data());
    text.append(sql.substr(copied, at - copied)).append(gone);
    copied = at + one.text.size();
  }
  pg::put_query(worker().to_server.own(), text.append(sql.substr(copied)));
  server_->exchange.sent(pg::Request::query, pg::Owner::client, work_);
  return true;
}

}  // namespace turnout::proxy
