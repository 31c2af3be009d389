#include "proxy/shadow_runner.h"

#include <algorithm>
#include <span>
#include <utility>

#include "proxy/mysql/shadow_lane.h"
#include "proxy/postgres_shadow_lane.h"
#include "proxy/shard.h"
#include "proxy/worker.h"
#include "router/mysql_facts.h"
#include "router/mysql_shape.h"
#include "router/shape.h"

namespace turnout::proxy {

using router::ShadowDrop;
using router::ShadowMatch;
using router::ShadowOutcome;
using router::Side;

namespace {

constexpr std::uint32_t tick_ms = 10;         // as often as positions are sampled, by default
constexpr std::uint64_t give_way_ms = 1'000;  // a lane that made room is not opened again at once
constexpr std::uint64_t lane_idle_ms_max = 10'000;
constexpr std::uint64_t answer_grace_ms = 5'000;  // beyond statement_timeout: then the server is not there
constexpr std::size_t looked_ahead = 32;          // jobs of the queue, when the first one's account has no lane free
constexpr std::uint32_t proven_max = 10;          // of a shape; more would prove nothing new, but to a ramp begun since
constexpr std::uint32_t unsettled_max = 5;        // of a shape that was never the same: its answers never are
constexpr std::size_t plans_wanted_max = 16;

}  // namespace

ShadowRunner::ShadowRunner(Shard& shard)
    : shard_(shard),
      hash_start_(shard.deployment.seed),
      sampler_(shard.deployment.seed + shard.worker.index),
      book_(shard.settings->conf.shadow.shapes_max) {}

ShadowRunner::~ShadowRunner() = default;

const conf::Shadow& ShadowRunner::limits() const {
  return shard_.settings->conf.shadow;
}

std::uint64_t ShadowRunner::proven_sample() const {
  return shard_.deployment.tokens.proven.load(std::memory_order_acquire);
}

Side ShadowRunner::writer_side() const {
  return shard_.table().writer;
}

std::uint64_t ShadowRunner::now_ms() const {
  return shard_.worker.loop.now_ms();
}

// ---- from sessions -------------------------------------------------------------------------------------------------

bool ShadowRunner::looks() {
  return sampler_.look(shard_.table().shadow.percent);
}

bool ShadowRunner::wants(std::uint64_t shape) {
  auto known = taken_.find(shape);
  if (known == taken_.end() && taken_.size() < limits().shapes_max * std::size_t{4})
    known = taken_.emplace(shape, 0).first;
  // Whoever has no end of shapes does not have the first runs of each: that would be all that he reads.
  const std::uint64_t runs = known == taken_.end() ? router::ShadowSampler::first_runs : known->second;
  if (!sampler_.take(runs)) return false;
  if (queue_.size() >= limits().queue_max) {  // before anything is copied
    dropped(ShadowDrop::queue_full);
    return false;
  }
  if (known != taken_.end()) ++known->second;
  return true;
}

const ParametersPtr& ShadowRunner::parameters_for(const Parameters& session) {
  const std::uint32_t statement_ms_max = limits().statement_ms_max;
  if (shadow_parameters_ms_ != statement_ms_max || session_parameters_ != session) {
    session_parameters_ = session;
    shadow_parameters_ = std::make_shared<const Parameters>(shadow_parameters(session, statement_ms_max));
    shadow_parameters_ms_ = statement_ms_max;
  }
  return shadow_parameters_;
}

std::optional<ShadowTaken> ShadowRunner::take(std::unique_ptr<ShadowRead> read) {
  const std::size_t bytes = sizeof(ShadowCopy<router::AnswerReader>) + read->bytes();
  if (*memory_ + bytes > limits().bytes_max) {
    dropped(ShadowDrop::memory);
    return std::nullopt;
  }
  return ShadowTaken{std::move(read), MemoryShare(memory_, bytes), 0};
}

void ShadowRunner::submit(ShadowTaken taken, const router::AnswerDigest& answer, std::uint64_t required_sample) {
  if (!router::casts_shadow(shard_.table())) return dropped(ShadowDrop::interrupted);
  if (is_shut_out(*taken.read->account, router::shadow_side(shard_.table()))) return dropped(ShadowDrop::no_server);
  if (queue_.size() >= limits().queue_max) return dropped(ShadowDrop::queue_full);
  queue_.push_back({std::move(taken), answer, required_sample, now_ms()});
  shard_.worker.loop.tick_within(tick_ms);
}

// ---- from the shard ------------------------------------------------------------------------------------------------

void ShadowRunner::interrupt() {
  const std::size_t lost = queue_.size() + running_.size() + suspects_.size() + (errand_ ? 1 : 0);
  for (std::size_t i = 0; i < lost; ++i) dropped(ShadowDrop::interrupted);
  queue_.clear();
  running_.clear();
  suspects_.clear();
  errand_.reset();
  errand_work_ = 0;
  plans_wanted_.clear();
  // Behind it the other side may be the other one, or mended, and the report begins anew: nothing is proven already.
  known_.clear();
  taken_.clear();
  pauses_.clear();
  lanes_.clear();
  retired_.clear();
}

std::uint32_t ShadowRunner::tick(std::uint64_t now_ms) {
  drop_late(now_ms);
  give_work(now_ms);
  sweep_lanes(now_ms);
  if (!queue_.empty() || errand_) return tick_ms;
  if (suspects_.empty()) return 0;
  const std::uint64_t rest_ms = errand_rests_until_ms_ - std::min(errand_rests_until_ms_, now_ms);
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(rest_ms, tick_ms, 500));
}

