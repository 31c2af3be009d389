// Memory for secrets (protocol/secret_bytes.h): locked, so that it is never swapped out; left out of core dumps; empty
// in a child process.
//
// A page is locked as a whole, and a process may lock little (RLIMIT_MEMLOCK: 64 KiB on old systems, 8 MiB on new
// ones): so secrets share pieces of 32 KiB, in cells of powers of two, and a piece is never given back. What is larger
// than a cell has pages of its own. Where locking fails the memory does its work without; state() says so. For all
// threads.
#pragma once

#include <array>
#include <cstddef>
#include <memory_resource>
#include <mutex>
#include <string>
#include <vector>

namespace turnout::proxy {

class LockedMemory final : public std::pmr::memory_resource {
 public:
  struct State {
    std::size_t bytes = 0;
    std::size_t bytes_refused = 0;  // of them: the system would not lock
    int error = 0;                  // errno of the last refusal
  };
  LockedMemory() = default;  // it has nothing before it is asked
  ~LockedMemory() override;
  [[nodiscard]] State state() const;

 private:
  static constexpr std::size_t sizes = 8;  // 32 bytes to 4 KiB

  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* at, std::size_t bytes, std::size_t alignment) override;
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  char* map(std::size_t bytes);

  mutable std::mutex mutex_;
  std::array<std::vector<char*>, sizes> free_;
  std::vector<char*> pieces_;
  State state_;
};

// From here on all secrets of the process lie in it. "" or, in words for an operator, what the system would not do.
[[nodiscard]] std::string lock_secrets();

}  // namespace turnout::proxy
