// The shadow of one deployment on one worker: reads that clients had answered wait here until the other side has caught
// up with their answer, run there on lanes of their own, and are compared. A difference goes on trial: the writer, the
// other side, the writer again (router/shadow_match.h).
//
// Always true: no client waits for anything of this, and no session is referred to; everything it keeps is within
// shadow.queue and shadow.memory, and what finds no room is dropped and counted. At most one errand (a trial, or the
// asking for plans) at a time, and errands take a tenth of the time at most, for they cost the writer something. While
// anything is held, or the shadow is off, there are no lanes.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proxy/lane_pauses.h"
#include "proxy/pool_rules.h"
#include "proxy/shadow_lane.h"
#include "proxy/shadow_read.h"
#include "proxy/shadow_request.h"
#include "router/shadow.h"
#include "router/shadow_book.h"
#include "router/shadow_docket.h"
#include "router/shadow_facts.h"
#include "router/shadow_match.h"

namespace turnout::proxy {

class Shard;

class ShadowRunner {
 public:
  explicit ShadowRunner(Shard& shard);
  ~ShadowRunner();
  ShadowRunner(const ShadowRunner&) = delete;
  ShadowRunner& operator=(const ShadowRunner&) = delete;

  // ---- from sessions
  [[nodiscard]] bool looks();                     // of each unit: is its shape to be found out?
  [[nodiscard]] bool wants(std::uint64_t shape);  // behind a looks() that was true
  // What it needs is had of shadow.memory. Nothing: dropped.
  [[nodiscard]] std::optional<ShadowTaken> take(std::unique_ptr<ShadowRead> read);
  [[nodiscard]] router::AnswerReader::Limits answer_limits() const { return {limits().result_bytes_max, 0}; }
  // `required_sample`: what the other side must have applied to know all that the writer's answer showed.
  void submit(ShadowTaken taken, const router::AnswerDigest& answer, std::uint64_t required_sample);
  void dropped(router::ShadowDrop drop) { book_.dropped(drop); }
  // PostgreSQL: shadow_parameters() of a session. Most sessions have the same, so the latest is remembered.
  [[nodiscard]] const ParametersPtr& parameters_for(const Parameters& session);

  // ---- from the shard
  void interrupt();                          // drops all, closes the lanes
  std::uint32_t tick(std::uint64_t now_ms);  // in how many milliseconds it wants the next one; 0 = whenever
  bool give_way(const RoomClaim& claim);     // closes an idle lane within that limit
  [[nodiscard]] std::vector<std::uint32_t> pids(router::Side side) const;

  // ---- from control
  [[nodiscard]] router::ShadowBook::Look take_look() { return book_.take(); }
  void ask_plans(const std::vector<std::uint64_t>& shapes);

  [[nodiscard]] const conf::Shadow& limits() const;
  // ---- from lanes
  [[nodiscard]] const router::ShapeHash& hash_start() const { return hash_start_; }
  void opened();
  void failed(const ShadowLane& lane, bool was_busy);
  void answered(const ShadowLane& lane, std::uint64_t work, ShadowReply reply);

 private:
  struct Job {
    ShadowTaken taken;
    router::AnswerDigest writer;
    std::uint64_t required_sample = 0;
    std::uint64_t since_ms = 0;
  };
  // What is known of a shape on this worker, beyond what control has been told.
  struct Known {
    router::ShadowFacts facts;
    router::ShadowPace pace;
    std::uint32_t proven = 0, unsettled = 0;
    bool was_same = false;
  };
  enum class Stage : std::uint8_t { ask_writer, await_other, ask_other, ask_writer_again, rest };
  struct Errand {
    Job job;
    bool is_for_plans = false;
    Stage stage = Stage::ask_writer;
    bool is_asked = false;  // the stage's question is on its way
    router::ShadowTrial trial{router::ShadowTrial::Limits{}};
    router::KeptAnswer writer{}, other{};
    std::uint64_t required_sample = 0;
    std::uint64_t not_before_ms = 0, waits_since_ms = 0, asked_ms = 0;
    std::uint64_t busy_ms = 0;  // that the servers have been at it
    std::array<std::string, 2> plans{};
  };

  [[nodiscard]] std::uint64_t proven_sample() const;
  [[nodiscard]] router::Side writer_side() const;
  [[nodiscard]] std::uint64_t now_ms() const;
  [[nodiscard]] ShadowLane* lane_for(SharedAccount& account, router::Side side);
  [[nodiscard]] bool is_shut_out(const SharedAccount& account, router::Side side) const;
  void make_lane(SharedAccount& account, router::Side side);
  void retire(std::vector<std::unique_ptr<ShadowLane>>::iterator lane);
  void sweep_lanes(std::uint64_t now_ms);
  void give_work(std::uint64_t now_ms);
  void start_jobs(std::uint64_t now_ms);
  void start_train(std::size_t first, std::uint64_t proven, ShadowLane& lane, std::uint64_t now_ms);
  void drop_late(std::uint64_t now_ms);
  void drop_all(const SharedAccount& account);

  [[nodiscard]] Known& known(const ShadowRead& read);
  [[nodiscard]] router::ShadowShape* page(const ShadowRead& read);
  void note(const ShadowRead& read, router::ShadowOutcome outcome, const std::string& words = {});
  void judge(Job job, const ShadowReply& reply);
  void suspect(Job job, router::ShadowMatch match);

  void start_errand(Job job, bool is_for_plans);
  void continue_errand(std::uint64_t now_ms);
  void errand_answered(ShadowReply reply);
  void judge_bracket(const router::KeptAnswer& writer_again);
  void end_trial(router::TrialVerdict verdict, router::ShadowMatch match);
  void end_errand();

  Shard& shard_;
  const router::ShapeHash hash_start_;
  router::ShadowSampler sampler_;
  Parameters session_parameters_;           // of the latest copy: its session's,
  ParametersPtr shadow_parameters_;         // and what came of them
  std::uint32_t shadow_parameters_ms_ = 0;  // with this time limit; 0 = there is none yet
  router::ShadowBook book_;
  std::unordered_map<std::uint64_t, Known> known_;
  std::unordered_map<std::uint64_t, std::uint64_t> taken_;  // by shape: how many reads, run or dropped
  std::deque<Job> queue_;                                   // oldest first
  std::map<std::uint64_t, Job> running_;                    // by the lane's number of work
  router::ShadowDocket<Job> suspects_;
  std::optional<Errand> errand_;
  std::uint64_t errand_work_ = 0;  // number of what its lane is busy with, 0 = nothing
  std::uint64_t errand_rests_until_ms_ = 0;
  std::set<std::uint64_t> plans_wanted_;
  std::vector<std::unique_ptr<ShadowLane>> lanes_;
  std::vector<std::unique_ptr<ShadowLane>> retired_;  // closed; one of them may be what is calling just now
  std::uint64_t lane_retry_ms_ = 0;                   // limits that are shared leave no room before
  LanePauses pauses_;
  bool was_ramped_ = false;  // at the last suspect
  std::uint64_t works_ = 0;
  const std::shared_ptr<std::size_t> memory_ = std::make_shared<std::size_t>(0);  // of all requests, also sessions'
};

}  // namespace turnout::proxy
