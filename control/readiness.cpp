#include "control/readiness.h"

#include <chrono>

#include "control/audit_log.h"

namespace turnout::control {

namespace {
constexpr std::uint32_t first_ms = 2'000;  // after a start, or after something has ended: let it settle
constexpr std::uint32_t idle_ms = 1'000;   // looking whether it has been switched on
}  // namespace

void Readiness::start() {
  thread_ = std::thread([this] { loop(); });
}

void Readiness::stop() {
  give_up_ = true;
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Readiness::forget() {
  give_up_ = true;
  {
    const std::lock_guard guard(mutex_);
    newest_.reset();
    ++generation_;
    hurry_ = true;
  }
  wake_.notify_all();
}

std::optional<Readiness::Report> Readiness::newest() const {
  const std::lock_guard guard(mutex_);
  return newest_;
}

void Readiness::loop() {
  std::uint32_t pause_ms = first_ms;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, std::chrono::milliseconds(pause_ms), [this] { return stopping_ || hurry_; });
    if (stopping_) return;
    if (hurry_) {
      hurry_ = false;
      pause_ms = first_ms;
      continue;
    }
    lock.unlock();
    const auto interval_ms = context_.interval_ms();
    if (interval_ms != 0) run_once();
    pause_ms = interval_ms != 0 ? interval_ms : idle_ms;
    lock.lock();
  }
}

void Readiness::run_once() {
  std::uint64_t generation = 0;
  {
    const std::lock_guard guard(mutex_);
    if (stopping_) return;
    generation = generation_;
    give_up_ = false;
  }
  auto checks = context_.look(give_up_);
  if (!checks || give_up_) return;
  Report report;
  report.refusals = refusals(*checks, context_.waived());
  report.checks = std::move(*checks);
  report.at = utc_now();
  report.since = report.at;
  bool changed = false;
  {
    const std::lock_guard guard(mutex_);
    if (generation != generation_) return;
    changed = !newest_ || newest_->refusals.empty() != report.refusals.empty();
    if (!changed) report.since = newest_->since;
    newest_ = report;
  }
  if (changed) context_.on_change(report);
}

}  // namespace turnout::control