bool ShadowRunner::give_way(const RoomClaim& claim) {
  const auto idle = std::ranges::find_if(lanes_, [&claim](const auto& lane) {
    const SharedAccount& account = lane->account().shared;
    const bool shares = (claim.limit != SharedLimit::user || account.user == claim.user) &&
                        (claim.limit != SharedLimit::database || account.database == claim.database);
    return shares && lane->side() == claim.side && lane->state() == ShadowLane::State::idle;
  });
  if (idle == lanes_.end()) return false;
  retire(idle);
  lane_retry_ms_ = now_ms() + give_way_ms;
  return true;
}

std::vector<std::uint32_t> ShadowRunner::pids(Side side) const {
  std::vector<std::uint32_t> pids;
  for (const auto& lane : lanes_)
    if (lane->side() == side && lane->backend_pid() != 0) pids.push_back(lane->backend_pid());
  return pids;
}

void ShadowRunner::ask_plans(const std::vector<std::uint64_t>& shapes) {
  for (const std::uint64_t shape : shapes)
    if (plans_wanted_.size() < plans_wanted_max) plans_wanted_.insert(shape);
}

// ---- lanes ---------------------------------------------------------------------------------------------------------

// An idle one, or null: then one is on its way, or there is no room for it.
ShadowLane* ShadowRunner::lane_for(SharedAccount& account, Side side) {
  bool is_opening = false;
  for (const auto& lane : lanes_) {
    if (&lane->account().shared != &account || lane->side() != side) continue;
    if (lane->state() == ShadowLane::State::idle) return lane.get();
    is_opening = is_opening || lane->state() == ShadowLane::State::opening;
  }
  if (!is_opening && now_ms() >= lane_retry_ms_ && !pauses_.is_on(&account, side, now_ms())) make_lane(account, side);
  return nullptr;
}

// It has no lane there, and is to get none before its pause is over.
bool ShadowRunner::is_shut_out(const SharedAccount& account, Side side) const {
  return pauses_.is_on(&account, side, now_ms()) && std::ranges::none_of(lanes_, [&account, side](const auto& lane) {
           return &lane->account().shared == &account && lane->side() == side &&
                  lane->state() != ShadowLane::State::closed;
         });
}

