// A share of the reads that the writer answers is run on the other side as well: what a session has to do with it,
// which is to leave a copy of the request, and to let the answer be read over its shoulder.
#include <utility>

#include "proxy/session.h"
#include "proxy/shadow_runner.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

// Decided together with the unit, while its texts are at hand.
void Session::begin_shadow(const router::Unit& unit, const router::Route& route, pg::Bytes segment) {
  if (read_begins_ || only_prepares_ || no_ramp_ || !router::may_shadow(shard_.table(), unit, route)) return;
  ShadowRunner& runner = *shard_.shadow;
  const std::uint64_t shape = shard_.reads.only_shape();
  if (shape == 0 || !runner.wants(shape)) return;
  const ShadowNames names{[this](std::string_view name) {
                            const auto found = prepared_.find(name);
                            return found == prepared_.end() ? StatementPtr() : found->second.statement;
                          },
                          [this](std::string_view content) { return worker().statements.intern(content); },
                          unnamed_parse_};
  std::optional<ShadowRequest> request = read_segment(segment, names);
  if (!request) {
    runner.dropped(router::ShadowDrop::not_whole);
    return;
  }
  request->account = &account_.shared;
  request->shape = shape;
  request->parameters = runner.parameters_for(parameters_);
  auto taken = runner.take(std::make_unique<ShadowRequest>(std::move(*request)));
  if (!taken) return;
  shadow_ = std::make_unique<ShadowCopy<router::AnswerReader>>(ShadowCopy<router::AnswerReader>{
      std::move(*taken), router::AnswerReader(runner.hash_start(), runner.answer_limits())});
}

void Session::attach_shadow(const ServerConnection& connection) {
  if (connection.pool().side() != shard_.table().writer) shadow_.reset();
}

// What the client gets: nothing that only Turnout has asked for is in it, and types have the numbers that clients know.
void Session::feed_shadow(pg::Bytes data) {
  shadow_->answer.feed(data);
}

void Session::time_shadow() {
  if (shadow_->taken.us == 0) shadow_->taken.us = worker().loop.now_us() - since_us_;
}

// At the safe point behind it: what the other side must have applied is known.
void Session::end_shadow() {
  const std::unique_ptr<ShadowCopy<router::AnswerReader>> copy = std::move(shadow_);
  const std::string_view sqlstate = copy->answer.digest().sqlstate;
  if (!shard_.shadow || !copy->answer.is_over() || router::is_of_the_moment(sqlstate)) return;
  if (lease_side_ != shard_.table().writer) return;  // it has moved meanwhile
  shard_.shadow->submit(std::move(copy->taken), copy->answer.digest(), required_sample_);
}

}  // namespace turnout::proxy
