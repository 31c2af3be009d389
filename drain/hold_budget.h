// How much waiting work one worker may keep during a hold. Pure accounting; owns nothing.
//
// Always true: sessions() and bytes() are what was admitted and not released, and neither passes its limit. Saying no
// is final for that unit (its session reads no further, or is refused) and leaves overflow() set: the window must
// abort.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace turnout::drain {

class HoldBudget {
 public:
  HoldBudget(std::uint32_t sessions_max, std::uint64_t bytes_max)
      : sessions_max_(sessions_max), bytes_max_(bytes_max) {}

  // A session begins to wait with `bytes` of unsent input.
  [[nodiscard]] bool admit(std::uint64_t bytes) {
    if (sessions_ == sessions_max_ || bytes > bytes_max_ - bytes_) return deny();
    ++sessions_;
    bytes_ += bytes;
    return true;
  }

  // A waiting session sent more.
  [[nodiscard]] bool grow(std::uint64_t bytes) {
    if (bytes > bytes_max_ - bytes_) return deny();
    bytes_ += bytes;
    return true;
  }

  // The session was released, refused, or its client left. `bytes`: all it had admitted and grown.
  void release(std::uint64_t bytes) {
    if (sessions_ == 0 || bytes > bytes_) std::abort();  // released twice: the worker's own books are wrong
    --sessions_;
    bytes_ -= bytes;
  }

  void begin_hold() { overflow_ = false; }  // a new hold forgets the old one's overflow
  [[nodiscard]] bool overflow() const { return overflow_; }
  [[nodiscard]] std::uint32_t sessions() const { return sessions_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  bool deny() {
    overflow_ = true;
    return false;
  }

  std::uint32_t sessions_max_;
  std::uint64_t bytes_max_;
  std::uint32_t sessions_ = 0;
  std::uint64_t bytes_ = 0;
  bool overflow_ = false;
};

}  // namespace turnout::drain