void ShadowRunner::retire(std::vector<std::unique_ptr<ShadowLane>>::iterator lane) {
  (*lane)->close();
  retired_.push_back(std::move(*lane));
  lanes_.erase(lane);
}

// One place stays free for the other of the two sides: an errand needs both. When all are busy there is none: the next
// one that is free is retired then, for whoever comes first.
void ShadowRunner::make_lane(SharedAccount& account, Side side) {
  const auto is_open = [](const auto& lane) { return lane->state() != ShadowLane::State::closed; };
  const auto all = static_cast<std::size_t>(std::ranges::count_if(lanes_, is_open));
  const auto on_side = static_cast<std::size_t>(std::ranges::count_if(
      lanes_, [side, is_open](const auto& lane) { return is_open(lane) && lane->side() == side; }));
  const bool is_full = all >= limits().connections_max || on_side + 1 >= limits().connections_max;
  if (is_full) {
    auto oldest = lanes_.end();
    for (auto at = lanes_.begin(); at != lanes_.end(); ++at) {
      if ((*at)->state() != ShadowLane::State::idle) continue;
      if (on_side + 1 >= limits().connections_max && (*at)->side() != side) continue;
      if (oldest == lanes_.end() || (*at)->since_ms() < (*oldest)->since_ms()) oldest = at;
    }
    if (oldest == lanes_.end()) return;
    retire(oldest);
  }
  lanes_.push_back(shard_.deployment.of_mysql ? mysql::shadow_lane(*this, shard_.account(account), side)
                                              : postgres_shadow_lane(*this, shard_.account(account), side));
  if (!lanes_.back()->open()) lane_retry_ms_ = now_ms() + tick_ms;
}

void ShadowRunner::sweep_lanes(std::uint64_t now_ms) {
  const std::uint64_t busy_ms_max = limits().statement_ms_max + answer_grace_ms;
  const std::uint64_t opening_ms_max = shard_.settings->conf.pool.connect_ms_max;
  for (const auto& lane : lanes_) {
    const std::uint64_t age_ms = now_ms - std::min(now_ms, lane->since_ms());
    const bool is_late = lane->state() == ShadowLane::State::busy && age_ms > busy_ms_max;
    const bool is_lost = lane->state() == ShadowLane::State::opening && age_ms > opening_ms_max;
    if (is_late || is_lost) {
      lane->close();
      failed(*lane, is_late);
    } else if (lane->state() == ShadowLane::State::idle && age_ms > lane_idle_ms_max) {
      lane->close();
    }
  }
  std::erase_if(lanes_, [](const auto& lane) { return lane->state() == ShadowLane::State::closed; });
  retired_.clear();
}

void ShadowRunner::opened() {
  shard_.worker.loop.tick_soon();
}

void ShadowRunner::failed(const ShadowLane& lane, bool was_busy) {
  shard_.worker.loop.tick_within(tick_ms);
  const SharedAccount& account = lane.account().shared;
  pauses_.failed(&account, lane.side(), was_busy, now_ms());
  if (lane.side() == router::shadow_side(shard_.table()) && is_shut_out(account, lane.side())) drop_all(account);
  if (!was_busy) return;
  if (lane.work() == errand_work_) {
    dropped(ShadowDrop::no_server);
    return end_errand();
  }
  for (std::uint64_t work = lane.work(); work != lane.work_end(); ++work)
    if (running_.erase(work) != 0) dropped(ShadowDrop::no_server);
}

void ShadowRunner::answered(const ShadowLane& lane, std::uint64_t work, ShadowReply reply) {
  shard_.worker.loop.tick_within(tick_ms);
  pauses_.answered(&lane.account().shared, lane.side());
  if (errand_ && work == errand_work_) return errand_answered(std::move(reply));
  const auto found = running_.find(work);
  if (found == running_.end()) return;
  Job job = std::move(found->second);
  running_.erase(found);
  judge(std::move(job), reply);
  if (lane.state() != ShadowLane::State::busy) give_work(now_ms());
}

