// The numbers of types, where the server has others than clients know: what goes through the connection's TypeLens.
#include "proxy/session.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

TypeLens* Session::lens() const {
  return server_->lens && !server_->exchange.is_skipping() ? server_->lens.get() : nullptr;
}

// Blue's numbers are the ones that clients know, whichever side they talk to.
void Session::look_through(ServerConnection& connection) {
  connection.look_through(connection.pool().side() == router::Side::green ? account_.types : nullptr);
}

void Session::types_changed() {
  if (server_ == nullptr) return;
  if (account_.types || server_->exchange.is_safe_point()) look_through(*server_);
}

void Session::put_parse(std::string_view name, std::string_view content) {
  std::string& out = worker().to_server.own();
  pg::Writer message(out);
  message.begin('P').cstring(name);
  if (server_->lens) {
    server_->lens->put_content(out, content);
    if (name.empty()) server_->lens->unnamed_parsed(content);
  } else {
    message.raw(content);
  }
  message.end();
}

DescribedPtr Session::described(const Prepared* prepared) {
  TypeLens& lens = *server_->lens;
  if (prepared != nullptr) return lens.statement(prepared->statement->number, prepared->statement->content);
  if (!lens.unnamed()) lens.unnamed_parsed({});  // it was there before the lens
  return lens.unnamed();
}

// false: the Bind must wait, for more of itself or for what the server says of its parameters. A client that binds in
// binary what it has not declared has been told on another connection; this one is asked once for each statement.
bool Session::types_allow_bind(const pg::Header& header, const Prepared* prepared, pg::Bytes rest, bool is_whole) {
  const DescribedPtr known = described(prepared);
  switch (TypeLens::bind_readiness(*known, rest, is_whole, header.total())) {
    case TypeLens::Readiness::ready:
      return true;
    case TypeLens::Readiness::incomplete:
      return false;
    case TypeLens::Readiness::needs_description:
      break;
  }
  if (known->asked_parameters && server_->exchange.is_idle()) return true;  // what it answered was no answer
  std::string& out = worker().to_server.own();
  if (!known->asked_parameters) {
    std::string name;
    if (prepared != nullptr) name = server_side_name(prepared->statement->number, server_->statement_generation());
    pg::Writer(out).begin('D').u8('S').cstring(name).end();
    server_->exchange.sent(pg::Request::describe, pg::Owner::ours, 0, server_->lens->describe_statement(known));
  }
  pg::put_empty_message(out, 'H');
  awaiting_types_ = true;
  pause_client(true);
  return false;
}

void Session::forward_query(pg::Bytes message, std::string_view sql) {
  TypeLens* const types = lens();
  if (types == nullptr) {
    forward(message, pg::Request::query);
    return;
  }
  const pg::CatalogUse use = pg::catalog_use(sql);
  const TypeLens::Ticket ticket = types->query(use);
  if (const auto text = types->text_for_server(sql, use)) {
    pg::put_query(worker().to_server.own(), *text);
    server_->exchange.sent(pg::Request::query, pg::Owner::client, work_, ticket);
  } else {
    forward(message, pg::Request::query, ticket);
  }
}

void Session::forward_execute(pg::Bytes message) {
  pg::Reader reader(message.subspan(pg::header_bytes));
  const auto portal = reader.cstring();
  TypeLens::Run run;
  if (TypeLens* const types = lens(); types != nullptr && portal) {
    run = types->execute(*portal);
    if (run.needs_description) {
      pg::Writer(worker().to_server.own()).begin('D').u8('P').cstring(*portal).end();
      server_->exchange.sent(pg::Request::describe, pg::Owner::ours, 0, types->describe_portal(*portal));
      run = types->execute(*portal);
    }
  }
  forward(message, pg::Request::execute, run.ticket);
}

// The header has been sent on when this is the first piece; where the body is whole, its length may have changed.
void Session::pass_body(ServerConnection& connection, pg::Bytes bytes, bool is_last, bool forwards) {
  TypeLens& types = *connection.lens;
  if (!forwards) {
    types.body(types.scratch(), bytes, is_last);
    return;
  }
  const bool resizes = types.wants_whole() && is_last;
  std::string& out = worker().to_client.own();
  const std::size_t at = out.size();
  types.body(out, bytes, is_last);
  if (resizes) put_length(out, at - pg::header_bytes);
}

}  // namespace turnout::proxy
