#include "proxy/shadow_lane.h"

#include <utility>

#include "proxy/canceller.h"
#include "proxy/farewell.h"
#include "proxy/shadow_runner.h"
#include "proxy/shard.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

ShadowLane::ShadowLane(ShadowRunner& runner, Account& account, router::Side side)
    : runner_(runner), account_(account), side_(side) {}

ShadowLane::~ShadowLane() {
  close();
}

void ShadowLane::set_state(State state) {
  state_ = state;
  since_ms_ = account_.shard.worker.loop.now_ms();
}

bool ShadowLane::open() {
  if (account_.shared.take_shared(side_, account_.shard.settings->conf.limits) != SharedLimit::none) return false;
  set_state(State::opening);
  connection_ = std::make_unique<ServerConnection>(account_.pool(side_, router::Access::read),
                                                   account_.shard.worker.next_connection_id(), this);
  ServerConnection& connection = *connection_;  // opening may fail at once, and close it
  connection.open();
  return true;
}

void ShadowLane::close() {
  reader_.reset();
  if (!connection_) return;
  std::optional<Abandoned> abandoned;
  if (state_ == State::busy)
    abandoned = {connection_->address(), connection_->backend_pid(), connection_->cancel_key()};
  set_state(State::closed);
  Shard& shard = account_.shard;
  Transport leaving = connection_->take_leave();
  shard.worker.loop.bury(std::move(connection_));
  if (!leaving.is_open()) return account_.shared.give_shared(side_);
  // What runs there still is cancelled at once: the drain of a cutover would meet a backend that is nobody's.
  if (abandoned) send_cancel(shard, abandoned->address, abandoned->backend_pid, abandoned->cancel_key, {});
  shard.add_farewell(
      std::make_unique<Farewell>(shard, std::move(leaving), std::move(abandoned),
                                 [&shared = account_.shared, side = side_] { shared.give_shared(side); }));
}

void ShadowLane::run(const ShadowRequest& request, std::uint64_t work, std::uint64_t kept_bytes_max) {
  const Shard& shard = account_.shard;
  const conf::Deployment& conf = shard.settings->conf;
  types_ = side_ == router::Side::green ? account_.types : nullptr;
  std::string message;
  const ShadowSent sent = put_request(message, request, *connection_, types_ ? &types_->to_server : nullptr,
                                      conf.pool.prepared_statements_max, kept_bytes_max != 0 || types_ != nullptr);
  work_ = work;
  is_as_usual_ = sent.is_as_usual;
  prepares_ = sent.prepares;
  is_prepared_ = request.statement != nullptr;
  reader_.emplace(runner_.hash_start(), router::AnswerReader::Limits{conf.shadow.result_bytes_max, kept_bytes_max},
                  types_ ? &types_->to_native : nullptr);
  reader_->skip(sent.answers_before);
  set_state(State::busy);
  sent_us_ = shard.worker.loop.now_us();
  connection_->send(message);  // may lose the line
}

// ---- from the connection -------------------------------------------------------------------------------------------

void ShadowLane::line_opened(ServerConnection&) {
  set_state(State::idle);
  runner_.opened();
}

void ShadowLane::line_failed(ServerConnection&, const LoginFailure&) {
  const bool was_busy = state_ == State::busy;
  close();
  runner_.failed(*this, was_busy);
}

std::size_t ShadowLane::line_bytes(ServerConnection&, pg::Bytes data) {
  if (!reader_) return data.size();  // nobody has asked: a notice, or last words
  reader_->feed(data);
  if (reader_->is_over()) finish();
  return data.size();
}

void ShadowLane::finish() {
  // "cached plan must not change result type": the statement that the connection keeps is older than the tables.
  const bool is_stale = is_prepared_ && reader_->digest().sqlstate == "0A000";
  const bool is_usable = !is_stale && !reader_->has_failed_before() && reader_->status() == 'I' &&
                         reader_->digest().gap != router::AnswerGap::malformed;
  if (!is_usable) {  // it is not as the session had it, or not understood
    close();
    runner_.failed(*this, true);
    return;
  }
  ShadowReply reply;
  reply.answer = {reader_->digest(), reader_->columns(), reader_->kept(), reader_->keeps_rows()};
  if (is_as_usual_) reply.us = account_.shard.worker.loop.now_us() - sent_us_;
  reader_.reset();
  set_state(State::idle);
  // Whether the server keeps what was prepared in a request that failed is not known here.
  if (prepares_ && !reply.answer.digest.sqlstate.empty()) close();
  runner_.answered(*this, std::move(reply));
}

// It reads for itself, and listens to nothing.
void ShadowLane::line_answered(ServerConnection&) {}
void ShadowLane::line_notified(ServerConnection&, pg::Bytes) {}
void ShadowLane::line_read() {}

}  // namespace turnout::proxy
