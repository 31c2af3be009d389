#include "control/replicator.h"

#include <utility>

namespace turnout::control {

namespace {

std::string failures_of(const std::vector<Check>& checks) {
  std::string names;
  for (const auto& check : checks) {
    if (check.verdict == Verdict::fail) names += (names.empty() ? "" : ", ") + check.name;
  }
  return names;
}

void add_numbers(boost::json::object& out, const ReplicaWatch::News& news) {
  out["phase"] = news.phase;
  if (!news.database.empty()) out["database"] = news.database;
  if (!news.note.empty()) out["note"] = news.note;
  if (news.copy.tables == 0) return;
  out["tables_ready"] = news.copy.tables_ready;
  out["tables"] = news.copy.tables;
  out["bytes_copied"] = news.copy.bytes_copied;
  out["bytes_total"] = news.copy.bytes_total;
}

}  // namespace

Replicator::Replicator(Context context)
    : context_(std::move(context)), watch_([this](const ReplicaWatch::News& news) { tell(news); }) {}

Replicator::~Replicator() {
  stop();
}

bool Replicator::begin(std::uint64_t epoch) {
  const std::lock_guard alone(thread_mutex_);
  {
    const std::lock_guard guard(mutex_);
    if (running_) return false;
  }
  if (thread_.joinable()) thread_.join();
  {
    const std::lock_guard guard(mutex_);
    running_ = checking_ = begun_ = true;
    refused_ = false;
    error_.clear();
    checks_.clear();
    done_.clear();
  }
  watch_.reset();
  thread_ = std::thread([this, epoch] { work(epoch); });
  return true;
}

void Replicator::work(std::uint64_t epoch) {
  boost::json::array done;
  std::string error;
  try {
    const std::lock_guard one(context_.preparing);
    error = make(epoch, done);
  } catch (const std::exception& unexpected) {
    error = unexpected.what();
  }
  {
    const std::lock_guard guard(mutex_);
    error_ = error;
    done_ = std::move(done);
  }
  // Told before it is over: whoever finds it over finds its end.
  watch_.phase(error.empty() ? "done" : "failed", "");
  {
    const std::lock_guard guard(mutex_);
    running_ = checking_ = false;
  }
  checks_over_.notify_all();
}

std::string Replicator::make(std::uint64_t epoch, boost::json::array& done) {
  watch_.phase("checks", "");
  const auto look = look_for_replica(context_.steps);
  if (!look) return look.error().message();
  const auto checks = audit(look->facts);
  checked(checks);
  if (const auto failures = failures_of(checks); !failures.empty()) return "refused by " + failures;
  if (auto error = make_replica(context_.steps, *look, epoch, watch_, done); !error.empty()) return error;
  watch_.phase("prepare", "");
  return context_.prepare(done);
}

void Replicator::checked(const std::vector<Check>& checks) {
  {
    const std::lock_guard guard(mutex_);
    checks_ = to_json(checks);
    refused_ = !failures_of(checks).empty();
    if (refused_) return;  // the run ends, and with it the checks: whoever waits finds both
    checking_ = false;
  }
  checks_over_.notify_all();
}

void Replicator::await_checks() {
  std::unique_lock lock(mutex_);
  checks_over_.wait(lock, [this] { return !checking_; });
}

bool Replicator::is_running() const {
  const std::lock_guard guard(mutex_);
  return running_;
}

boost::json::object Replicator::report() const {
  const auto news = watch_.news();
  const std::lock_guard guard(mutex_);
  if (!begun_) return {};
  boost::json::object out{{"running", running_}};
  add_numbers(out, news);
  if (!error_.empty()) out["error"] = error_;
  if (refused_) out["checks"] = checks_;
  if (!running_) out["done"] = done_;
  return out;
}

bool Replicator::cancel() {
  if (!is_running()) return false;
  watch_.cancel(context_.steps.shelf);
  return true;
}

void Replicator::stop() {
  const std::lock_guard alone(thread_mutex_);
  static_cast<void>(cancel());
  if (thread_.joinable()) thread_.join();
}

void Replicator::tell(const ReplicaWatch::News& news) {
  boost::json::object event;
  add_numbers(event, news);
  auto line = news.has_moved ? "replicate: " + news.phase : std::string();
  if (news.has_moved && !news.database.empty()) line += " of " + news.database;
  if (news.phase == "failed") {
    const std::lock_guard guard(mutex_);
    event["error"] = error_;
    line += ": " + error_;
  }
  context_.on_news(std::move(event), line);
}

}  // namespace turnout::control
