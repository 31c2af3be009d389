// A read as it can be run once more, by nobody's session, whatever its protocol; and what goes along with it while the
// writer answers. Each protocol has its own: shadow_request.h, mysql/shadow_request.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

namespace turnout::proxy {

struct SharedAccount;

struct ShadowRead {
  SharedAccount* account = nullptr;
  std::uint64_t shape = 0;

  ShadowRead() = default;
  virtual ~ShadowRead() = default;
  [[nodiscard]] virtual std::string_view text() const = 0;
  [[nodiscard]] virtual std::size_t bytes() const = 0;
  // The same, asking for its plan. Null: there is no way.
  [[nodiscard]] virtual std::unique_ptr<ShadowRead> explained() const = 0;

 protected:
  ShadowRead(const ShadowRead&) = default;
  ShadowRead(ShadowRead&&) = default;
  ShadowRead& operator=(const ShadowRead&) = default;
  ShadowRead& operator=(ShadowRead&&) = default;
};

// A part of shadow.memory, while something lives that needs it. The sum may outlive the runner: sessions hold parts.
class MemoryShare {
 public:
  MemoryShare(std::shared_ptr<std::size_t> sum, std::size_t bytes) : sum_(std::move(sum)), bytes_(bytes) {
    *sum_ += bytes_;
  }
  MemoryShare(MemoryShare&& other) noexcept : sum_(std::move(other.sum_)), bytes_(other.bytes_) {}
  MemoryShare& operator=(MemoryShare&& other) noexcept {
    std::swap(sum_, other.sum_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MemoryShare() {
    if (sum_) *sum_ -= bytes_;
  }

 private:
  std::shared_ptr<std::size_t> sum_;
  std::size_t bytes_;
};

struct ShadowTaken {
  std::unique_ptr<ShadowRead> read;
  MemoryShare memory;
  std::uint64_t us = 0;  // of the writer's answer; 0 = it is not over, or not to be compared
};

// On a session's unit of work while it is shadowed: what was asked, and what the writer answers.
template <typename Reader>
struct ShadowCopy {
  ShadowTaken taken;
  Reader answer;
  bool is_as_usual = true;  // nothing was said on the connection that a read does not need
};

}  // namespace turnout::proxy
