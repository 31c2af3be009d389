// DEALLOCATE, in a text, of statements that the protocol made, also between others: psqlODBC has a savepoint around it.
#include <algorithm>

#include "protocol/pg/deallocate.h"
#include "proxy/session.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

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
    const std::string gone = std::string(server_side_prefix) + "gone_" + std::to_string(++number);
    pg::put_close_statement(worker().to_server.own(), gone);  // if one before did not get as far as being deallocated
    server_->exchange.sent(pg::Request::close, pg::Owner::ours);
    put_parse(gone, std::string_view("\0\0\0", 3));
    server_->exchange.sent(pg::Request::parse, pg::Owner::ours);
    const auto at = static_cast<std::size_t>(one.text.data() - sql.data());
    text.append(sql.substr(copied, at - copied)).append(gone);
    copied = at + one.text.size();
  }
  pg::put_query(worker().to_server.own(), text.append(sql.substr(copied)));
  server_->exchange.sent(pg::Request::query, pg::Owner::client, work_);
  return true;
}

}  // namespace turnout::proxy
