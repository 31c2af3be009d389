#include "control/executor.h"

#include <utility>

#include "proxy/short_slices.h"

namespace turnout::control {

namespace {

// Of old epochs only the newest few hundred steps are kept: a report is written while its epoch is the newest.
constexpr std::size_t times_max = 2048;

bool is_publication(drain::Step step) {
  using enum drain::Step;
  return step == publish_warm || step == publish_hold || step == publish_fence || step == publish_flip ||
         step == publish_release_to || step == publish_release_from || step == publish_doubt || step == publish_normal;
}

bool is_decision(drain::Step step) {
  return step == drain::Step::decide_commit || step == drain::Step::decide_abort;
}

drain::Event event_of(const drain::Action& action, const StepAnswer& answer) {
  drain::Event event;
  event.epoch = action.epoch;
  event.id = action.id;
  event.reason = answer.reason;
  if (is_decision(action.step)) {
    event.kind = drain::EventKind::decision_result;
    event.decision = answer.decision;
  } else {
    event.kind = answer.ok ? drain::EventKind::action_done : drain::EventKind::action_failed;
  }
  return event;
}

}  // namespace

Executor::Executor(const drain::Limits& limits, Runner& runner, const drain::Plan& plan, std::size_t threads)
    : runner_(runner), plan_(plan), thread_count_(threads), limits_(limits) {}

Executor::~Executor() {
  stop();
}

void Executor::start() {
  loop_thread_ = std::thread([this] {
    proxy::ask_for_short_slices();
    loop();
  });
  for (std::size_t i = 0; i < thread_count_; ++i)
    workers_.emplace_back([this] {
      proxy::ask_for_short_slices();
      work();
    });
}

void Executor::stop() {
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
    for (auto& [id, cancelled] : cancels_) cancelled->store(true);
  }
  events_ready_.notify_all();
  jobs_ready_.notify_all();
  if (loop_thread_.joinable()) loop_thread_.join();
  for (auto& worker : workers_) worker.join();
  workers_.clear();
}

bool Executor::is_stopping() const {
  const std::lock_guard guard(mutex_);
  return stopping_;
}

double Executor::now_ms() const {
  return std::chrono::duration<double, std::milli>(Clock::now() - started_).count();
}

void Executor::post(drain::Event event) {
  {
    const std::lock_guard guard(mutex_);
    events_.push_back(std::move(event));
  }
  events_ready_.notify_one();
}

bool Executor::post_if_idle(drain::Event event) {
  {
    const std::lock_guard guard(mutex_);
    if (stopping_ || start_pending_ || state_.is_running()) return false;
    start_pending_ = true;
    events_.push_back(std::move(event));
  }
  events_ready_.notify_one();
  return true;
}

void Executor::set_limits(const drain::Limits& limits) {
  const std::lock_guard guard(mutex_);
  limits_ = limits;
}

drain::State Executor::state() const {
  const std::lock_guard guard(mutex_);
  return state_;
}

std::vector<StepTime> Executor::times(std::uint64_t epoch) const {
  const std::lock_guard guard(mutex_);
  std::vector<StepTime> out;
  for (const auto& time : times_) {
    if (time.epoch == epoch) out.push_back(time);
  }
  return out;
}

void Executor::loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (events_.empty()) {
      const auto due = [&] { return stopping_ || !events_.empty(); };
      if (wake_ms_ < 0) {
        events_ready_.wait(lock, due);
      } else {
        events_ready_.wait_until(lock, started_ + std::chrono::milliseconds(wake_ms_), due);
      }
      if (stopping_) return;
    }
    drain::Event event;  // a tick, unless somebody said more
    if (!events_.empty()) {
      event = std::move(events_.front());
      events_.pop_front();
    }
    lock.unlock();
    advance(event);
    lock.lock();
  }
}

void Executor::advance(const drain::Event& event) {
  drain::State before;
  drain::Limits limits;
  {
    const std::lock_guard guard(mutex_);
    before = state_;
    limits = limits_;
  }
  const auto now = static_cast<std::int64_t>(now_ms());
  auto result = drain::Cutover(limits, plan_).step(before, event, now);
  {
    const std::lock_guard guard(mutex_);
    state_ = result.state;
    wake_ms_ = result.wake_ms;
    if (event.kind == drain::EventKind::operator_start) start_pending_ = false;
    for (const auto id : result.cancelled) {
      if (const auto found = cancels_.find({result.state.epoch, id.value}); found != cancels_.end())
        found->second->store(true);
    }
  }
  runner_.changed(before, result.state, result.note);
  for (const auto& action : result.actions) issue(action);
}

void Executor::issue(const drain::Action& action) {
  const auto time_index = begin_time(action);
  if (is_publication(action.step)) {
    const auto over = [this] { return is_stopping(); };
    stops_.reach("before", action.step, over);
    runner_.publish(action);
    stops_.reach("after", action.step, over);
    end_time(time_index, "");
    post(event_of(action, StepAnswer::done()));
    return;
  }
  {
    const std::lock_guard guard(mutex_);
    auto cancelled = std::make_shared<std::atomic<bool>>(stopping_);
    cancels_[{action.epoch, action.id.value}] = cancelled;
    jobs_.push_back({action, std::move(cancelled), time_index});
  }
  jobs_ready_.notify_one();
}

void Executor::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    jobs_ready_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    const auto over = [&job] { return job.cancelled->load(); };
    stops_.reach("before", job.action.step, over);
    const StepAnswer answer = runner_.run(job.action, *job.cancelled);
    stops_.reach("after", job.action.step, over);
    end_time(job.time_index, answer.ok ? "" : answer.reason);
    lock.lock();
    cancels_.erase({job.action.epoch, job.action.id.value});
    events_.push_back(event_of(job.action, answer));
    events_ready_.notify_one();
  }
}

std::size_t Executor::begin_time(const drain::Action& action) {
  const std::lock_guard guard(mutex_);
  if (times_.size() >= times_max && jobs_.empty() && cancels_.empty()) times_.clear();
  times_.push_back({action.step, action.epoch, action.attempt, now_ms(), -1, ""});
  return times_.size() - 1;
}

void Executor::end_time(std::size_t index, const std::string& reason) {
  const std::lock_guard guard(mutex_);
  if (index >= times_.size()) return;
  times_[index].ended_ms = now_ms();
  times_[index].reason = reason;
}

}  // namespace turnout::control
