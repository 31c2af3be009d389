// A share of the reads that the writer answers is run on the other side as well: what a session has to do with it,
// which is to leave a copy of the command, and to let the answer be read over its shoulder.
#include <utility>

#include "proxy/mysql/session.h"
#include "proxy/mysql/shadow_request.h"
#include "proxy/shadow_runner.h"
#include "proxy/worker.h"
#include "router/mysql_answer.h"
#include "router/shadow.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

using Reader = router::MysqlAnswerReader;

// Decided together with the unit. A read that may be shadowed is here whole.
void Session::begin_shadow(const router::Unit& unit, const router::Route& route, Bytes rest) {
  if (no_ramp_ || ramped_ || !router::may_shadow(shard_.table(), unit, route)) return;
  ShadowRunner& runner = *shard_.shadow;
  const std::uint64_t shape = shard_.reads.only_shape();
  if (shape == 0 || !runner.wants(shape)) return;
  auto request = read_command(rest);
  if (!request) {
    runner.dropped(router::ShadowDrop::not_whole);
    return;
  }
  request->account = &account_.shared;
  request->shape = shape;
  request->database = database_;
  request->variables =
      shadow_variables(variables_, conf().shadow.statement_ms_max, shard_.deployment.of_mysql->is_mariadb());
  const bool is_binary = request->is_prepared();
  auto taken = runner.take(std::move(request));
  if (!taken) return;
  shadow_ = std::make_unique<ShadowCopy<Reader>>(
      ShadowCopy<Reader>{std::move(*taken), Reader(runner.hash_start(), runner.answer_limits(), is_binary)});
}

// Null: values whose types nobody has said.
std::unique_ptr<ShadowRequest> Session::read_command(Bytes rest) const {
  Header header;
  if (!my::read_header(rest, header)) return nullptr;
  const Bytes payload = rest.subspan(my::header_bytes, header.payload);
  auto request = std::make_unique<ShadowRequest>();
  if (my::command_of(payload[0]) == Command::query) {
    const auto query = my::parse_query(payload, capabilities_);
    if (!query) return nullptr;
    request->sql = query->sql;
    return request;
  }
  const auto found = prepared_.find(client_statement(payload));
  if (found == prepared_.end()) return nullptr;
  const Prepared& prepared = found->second;
  const auto execute = my::parse_execute(payload, prepared.parameters, capabilities_);
  if (!execute) return nullptr;
  const bool lacks_types = execute->parameters != 0 && !execute->has_types;
  if (lacks_types && prepared.types.empty()) return nullptr;
  request->execute =
      lacks_types ? my::with_types(my::text(payload), *execute, prepared.types) : std::string(my::text(payload));
  request->sql = std::string_view(prepared.key).substr(prepared.sql_at);
  request->key = prepared.key;
  return request;
}

// What Turnout itself has to say there first is no part of how long the read takes.
void Session::attach_shadow(const ServerConnection& connection) {
  if (connection.pool().side() != shard_.table().writer) {
    shadow_.reset();
    return;
  }
  shadow_->answer.begin(connection.exchange.capabilities());
  if (!connection.exchange.is_idle()) shadow_->is_as_usual = false;
}

void Session::feed_shadow(const Received& received, const Header& header, Bytes payload) {
  shadow_->answer.take(received, header, payload);
}

void Session::feed_shadow_more(Bytes payload) {
  shadow_->answer.take_more(payload);
}

void Session::feed_shadow_rows(Bytes packets) {
  shadow_->answer.take_rows(packets);
}

void Session::time_shadow() {
  if (shadow_->is_as_usual) shadow_->taken.us = worker().loop.now_us() - since_us_;
}

// At the safe point behind it: what the other side must have applied is known.
void Session::end_shadow() {
  const std::unique_ptr<ShadowCopy<Reader>> copy = std::move(shadow_);
  const router::AnswerDigest& answer = copy->answer.digest();
  if (!shard_.shadow || !copy->answer.is_over() || router::is_of_the_moment(answer.sqlstate)) return;
  if (lease_side_ != shard_.table().writer) return;  // it has moved meanwhile
  shard_.shadow->submit(std::move(copy->taken), answer, required_sample_);
}

}  // namespace turnout::proxy::mysql
