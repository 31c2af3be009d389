// Numbers that one worker writes and control reads: each on the worker's own cache lines, plain loads and stores.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "proxy/pins.h"
#include "router/routing_table.h"

namespace turnout::proxy {

// Written by one thread only, so an increment needs no locked instruction.
class Number {
 public:
  void add(std::uint64_t n = 1) { value_.store(get() + n, std::memory_order_relaxed); }
  void subtract(std::uint64_t n = 1) { value_.store(get() - n, std::memory_order_relaxed); }
  void set(std::uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  void raise_to(std::uint64_t n) {
    if (n > get()) set(n);
  }
  [[nodiscard]] std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

inline constexpr std::array<std::uint64_t, 16> histogram_bounds = {
    100,    250,     500,     1'000,   2'500,     5'000,     10'000,    25'000,
    50'000, 100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000};

struct Histogram {
  std::array<Number, histogram_bounds.size() + 1> buckets;
  Number sum_us;
  void record(std::uint64_t us) {
    std::size_t i = 0;
    while (i < histogram_bounds.size() && us > histogram_bounds[i]) ++i;
    buckets[i].add();
    sum_us.add(us);
  }
};

struct alignas(64) WorkerNumbers {
  struct Side {
    Number writes_in_flight, reads_in_flight, begin_later;
    Number write_connections, read_connections;
    Number unproven, warming;
    Number transactions, queries, reads_proven;
  };
  std::array<Side, 2> side;
  Number held_sessions, held_bytes, hold_overflow;
  Number bytes_from_clients, bytes_to_clients;
  Number green_failures;  // reads that failed on green and not, or otherwise, on the writer
  Number detours, logins, login_failures, client_errors, commit_unknown, protocol_errors;
  Number clients, waiting;
  Number server_logins, server_login_failures, server_evictions;
  Number cancels_sent, cancels_answered, cancels_idle, cancels_unknown, cancels_limited;
  std::array<Number, pin_count> pinned_now, pinned;  // by reason: now, and ever
  Histogram wait, query;
  // Reached table version: stored last with release, so that whoever reads it sees levels at least as new.
  std::atomic<std::uint64_t> version{0};
};

}  // namespace turnout::proxy
