#include "control/mysql_shelf.h"

#include <algorithm>

namespace turnout::control {

namespace {

// In the window: only makes sure that a thread comes back from a server that has gone quiet.
constexpr std::uint32_t shelf_ms_max = 3'000;

}  // namespace

MysqlTarget MysqlShelf::target(router::Side side) const {
  const std::lock_guard guard(mutex_);
  return target_of_today(side);
}

MysqlTarget MysqlShelf::target_of_today(router::Side side) const {
  const auto address = side == router::Side::blue ? deployment_.blue : deployment_.green.value_or(conf::Address{});
  MysqlTarget target{side, address, deployment_.admin, deployment_.server_tls};
  if (where_ && !address.is_unix()) target.numeric = where_(side);
  return target;
}

MysqlOutcome<MysqlClient> MysqlShelf::fresh(router::Side side, std::uint32_t ms_max) const {
  const auto where = target(side);
  if (where.address == conf::Address{}) {
    return MysqlError{"green", 0, "no green is configured: set deployments.NAME.green and reload", false};
  }
  if (where_ && where.numeric.empty() && !where.address.is_unix())
    return MysqlError{where.text(), 0, "its name has not been found yet", true};
  return MysqlClient::connect(where, ms_max);
}

MysqlOutcome<MysqlShelf::Loan> MysqlShelf::take(router::Side side) {
  {
    const std::lock_guard guard(mutex_);
    auto& here = sides_[router::index(side)];
    while (!here.idle.empty()) {
      auto client = std::move(here.idle.back());
      here.idle.pop_back();
      if (!is_of_today(client) || !client.is_alive()) continue;
      here.lent.push_back(client.number());
      return Loan(*this, std::move(client));
    }
  }
  auto opened = fresh(side, shelf_ms_max);
  if (!opened) return opened.error();
  const std::lock_guard guard(mutex_);
  sides_[router::index(side)].lent.push_back(opened->number());
  return Loan(*this, std::move(*opened));
}

bool MysqlShelf::is_of_today(const MysqlClient& client) const {
  const auto now = target_of_today(client.target().side);
  const auto& then = client.target();
  return then.address == now.address && then.numeric == now.numeric && then.login.user == now.login.user &&
         then.login.password == now.login.password;
}

void MysqlShelf::put(MysqlClient client) {
  const std::lock_guard guard(mutex_);
  auto& here = sides_[router::index(client.target().side)];
  if (const auto found = std::find(here.lent.begin(), here.lent.end(), client.number()); found != here.lent.end())
    here.lent.erase(found);
  if (!client.is_usable())
    here.lost.push_back(client.number());
  else if (is_of_today(client))
    here.idle.push_back(std::move(client));
}

std::string MysqlShelf::warm(router::Side side, std::size_t count) {
  std::vector<Loan> all;
  while (all.size() < count) {
    auto loan = take(side);
    if (!loan) return loan.error().message();
    all.push_back(std::move(*loan));
  }
  return "";
}

void MysqlShelf::close_all() {
  const std::lock_guard guard(mutex_);
  for (auto& here : sides_) here.idle.clear();
}

void MysqlShelf::reconfigure(const conf::Deployment& deployment) {
  const std::lock_guard guard(mutex_);
  deployment_ = deployment;
  for (auto& here : sides_) here.idle.clear();
}

bool MysqlShelf::leads_there_still(const MysqlClient& client) const {
  const std::lock_guard guard(mutex_);
  return is_of_today(client);
}

std::vector<std::uint64_t> MysqlShelf::lost(router::Side side) const {
  const std::lock_guard guard(mutex_);
  return sides_[router::index(side)].lost;
}

void MysqlShelf::forget_lost(router::Side side, std::uint64_t number) {
  const std::lock_guard guard(mutex_);
  std::erase(sides_[router::index(side)].lost, number);
}

void MysqlShelf::keep(router::Side side, std::uint64_t number, std::uint64_t instead_of) {
  const std::lock_guard guard(mutex_);
  auto& kept = sides_[router::index(side)].kept;
  std::erase(kept, instead_of);
  if (number != 0) kept.push_back(number);
}

std::vector<std::uint64_t> MysqlShelf::numbers(router::Side side) const {
  const std::lock_guard guard(mutex_);
  const auto& here = sides_[router::index(side)];
  auto out = here.lent;
  out.insert(out.end(), here.kept.begin(), here.kept.end());
  for (const auto& client : here.idle) out.push_back(client.number());
  return out;
}

}  // namespace turnout::control