// ---- the queue -----------------------------------------------------------------------------------------------------

void ShadowRunner::drop_late(std::uint64_t now_ms) {
  while (!queue_.empty() && now_ms - std::min(now_ms, queue_.front().since_ms) > limits().lag_ms_max) {
    const bool has_caught_up = proven_sample() >= queue_.front().required_sample;
    dropped(has_caught_up ? ShadowDrop::no_server : ShadowDrop::behind);
    queue_.pop_front();
  }
}

// They would wait for nothing, and keep those of others waiting.
void ShadowRunner::drop_all(const SharedAccount& account) {
  const std::size_t before = queue_.size();
  std::erase_if(queue_, [&account](const Job& job) { return job.taken.read->account == &account; });
  for (std::size_t left = queue_.size(); left != before; ++left) dropped(ShadowDrop::no_server);
}

// The errand has the first lane that is free: behind reads that never end there would be none for it.
void ShadowRunner::give_work(std::uint64_t now_ms) {
  continue_errand(now_ms);
  start_jobs(now_ms);
}

void ShadowRunner::start_jobs(std::uint64_t now_ms) {
  const Side side = router::shadow_side(shard_.table());
  const std::uint64_t proven = proven_sample();
  const SharedAccount* busy = nullptr;  // the latest that has no lane free
  std::size_t at = 0;
  for (std::size_t looked_at = 0; at < queue_.size() && looked_at < looked_ahead; ++looked_at) {
    if (proven < queue_[at].required_sample) return;  // samples are numbered in the order of time, as the queue is
    SharedAccount* const account = queue_[at].taken.read->account;
    ShadowLane* const lane = account == busy ? nullptr : lane_for(*account, side);
    if (lane == nullptr) {
      busy = account;
      ++at;
      continue;
    }
    start_train(at, proven, *lane, now_ms);
  }
}

// That job, and those behind it that may go along.
void ShadowRunner::start_train(std::size_t first, std::uint64_t proven, ShadowLane& lane, std::uint64_t now_ms) {
  const SharedAccount* const account = queue_[first].taken.read->account;
  std::array<std::size_t, router::ShadowTrain::reads_max> places{};  // in the queue
  std::array<const ShadowRead*, router::ShadowTrain::reads_max> reads{};
  std::size_t count = 0;
  router::ShadowTrain train;
  const std::size_t end = std::min(queue_.size(), first + looked_ahead);
  for (std::size_t at = first; at != end && !train.is_full() && proven >= queue_[at].required_sample; ++at) {
    const ShadowTaken& taken = queue_[at].taken;
    if (taken.read->account != account) continue;
    const auto found = known_.find(taken.read->shape);
    if (!train.takes(found == known_.end() ? router::ShadowPace{} : found->second.pace, taken.us)) continue;
    places[count] = at;
    reads[count++] = taken.read.get();
  }
  const std::uint64_t work = works_ + 1;
  count = lane.run(std::span(reads).first(count), work, 0);
  works_ += count;
  for (std::size_t i = 0; i != count; ++i) {
    const auto place = queue_.begin() + static_cast<std::ptrdiff_t>(places[i] - i);  // those before it have left
    place->since_ms = now_ms;
    running_.emplace(work + i, std::move(*place));
    queue_.erase(place);
  }
}

// ---- judging -------------------------------------------------------------------------------------------------------

ShadowRunner::Known& ShadowRunner::known(const ShadowRead& read) {
  if (const auto found = known_.find(read.shape); found != known_.end()) return found->second;
  if (known_.size() >= limits().shapes_max) known_.clear();
  Known fresh;
  const bool is_mysql = shard_.deployment.grammar() == router::Grammar::mysql;
  fresh.facts = is_mysql ? router::mysql_shadow_facts(read.text()) : router::shadow_facts(read.text());
  return known_.emplace(read.shape, std::move(fresh)).first->second;
}

