// Open-loop probe: what a client feels while the database moves.
//
// Each period one autocommit write and one read become due, whether or not earlier ones have been answered; a latency
// counts from the moment the work was due, so a stall is seen in full (no coordinated omission). Work that finds all
// connections of its kind busy waits here, and that wait is part of its latency.
//
// Prints one line an answer when it ends: kind,number,due_us,latency_us,sqlstate. Times are CLOCK_MONOTONIC, so
// another process can say which of them fell into its window; sqlstate is 00000 when all went well.
#include <poll.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/probe_link.h"
#include "proxy/short_slices.h"

namespace {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC with this library
using std::chrono::microseconds;
using turnout::bench::Link;

volatile std::sig_atomic_t stopping = 0;

struct Due {
  std::int64_t number;
  Clock::time_point at;
};

struct Connection {
  std::unique_ptr<Link> link;
  bool busy = false;
  Due work{};
};

struct Answer {
  char kind;
  Due due;
  microseconds latency;
  std::array<char, 6> sqlstate;
};

// One kind of work, its connections and what waits for one of them.
struct Lane {
  char kind;  // 'w' or 'r'
  std::string sql_before, sql_after;
  std::vector<Connection> connections;
  std::deque<Due> waiting;
};

std::vector<Answer> answers;

void record(const Lane& lane, Connection& connection) {
  Answer answer{lane.kind, connection.work, {}, {}};
  answer.latency = std::chrono::duration_cast<microseconds>(Clock::now() - connection.work.at);
  std::snprintf(answer.sqlstate.data(), answer.sqlstate.size(), "%.5s", connection.link->sqlstate.c_str());
  if (connection.link->sqlstate != "00000")
    std::fprintf(stderr, "probe: %c%lld: %s", lane.kind, static_cast<long long>(connection.work.number),
                 connection.link->message.c_str());
  answers.push_back(answer);
  connection.busy = false;
}

// A lost connection is made again at once; that blocks the probe, and everything due meanwhile shows it.
void go_on(const Lane& lane, Connection& connection, Link::State state) {
  if (state == Link::State::owed) return;
  if (connection.busy) record(lane, connection);
  if (state == Link::State::lost) connection.link->reconnect();
}

void start(Lane& lane, Connection& connection) {
  connection.work = lane.waiting.front();
  lane.waiting.pop_front();
  connection.busy = true;
  go_on(lane, connection,
        connection.link->send(lane.sql_before + std::to_string(connection.work.number) + lane.sql_after));
}

bool connect_all(Lane& lane, const char* address, bool is_mysql, int count) {
  for (int i = 0; i < count; ++i) {
    Connection connection;
    connection.link = is_mysql ? turnout::bench::connect_mysql(address) : turnout::bench::connect_postgres(address);
    if (!connection.link) return false;
    lane.connections.push_back(std::move(connection));
  }
  return true;
}

void wait_for_anything(std::array<Lane, 2>& lanes, Clock::time_point next_due) {
  std::vector<pollfd> fds;
  for (const Lane& lane : lanes)
    for (const Connection& connection : lane.connections) fds.push_back({connection.link->fd(), POLLIN, 0});
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(next_due - Clock::now());
  timespec timeout{0, 0};
  if (left.count() > 0) timeout = {left.count() / 1'000'000'000, left.count() % 1'000'000'000};
  if (ppoll(fds.data(), fds.size(), &timeout, nullptr) <= 0) return;
  std::size_t i = 0;
  for (Lane& lane : lanes)
    for (Connection& connection : lane.connections)
      if (fds[i++].revents != 0) go_on(lane, connection, connection.link->receive());
}

bool is_idle(const std::array<Lane, 2>& lanes) {
  for (const Lane& lane : lanes) {
    if (!lane.waiting.empty()) return false;
    for (const Connection& connection : lane.connections)
      if (connection.busy) return false;
  }
  return true;
}

void run(std::array<Lane, 2>& lanes, microseconds period) {
  auto next_due = Clock::now();
  std::int64_t number = 0;
  Clock::time_point give_up{};
  for (;;) {
    const auto now = Clock::now();
    if (stopping != 0) {
      // What is already due is still answered: a pause at the very end would be cut off otherwise.
      if (give_up == Clock::time_point{}) give_up = now + std::chrono::seconds(5);
      if (is_idle(lanes) || now > give_up) return;
      next_due = now + period;
    }
    for (; stopping == 0 && next_due <= now; next_due += period) {
      ++number;
      for (Lane& lane : lanes) lane.waiting.push_back({number, next_due});
    }
    for (Lane& lane : lanes)
      for (Connection& connection : lane.connections)
        if (!connection.busy && !lane.waiting.empty()) start(lane, connection);
    wait_for_anything(lanes, next_due);
  }
}

}  // namespace

int main(int argc, char** argv) {
  turnout::proxy::ask_for_short_slices();  // what is measured is how long others wait, not how long the probe does
  if (argc != 4) {
    std::fprintf(stderr,
                 "usage: bench_probe ADDRESS PERIOD_MS CONNECTIONS_OF_EACH_KIND   (ends on SIGTERM; probe_link.h)\n");
    return 2;
  }
  std::signal(SIGTERM, [](int) { stopping = 1; });
  std::signal(SIGINT, [](int) { stopping = 1; });
  const bool is_mysql = std::string_view(argv[1]).starts_with("mysql://");
  std::array<Lane, 2> lanes{Lane{'w', "INSERT INTO bench_probe (number) VALUES (", ")", {}, {}},
                            Lane{'r',
                                 is_mysql ? "SELECT k FROM sbtest1 WHERE id = 1 + "
                                          : "SELECT abalance FROM pgbench_accounts WHERE aid = 1 + ",
                                 " % 1000",
                                 {},
                                 {}}};
  for (Lane& lane : lanes)
    if (!connect_all(lane, argv[1], is_mysql, std::atoi(argv[3]))) return 1;
  answers.reserve(100'000);
  std::fprintf(stderr, "probe: ready\n");
  run(lanes, microseconds(static_cast<std::int64_t>(std::atof(argv[2]) * 1000)));
  for (const Answer& answer : answers) {
    const auto due_us = std::chrono::duration_cast<microseconds>(answer.due.at.time_since_epoch()).count();
    std::printf("%c,%lld,%lld,%lld,%s\n", answer.kind, static_cast<long long>(answer.due.number),
                static_cast<long long>(due_us), static_cast<long long>(answer.latency.count()), answer.sqlstate.data());
  }
  for (const Lane& lane : lanes) {
    for (const Connection& connection : lane.connections) {
      // Work never answered is an error too, and its write may or may not have happened.
      if (connection.busy)
        std::printf("%c,%lld,0,0,08007\n", lane.kind, static_cast<long long>(connection.work.number));
    }
  }
  return 0;
}
