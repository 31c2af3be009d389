// The preflight that runs by itself: says what changed, once; gives way; forgets what is over.
#include "control/readiness.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

namespace turnout::control {
namespace {

using namespace std::chrono_literals;

bool eventually(const std::function<bool()>& is_so) {
  for (int i = 0; i < 3'000; ++i) {
    if (is_so()) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

class ReadinessTest : public testing::Test {
 protected:
  Readiness::Context context() {
    return {[this](const std::atomic<bool>& give_up) { return look(give_up); },
            [] { return std::vector<std::string>{"jobs"}; }, [] { return 10U; },
            [this](const Readiness::Report& now) {
              const std::lock_guard guard(mutex_);
              changes_.push_back(now.refusals);
            }};
  }
  std::optional<std::vector<Check>> look(const std::atomic<bool>& give_up) {
    ++looks_;
    while (stuck_ && !give_up) std::this_thread::sleep_for(1ms);
    if (not_now_) return std::nullopt;
    std::vector<Check> checks = {{"jobs", Verdict::fail, "", "", "", false}};
    if (lagging_) checks.push_back({"replication.lag", Verdict::fail, "9 s", "", "", false});
    return checks;
  }
  [[nodiscard]] std::vector<std::vector<std::string>> changes() {
    const std::lock_guard guard(mutex_);
    return changes_;
  }

  std::atomic<bool> lagging_{false}, stuck_{false}, not_now_{false};
  std::atomic<int> looks_{0};
  std::mutex mutex_;
  std::vector<std::vector<std::string>> changes_;
};

TEST_F(ReadinessTest, SaysOnceWhatChangedAndSinceWhen) {
  Readiness readiness(context());
  readiness.start();
  ASSERT_TRUE(eventually([&] { return readiness.newest().has_value(); }));
  EXPECT_TRUE(readiness.newest()->refusals.empty()) << "jobs is waived";
  const auto since = readiness.newest()->since;
  const int before = looks_;
  ASSERT_TRUE(eventually([&] { return looks_ > before + 3; }));
  EXPECT_EQ(readiness.newest()->since, since);
  lagging_ = true;
  ASSERT_TRUE(eventually([&] { return !readiness.newest()->refusals.empty(); }));
  EXPECT_EQ(readiness.newest()->refusals, std::vector<std::string>{"replication.lag"});
  lagging_ = false;
  ASSERT_TRUE(eventually([&] { return readiness.newest()->refusals.empty(); }));
  readiness.stop();
  EXPECT_EQ(changes(), (std::vector<std::vector<std::string>>{{}, {"replication.lag"}, {}}));
}

TEST_F(ReadinessTest, GivesWayAndWhatItHadFoundIsNotBelieved) {
  stuck_ = true;
  lagging_ = true;
  Readiness readiness(context());
  readiness.start();
  ASSERT_TRUE(eventually([&] { return looks_ > 0; }));
  readiness.give_way();
  ASSERT_TRUE(eventually([&] { return looks_ > 1; })) << "a run that gave way must end";
  EXPECT_FALSE(readiness.newest().has_value());
  stuck_ = false;
  ASSERT_TRUE(eventually([&] { return readiness.newest().has_value(); }));
}

TEST_F(ReadinessTest, ForgetsWhatIsOver) {
  Readiness readiness(context());
  readiness.start();
  ASSERT_TRUE(eventually([&] { return readiness.newest().has_value(); }));
  not_now_ = true;
  readiness.forget();
  const int before = looks_;
  ASSERT_TRUE(eventually([&] { return looks_ > before + 1; }));
  EXPECT_FALSE(readiness.newest().has_value()) << "no run has ended since";
}

TEST_F(ReadinessTest, StopsInTheMidstOfARun) {
  stuck_ = true;
  Readiness readiness(context());
  readiness.start();
  ASSERT_TRUE(eventually([&] { return looks_ > 0; }));
  readiness.stop();  // must return
  EXPECT_FALSE(readiness.newest().has_value());
}

}  // namespace
}  // namespace turnout::control
