// Errands of the shadow: a difference on trial, and the plans of a shape that got slower. Both ask the writer as well.
#include <algorithm>
#include <span>
#include <utility>

#include "proxy/shadow_runner.h"
#include "proxy/shard.h"
#include "proxy/worker.h"
#include "router/shadow_plan.h"

namespace turnout::proxy {

using router::ShadowDrop;
using router::ShadowMatch;
using router::ShadowOutcome;
using router::Side;

namespace {

constexpr std::size_t plan_bytes_max = 64 * 1024;
constexpr std::uint64_t errand_rest_factor = 9;   // so that errands take a tenth of the time at most
constexpr std::uint64_t errand_rest_ms_min = 10;  // between two questions, too: what takes no millisecond costs as well

}  // namespace

void ShadowRunner::start_errand(Job job, bool is_for_plans) {
  const std::uint64_t now = now_ms();
  plans_wanted_.erase(is_for_plans ? job.taken.read->shape : 0);
  if (is_for_plans) {
    auto asked = job.taken.read->explained();
    if (!asked) return;
    job.taken.read = std::move(asked);
  }
  errand_.emplace(Errand{std::move(job)});
  errand_->is_for_plans = is_for_plans;
  errand_->trial = router::ShadowTrial({limits().brackets, limits().brackets * 2 + 2});
  errand_->waits_since_ms = now;
  errand_work_ = 0;
  shard_.worker.loop.tick_within(1);
}

void ShadowRunner::continue_errand(std::uint64_t now_ms) {
  if (!errand_) {
    if (now_ms < errand_rests_until_ms_) return;
    auto job = suspects_.next();
    if (!job) return;
    start_errand(std::move(*job), false);
  }
  Errand& errand = *errand_;
  if (errand.is_asked || now_ms < errand.not_before_ms) return;
  if (now_ms - std::min(now_ms, errand.waits_since_ms) > limits().lag_ms_max) {
    dropped(errand.stage == Stage::await_other ? ShadowDrop::behind : ShadowDrop::no_server);
    return end_errand();
  }
  if (errand.stage == Stage::await_other) {
    if (proven_sample() < errand.required_sample) return;
    errand.stage = Stage::ask_other;
  }
  if (errand.stage == Stage::rest) errand.stage = Stage::ask_writer;
  const Side side = errand.stage == Stage::ask_other ? router::shadow_side(shard_.table()) : writer_side();
  ShadowLane* const lane = lane_for(*errand.job.taken.read->account, side);
  if (lane == nullptr) {
    if (!is_shut_out(*errand.job.taken.read->account, side)) return;
    dropped(ShadowDrop::no_server);
    return end_errand();
  }
  errand.is_asked = true;
  errand.asked_ms = now_ms;
  errand_work_ = ++works_;
  const std::uint64_t kept_bytes_max =
      errand.is_for_plans ? plan_bytes_max : std::max<std::uint64_t>(limits().bytes_max / 8, 1);
  const ShadowRead* const read = errand.job.taken.read.get();
  static_cast<void>(lane->run(std::span(&read, 1), errand_work_, kept_bytes_max));
}

void ShadowRunner::errand_answered(ShadowReply reply) {
  Errand& errand = *errand_;
  errand.is_asked = false;
  errand.waits_since_ms = now_ms();
  errand.busy_ms += errand.waits_since_ms - std::min(errand.waits_since_ms, errand.asked_ms);
  errand.not_before_ms = errand.waits_since_ms + errand_rest_ms_min;
  errand_work_ = 0;
  if (errand.is_for_plans) {
    const bool is_writers = errand.stage == Stage::ask_writer;
    if (!reply.answer.digest.sqlstate.empty()) return end_errand();
    errand.plans[is_writers ? 0 : 1] =
        router::masked_plan(router::plan_text(reply.answer), router::ShadowBook::plan_bytes_max);
    errand.stage = Stage::ask_other;
    if (is_writers) return;
    if (router::ShadowShape* const shape = book_.find(errand.job.taken.read->shape)) shape->plans = errand.plans;
    return end_errand();
  }
  switch (errand.stage) {
    case Stage::ask_writer:
      errand.writer = std::move(reply.answer);
      // A sample that begins after this answer shows all that the answer showed.
      errand.required_sample = shard_.deployment.tokens.started.load(std::memory_order_acquire) + 1;
      errand.stage = Stage::await_other;
      break;
    case Stage::ask_other:
      errand.other = std::move(reply.answer);
      errand.stage = Stage::ask_writer_again;
      break;
    case Stage::ask_writer_again:
      judge_bracket(reply.answer);
      break;
    case Stage::await_other:
    case Stage::rest:
      break;  // nothing is asked in these
  }
}

void ShadowRunner::judge_bracket(const router::KeptAnswer& writer_again) {
  Errand& errand = *errand_;
  const router::ShadowFacts& facts = known(*errand.job.taken.read).facts;
  // Of what is never the same only errors and columns say anything.
  const auto matched = [&](const router::KeptAnswer& other) {
    const ShadowMatch match = router::match(errand.writer.digest, other.digest, facts.is_ordered);
    const bool is_about_rows = match == ShadowMatch::rows || match == ShadowMatch::order;
    return is_about_rows && !facts.never_same.empty() ? ShadowMatch::same : match;
  };
  const bool is_stable = matched(writer_again) == ShadowMatch::same;
  ShadowMatch of_other = matched(errand.other);
  if (router::is_of_the_moment(errand.other.digest.sqlstate)) of_other = ShadowMatch::unknown;
  const router::TrialVerdict verdict = errand.trial.add(is_stable, of_other);
  if (verdict != router::TrialVerdict::again) return end_trial(verdict, of_other);
  errand.stage = Stage::rest;
  errand.not_before_ms = now_ms() + errand.trial.pause_ms();
  errand.waits_since_ms = errand.not_before_ms;
}

void ShadowRunner::end_trial(router::TrialVerdict verdict, ShadowMatch match) {
  const Errand& errand = *errand_;
  const ShadowRead& read = *errand.job.taken.read;
  Known& shape = known(read);
  switch (verdict) {
    case router::TrialVerdict::same:
      shape.was_same = true;
      note(read, ShadowOutcome::caught_up);
      break;
    case router::TrialVerdict::unsettled:
      ++shape.unsettled;
      note(read, ShadowOutcome::unsettled);
      break;
    case router::TrialVerdict::different: {
      ++shape.proven;
      const router::Explanation told = router::explain_difference(errand.writer, errand.other, match, shape.facts);
      const ShadowOutcome outcome = match == ShadowMatch::error ? ShadowOutcome::failed : ShadowOutcome::different;
      note(read, told.is_explained ? ShadowOutcome::explained : outcome, told.text);
      break;
    }
    case router::TrialVerdict::again:
      return;
  }
  end_errand();
}

void ShadowRunner::end_errand() {
  errand_rests_until_ms_ = now_ms() + std::max(errand_rest_ms_min, errand_rest_factor * errand_->busy_ms);
  errand_.reset();
  errand_work_ = 0;
}

}  // namespace turnout::proxy
