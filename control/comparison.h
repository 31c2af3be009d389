// The row-level comparison of one deployment: `turnout compare`. One at a time, on a thread and two connections of its
// own (one a side), as fast as its bounds let it; whoever asks only ever sees a copy of what is known.
//
// Always true: it changes nothing but its own marker on the servers; it gives way to a cutover at the next statement,
// closes its connections and goes on when that is over, unless the writer has moved, which ends it; what it knows is on
// disk at least every second (state_dir/compare-NAME.json), and a later start goes on from there. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "control/compare_pair.h"
#include "control/compare_table.h"
#include "control/operations.h"
#include "control/sampler.h"

namespace turnout::control {

class Comparison {
 public:
  struct Context {
    std::string deployment;
    std::filesystem::path file;
    std::function<conf::Deployment()> config;
    std::shared_ptr<ComparePair> pair;
    std::function<drain::State()> state;  // of the cutover machine
    std::function<LagNumbers()> lag;
    std::function<void(boost::json::object)> on_event;  // {text, …}: log and event stream
  };
  explicit Comparison(Context context);
  ~Comparison() { stop_thread(); }
  Comparison(const Comparison&) = delete;
  Comparison& operator=(const Comparison&) = delete;

  // Begins, or goes on where one was broken off. Refused: nothing has begun.
  struct Begun {
    std::string refusal;  // "" = it runs now
    bool is_conflict = false;
    bool goes_on = false;
  };
  [[nodiscard]] Begun start(const CompareOptions& options);
  [[nodiscard]] bool stop(const std::string& who);  // soon, after its present statement; false: nothing was running
  void stop_thread();                               // Turnout ends
  [[nodiscard]] bool is_under_way() const;

  [[nodiscard]] boost::json::object report() const;   // for GET …/compare
  [[nodiscard]] boost::json::object summary() const;  // for status; {} = there never was one

 private:
  using Clock = std::chrono::steady_clock;
  enum class Halt { none, cutover, order, shutdown };
  enum class Turn { done, gave_way, failed };

  void loop();
  [[nodiscard]] Turn go_through(std::string& problem);
  [[nodiscard]] Turn compare_database(const std::string& database, std::string& problem);
  [[nodiscard]] Turn compare_table(std::size_t index, CompareLink& link, CompareHands& hands, bool again,
                                   std::string& problem);
  [[nodiscard]] bool wait_for_cutover();
  [[nodiscard]] bool wait_for_lag();
  [[nodiscard]] bool rest(std::uint64_t ms);
  [[nodiscard]] bool keep(std::size_t index, const TableState& table, std::uint64_t rows);
  [[nodiscard]] Halt halt() const;
  [[nodiscard]] std::size_t listed_max(std::size_t index) const;
  void fail_table(std::size_t index, std::string text);
  void end(ComparePhase phase, std::string reason);
  void save(bool now);
  void tell(std::string text);
  // Every table that is wanted, with what is known of it already. "" or why not.
  [[nodiscard]] std::string look_up_tables(const CompareState& known, CompareState& fresh);

  Context context_;
  std::mutex ordering_;  // one start or stop at a time
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  CompareState state_;
  std::string waiting_for_, current_;
  bool stopping_ = false, ordered_to_stop_ = false;
  std::string stopped_by_;

  // Of the thread, once it runs.
  router::Side writer_ = router::Side::blue;
  std::vector<std::string> databases_;
  Clock::time_point saved_at_, piece_began_, lag_looked_at_;
  std::string last_file_error_;

  std::thread thread_;
};

}  // namespace turnout::control
