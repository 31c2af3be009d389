#include "control/shelf.h"

#include <algorithm>
#include <thread>

namespace turnout::control {

namespace {

void remove_one(std::vector<std::int32_t>& pids, std::int32_t pid) {
  if (const auto found = std::find(pids.begin(), pids.end(), pid); found != pids.end()) pids.erase(found);
}

}  // namespace

void Shelf::Loan::give_back() {
  if (shelf_ != nullptr) shelf_->put(std::move(client_), keep_);
}

PgTarget Shelf::target(router::Side side, const std::string& database) const {
  const std::lock_guard guard(mutex_);
  const auto address = side == router::Side::blue ? deployment_.blue : deployment_.green.value_or(conf::Address{});
  PgTarget target{side, address, deployment_.admin, deployment_.server_tls, database, "turnout"};
  if (where_ && !address.is_unix()) target.numeric = where_(side);
  return target;
}

PgOutcome<PgClient> Shelf::fresh(router::Side side, const std::string& database, std::uint32_t ms_max) const {
  auto where = target(side, database);
  if (where.address == conf::Address{}) {
    return PgError{side, "green", "", "no green is configured: set deployments.NAME.green and reload", false, 0};
  }
  return PgClient::connect(where, ms_max);
}

PgOutcome<Shelf::Loan> Shelf::take(router::Side side, const std::string& database, std::uint32_t ms_max) {
  {
    const std::lock_guard guard(mutex_);
    auto& idle = idle_[{side, database}];
    while (!idle.empty()) {
      auto client = std::move(idle.back());
      idle.pop_back();
      if (!client.is_alive() || (where_ && client.target().numeric != where_(side))) continue;
      lent_[side].push_back(client.pid());
      return Loan(*this, std::move(client));
    }
  }
  auto opened = fresh(side, database, ms_max);
  if (!opened) return opened.error();
  const std::lock_guard guard(mutex_);
  lent_[side].push_back(opened->pid());
  return Loan(*this, std::move(*opened));
}

void Shelf::put(PgClient client, bool keep) {
  const std::lock_guard guard(mutex_);
  const auto side = client.target().side;
  if (where_ && client.target().numeric != where_(side)) keep = false;  // its name leads elsewhere now
  remove_one(lent_[side], client.pid());
  if (!client.is_usable()) {
    lost_[side].push_back(client.pid());
  } else if (keep && !client.in_transaction()) {
    idle_[{side, client.target().database}].push_back(std::move(client));
  }
}

std::string Shelf::warm(router::Side side, const std::string& database, std::size_t count, std::uint32_t ms_max) {
  std::size_t missing = 0;
  {
    const std::lock_guard guard(mutex_);
    const auto have = idle_[{side, database}].size();
    missing = have < count ? count - have : 0;
  }
  std::string error;
  std::mutex error_mutex;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < missing; ++i) {
    threads.emplace_back([&] {
      auto opened = fresh(side, database, ms_max);
      if (opened) {
        put(std::move(*opened), true);
        return;
      }
      const std::lock_guard guard(error_mutex);
      if (error.empty()) error = opened.error().message();
    });
  }
  for (auto& thread : threads) thread.join();
  return error;
}

void Shelf::close_all() {
  const std::lock_guard guard(mutex_);
  idle_.clear();
}

void Shelf::reconfigure(const conf::Deployment& deployment) {
  const std::lock_guard guard(mutex_);
  deployment_ = deployment;
  idle_.clear();
}

std::vector<std::int32_t> Shelf::lost(router::Side side) const {
  const std::lock_guard guard(mutex_);
  const auto found = lost_.find(side);
  return found == lost_.end() ? std::vector<std::int32_t>{} : found->second;
}

void Shelf::forget_lost(router::Side side, std::int32_t pid) {
  const std::lock_guard guard(mutex_);
  remove_one(lost_[side], pid);
}

std::vector<std::int32_t> Shelf::pids(router::Side side) const {
  const std::lock_guard guard(mutex_);
  std::vector<std::int32_t> out;
  if (const auto lent = lent_.find(side); lent != lent_.end()) out = lent->second;
  for (const auto& [key, clients] : idle_) {
    if (key.first != side) continue;
    for (const auto& client : clients) out.push_back(client.pid());
  }
  return out;
}

}  // namespace turnout::control
