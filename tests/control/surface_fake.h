// A backend without databases: remembers what it was asked, answers what the test put into it.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "control/access.h"
#include "control/backend.h"

namespace turnout::control {

class FakeBackend : public Backend {
 public:
  bool is_ready = true;
  Answer next{200, 0, boost::json::object{{"ok", true}}};  // for every json call
  Answer next_report = problem(404, "running", "Still running", "Ask again.");
  Answer next_comparison{200, 0, boost::json::object{{"ok", true}}};
  boost::json::object copy;  // of prepare --replicate
  std::vector<TrafficNumbers> numbers;
  std::vector<Operations::Gauges> levels;

  [[nodiscard]] std::vector<std::string> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  void publish(std::string type, boost::json::object data) {
    {
      const std::lock_guard lock(mutex_);
      events_.push_back({events_.size() + 1, std::move(type), std::move(data)});
    }
    changed_.notify_all();
  }
  void set_report(Answer report) {
    const std::lock_guard lock(mutex_);
    next_report = std::move(report);
  }

  [[nodiscard]] bool ready() const override { return is_ready; }
  [[nodiscard]] Answer status() const override { return note("status"); }
  [[nodiscard]] Answer status(const std::string& d) const override { return note("status " + d); }
  [[nodiscard]] Answer clients() const override { return note("clients"); }
  [[nodiscard]] Answer pools() const override { return note("pools"); }
  [[nodiscard]] Answer blockers(const std::string& d) const override { return note("blockers " + d); }
  [[nodiscard]] Answer preflight(const std::string& d, bool rollback) override {
    return note("preflight " + d + (rollback ? " rollback" : ""));
  }
  [[nodiscard]] Answer prepare(const std::string& d, const std::string& who) override {
    return note("prepare " + d + " by " + who);
  }
  [[nodiscard]] Answer replicate(const std::string& d, const std::string& who) override {
    return note("replicate " + d + " by " + who);
  }
  [[nodiscard]] Answer replication(const std::string&) const override { return {200, 0, copy}; }
  [[nodiscard]] Answer undo_prepare(const std::string& d, const std::string& who) override {
    return note("undo " + d + " by " + who);
  }
  [[nodiscard]] Answer shift(const std::string& d, int percent, const std::string& who) override {
    return note("shift " + d + " " + std::to_string(percent) + " by " + who);
  }
  [[nodiscard]] Answer ramp(const std::string& d, const std::string& action, const std::string& who) override {
    return note("ramp " + action + " " + d + " by " + who);
  }
  [[nodiscard]] Answer ramp(const std::string& d) const override { return note("ramp " + d); }
  [[nodiscard]] Answer shadow(const std::string& d, int percent, const std::string& who) override {
    return note("shadow " + d + " " + std::to_string(percent) + " by " + who);
  }
  [[nodiscard]] Answer shadow(const std::string& d) const override { return note("shadow " + d); }
  [[nodiscard]] Answer compare(const std::string& d, const CompareOptions& o) override {
    std::string text = "compare " + d + (o.anew ? " anew" : "");
    for (const auto& table : o.tables) text += " " + table;
    if (o.rows_per_second != 0) text += " " + std::to_string(o.rows_per_second) + "/s";
    return note(text + " by " + o.who);
  }
  [[nodiscard]] Answer stop_compare(const std::string& d, const std::string& who) override {
    return note("stop compare " + d + " by " + who);
  }
  [[nodiscard]] Answer compare(const std::string& d) const override {
    static_cast<void>(note("compare " + d));
    const std::lock_guard lock(mutex_);
    return next_comparison;
  }
  void set_comparison(Answer comparison) {
    const std::lock_guard lock(mutex_);
    next_comparison = std::move(comparison);
  }
  [[nodiscard]] Answer cutover(const std::string& d, const CutoverOptions& o) override {
    std::string text = (o.rollback ? "rollback " : "cutover ") + d;
    if (o.dry_run) text += " dry_run";
    if (o.rehearse) text += " rehearse";
    if (o.window_ms_max != 0) text += " " + std::to_string(o.window_ms_max) + "ms";
    for (const auto& check : o.waive) text += " -" + check;
    return note(text + " by " + o.who);
  }
  [[nodiscard]] Answer abort(const std::string& d, const std::string& who) override {
    return note("abort " + d + " by " + who);
  }
  [[nodiscard]] Answer finish(const std::string& d, const std::string& who) override {
    return note("finish " + d + " by " + who);
  }
  [[nodiscard]] Answer pause(const std::string& d, const std::string& who) override {
    return note("pause " + d + " by " + who);
  }
  [[nodiscard]] Answer resume(const std::string& d, const std::string& who) override {
    return note("resume " + d + " by " + who);
  }
  [[nodiscard]] Answer explain_route(const std::string& d, const std::string& database,
                                     const std::string& sql) const override {
    return note("explain " + d + "/" + database + ": " + sql);
  }
  [[nodiscard]] Answer report(const std::string& d, std::optional<std::uint64_t> epoch) const override {
    static_cast<void>(note("report " + d + " " + (epoch ? std::to_string(*epoch) : "latest")));
    const std::lock_guard lock(mutex_);
    return next_report;
  }
  [[nodiscard]] Answer reports(const std::string& d) const override { return note("reports " + d); }
  [[nodiscard]] Answer audit(std::size_t lines) const override { return note("audit " + std::to_string(lines)); }
  [[nodiscard]] Answer reload(const std::string& who) override { return note("reload by " + who); }

  [[nodiscard]] std::vector<ProgressEvent> events(std::uint64_t after, std::uint32_t wait_ms) const override {
    std::unique_lock lock(mutex_);
    const auto has_news = [&] { return events_.size() > after; };
    changed_.wait_for(lock, std::chrono::milliseconds(wait_ms), has_news);
    if (!has_news()) return {};
    return {events_.begin() + static_cast<std::ptrdiff_t>(after), events_.end()};
  }
  [[nodiscard]] std::vector<TrafficNumbers> traffic() const override { return numbers; }
  [[nodiscard]] std::vector<Operations::Gauges> gauges() const override { return levels; }
  [[nodiscard]] std::vector<std::uint64_t> histogram_bounds_us() const override { return {1'000, 10'000}; }

 private:
  Answer note(std::string call) const {
    const std::lock_guard lock(mutex_);
    asked_.push_back(std::move(call));
    return next;
  }

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable std::vector<std::string> asked_;
  std::vector<ProgressEvent> events_;
};

}  // namespace turnout::control