router::ShadowShape* ShadowRunner::page(const ShadowRead& read) {
  if (router::ShadowShape* const found = book_.find(read.shape))
    return book_.open(read.shape, found->database, found->text);
  constexpr std::size_t bytes_max = router::ShadowBook::text_bytes_max;
  const bool is_mysql = shard_.deployment.grammar() == router::Grammar::mysql;
  return book_.open(
      read.shape, read.account->database,
      is_mysql ? router::mysql_shape_text(read.text(), bytes_max) : router::shape_text(read.text(), bytes_max));
}

void ShadowRunner::note(const ShadowRead& read, ShadowOutcome outcome, const std::string& words) {
  router::ShadowShape* const shape = page(read);
  if (shape == nullptr) return;
  ++shape->outcomes[router::index(outcome)];
  if (words.empty()) return;
  if (outcome == ShadowOutcome::explained) shape->explained = words;
  if (outcome == ShadowOutcome::different || outcome == ShadowOutcome::failed) shape->different = words;
  if (outcome == ShadowOutcome::not_compared) shape->not_compared = words;
}

void ShadowRunner::judge(Job job, const ShadowReply& reply) {
  const router::AnswerDigest& there = reply.answer.digest;
  Known& shape = known(*job.taken.read);
  if (router::ShadowShape* const page_of = page(*job.taken.read)) {
    const bool both_fine = job.writer.sqlstate.empty() && there.sqlstate.empty();
    if (both_fine && job.taken.us != 0 && reply.us != 0) {
      page_of->latency[0].add(job.taken.us);
      page_of->latency[1].add(reply.us);
      ++shape.pace.timed;
      shape.pace.other_us = reply.us;
    }
    if (!job.writer.sqlstate.empty()) router::ShadowBook::note_error(*page_of, job.writer.sqlstate, true, false);
    if (!there.sqlstate.empty()) router::ShadowBook::note_error(*page_of, there.sqlstate, false, true);
  }
  const bool is_momentary = router::is_of_the_moment(there.sqlstate);
  const ShadowMatch match = router::match(job.writer, there, shape.facts.is_ordered);
  if (match == ShadowMatch::same) {
    shape.was_same = true;
    note(*job.taken.read, ShadowOutcome::same);
  } else if (is_momentary) {
    note(*job.taken.read, ShadowOutcome::not_compared, "an error of the moment: " + there.sqlstate);
  } else if (!shape.facts.never_same.empty() && match != ShadowMatch::error && match != ShadowMatch::columns) {
    note(*job.taken.read, ShadowOutcome::not_compared, shape.facts.never_same);
  } else if (match == ShadowMatch::unknown) {
    const bool is_writers = job.writer.gap != router::AnswerGap::none;
    note(*job.taken.read, ShadowOutcome::not_compared, router::name(is_writers ? job.writer.gap : there.gap));
  } else {
    return suspect(std::move(job), match);
  }
  if (!errand_ && plans_wanted_.contains(job.taken.read->shape)) return start_errand(std::move(job), true);
}

void ShadowRunner::suspect(Job job, ShadowMatch match) {
  const bool is_ramped = shard_.table().ramp.percent != 0;
  if (is_ramped && !was_ramped_)
    for (auto& [shape, one] : known_) one.proven = 0;
  was_ramped_ = is_ramped;
  const Known& shape = known(*job.taken.read);
  if (match != ShadowMatch::error && !shape.was_same && shape.unsettled >= unsettled_max) {
    note(*job.taken.read, ShadowOutcome::not_compared, "the writer's own answers are never the same");
  } else if (shape.proven >= proven_max || !suspects_.add(job.taken.read->shape, std::move(job))) {
    note(*job.taken.read, ShadowOutcome::unproven);
  }
}

}  // namespace turnout::proxy
