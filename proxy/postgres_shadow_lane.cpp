#include "proxy/postgres_shadow_lane.h"

#include <utility>

#include "proxy/shadow_request.h"
#include "proxy/shadow_runner.h"
#include "proxy/shard.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

PostgresShadowLane::~PostgresShadowLane() {
  close();
}

std::unique_ptr<Connection> PostgresShadowLane::make_connection() {
  return std::make_unique<ServerConnection>(account_.pool(side_, router::Access::read),
                                            account_.shard.worker.next_connection_id(), this);
}

std::optional<Abandoned> PostgresShadowLane::cut_short() {
  const ServerConnection& connection = of_postgres(*connection_);
  return Abandoned{connection.address(), connection.backend_pid(), connection.cancel_key()};
}

void PostgresShadowLane::put(const ShadowRead& read, std::uint64_t kept_bytes_max) {
  const auto& request = static_cast<const ShadowRequest&>(read);
  const conf::Deployment& conf = account_.shard.settings->conf;
  types_ = side_ == router::Side::green ? account_.types : nullptr;
  std::string message;
  const ShadowSent sent =
      put_request(message, request, of_postgres(*connection_), types_ ? &types_->to_server : nullptr,
                  conf.pool.prepared_statements_max, kept_bytes_max != 0 || types_ != nullptr);
  is_as_usual_ = sent.is_as_usual;
  prepares_ = sent.prepares;
  is_prepared_ = request.statement != nullptr;
  reader_.emplace(runner_.hash_start(), router::AnswerReader::Limits{conf.shadow.result_bytes_max, kept_bytes_max},
                  types_ ? &types_->to_native : nullptr);
  reader_->skip(sent.answers_before);
  start_clock();
  connection_->send(message);
}

// ---- from the connection -------------------------------------------------------------------------------------------

void PostgresShadowLane::line_opened(ServerConnection&) {
  opened();
}

void PostgresShadowLane::line_failed(ServerConnection&, const LoginFailure&) {
  lost();
}

std::size_t PostgresShadowLane::line_bytes(ServerConnection&, pg::Bytes data) {
  if (!reader_) return data.size();  // nobody has asked: a notice, or last words
  reader_->feed(data);
  if (reader_->is_over()) finish();
  return data.size();
}

void PostgresShadowLane::finish() {
  // "cached plan must not change result type": the statement that the connection keeps is older than the tables.
  const bool is_stale = is_prepared_ && reader_->digest().sqlstate == "0A000";
  const bool is_usable = !is_stale && !reader_->has_failed_before() && reader_->status() == 'I' &&
                         reader_->digest().gap != router::AnswerGap::malformed;
  if (!is_usable) return lost();  // it is not as the session had it, or not understood
  ShadowReply reply;
  reply.answer = {reader_->digest(), reader_->columns(), reader_->kept(), reader_->keeps_rows()};
  if (is_as_usual_) reply.us = clock_us();
  reader_.reset();
  rest();
  // Whether the server keeps what was prepared in a request that failed is not known here.
  if (prepares_ && !reply.answer.digest.sqlstate.empty()) close();
  answered(std::move(reply));
}

// It reads for itself, and listens to nothing.
void PostgresShadowLane::line_answered(ServerConnection&) {}
void PostgresShadowLane::line_notified(ServerConnection&, pg::Bytes) {}
void PostgresShadowLane::line_read() {}

}  // namespace turnout::proxy
