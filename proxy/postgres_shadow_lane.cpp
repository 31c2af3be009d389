#include "proxy/postgres_shadow_lane.h"

#include <utility>

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

std::size_t PostgresShadowLane::put(std::span<const ShadowRead* const> reads, std::uint64_t kept_bytes_max) {
  const std::uint32_t keep_max = account_.shard.settings->conf.pool.prepared_statements_max;
  types_ = side_ == router::Side::green ? account_.types : nullptr;
  kept_bytes_max_ = kept_bytes_max;
  asked_.clear();
  at_ = 0;
  std::string message;
  for (const ShadowRead* const read : reads) {
    const auto& request = static_cast<const ShadowRequest&>(*read);
    const ShadowSent sent =
        put_request(message, request, of_postgres(*connection_), types_ ? &types_->to_server : nullptr, keep_max,
                    kept_bytes_max != 0 || types_ != nullptr);
    asked_.push_back({sent, request.statement != nullptr});
    if (!sent.may_be_followed()) break;
  }
  begin_answer();
  start_clock();
  connection_->send(message);
  return asked_.size();
}

void PostgresShadowLane::begin_answer() {
  reader_.emplace(runner_.hash_start(),
                  router::AnswerReader::Limits{runner_.limits().result_bytes_max, kept_bytes_max_},
                  types_ ? &types_->to_native : nullptr);
  reader_->skip(asked_[at_].sent.answers_before);
}

// ---- from the connection -------------------------------------------------------------------------------------------

void PostgresShadowLane::line_opened(ServerConnection&) {
  opened();
}

void PostgresShadowLane::line_failed(ServerConnection&, const LoginFailure&) {
  lost();
}

std::size_t PostgresShadowLane::line_bytes(ServerConnection&, pg::Bytes data) {
  std::size_t used = 0;
  while (reader_ && used != data.size()) {
    used += reader_->feed(data.subspan(used));
    if (!reader_->is_over()) continue;
    const bool is_last = at_ + 1 == asked_.size();
    finish();
    if (is_last) break;
  }
  return data.size();  // behind what was asked: a notice, or last words
}

void PostgresShadowLane::finish() {
  // "cached plan must not change result type": the statement that the connection keeps is older than the tables.
  const Asked& asked = asked_[at_];
  const bool is_stale = asked.is_prepared && reader_->digest().sqlstate == "0A000";
  const bool is_usable = !is_stale && !reader_->has_failed_before() && reader_->status() == 'I' &&
                         reader_->digest().gap != router::AnswerGap::malformed;
  if (!is_usable) return lost();  // it is not as the session had it, or not understood
  ShadowReply reply;
  reply.answer = {reader_->digest(), reader_->columns(), reader_->kept(), reader_->keeps_rows()};
  if (asked.sent.is_as_usual && at_ == 0) reply.us = clock_us();
  // Whether the server keeps what was prepared in a request that failed is not known here.
  const bool is_doubtful = asked.sent.prepares && !reply.answer.digest.sqlstate.empty();
  reader_.reset();
  if (++at_ != asked_.size()) begin_answer();
  rest();
  if (is_doubtful) close();
  answered(std::move(reply));
}

// It reads for itself, and listens to nothing.
void PostgresShadowLane::line_answered(ServerConnection&) {}
void PostgresShadowLane::line_notified(ServerConnection&, pg::Bytes) {}
void PostgresShadowLane::line_read() {}

}  // namespace turnout::proxy
