#include "proxy/locked_memory.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>

#include "protocol/secret_bytes.h"

namespace turnout::proxy {

namespace {

constexpr std::size_t piece_bytes = 32 * 1024;
constexpr std::size_t cell_bytes_min = 32, cell_bytes_max = 4096;
constexpr std::size_t page_bytes = 4096;

std::size_t cell_of(std::size_t bytes) {
  return std::bit_ceil(std::max(bytes, cell_bytes_min));
}

std::size_t index_of(std::size_t cell) {
  return static_cast<std::size_t>(std::countr_zero(cell) - std::countr_zero(cell_bytes_min));
}

std::size_t pages_of(std::size_t bytes) {
  return (bytes + page_bytes - 1) / page_bytes * page_bytes;
}

}  // namespace

LockedMemory::~LockedMemory() {
  for (char* piece : pieces_) ::munmap(piece, piece_bytes);
}

void* LockedMemory::do_allocate(std::size_t bytes, std::size_t) {
  const std::lock_guard lock(mutex_);
  if (bytes > cell_bytes_max) return map(pages_of(bytes));
  const std::size_t cell = cell_of(bytes);
  std::vector<char*>& free = free_[index_of(cell)];
  if (free.empty()) {
    pieces_.push_back(map(piece_bytes));
    for (std::size_t at = piece_bytes; at != 0; at -= cell) free.push_back(pieces_.back() + at - cell);
  }
  char* const taken = free.back();
  free.pop_back();
  return taken;
}

void LockedMemory::do_deallocate(void* at, std::size_t bytes, std::size_t) {
  const std::lock_guard lock(mutex_);
  if (bytes <= cell_bytes_max) {
    free_[index_of(cell_of(bytes))].push_back(static_cast<char*>(at));
    return;
  }
  ::munmap(at, pages_of(bytes));
  state_.bytes -= pages_of(bytes);
}

char* LockedMemory::map(std::size_t bytes) {
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  ::madvise(at, bytes, MADV_DONTDUMP);
  ::madvise(at, bytes, MADV_WIPEONFORK);
  state_.bytes += bytes;
  if (::mlock(at, bytes) != 0) {
    state_.error = errno;
    state_.bytes_refused += bytes;
  }
  return static_cast<char*>(at);
}

LockedMemory::State LockedMemory::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::string lock_secrets() {
  static auto& memory = *new LockedMemory;  // never destroyed: what is static may have secrets, too
  protocol::set_secret_memory(memory);
  // One is made, so that it is known now whether there is a right to it.
  if (memory.state().bytes == 0) static_cast<void>(protocol::SecretBytes("a first one"));
  const LockedMemory::State state = memory.state();
  if (state.bytes_refused == 0) return {};
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  return "passwords may be swapped out: " + std::to_string(state.bytes_refused) + " of " + std::to_string(state.bytes) +
         " bytes cannot be locked (" + std::strerror(state.error) + "; RLIMIT_MEMLOCK is " +
         std::to_string(limit.rlim_cur) + " bytes, LimitMEMLOCK= of systemd, ulimit -l)";
}

}  // namespace turnout::proxy
