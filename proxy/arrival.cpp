#include "proxy/arrival.h"

#include "proxy/worker.h"

namespace turnout::proxy {

void Arrival::begin() {
  began_ms_ = shard_.worker.loop.now_ms();
  EventLoop& loop = shard_.worker.loop;
  is_known_ ? loop.change(transport_.fd(), EPOLLIN, *this) : loop.add(transport_.fd(), EPOLLIN, *this);
}

void Arrival::send(std::string_view bytes) {
  // A login's answers fit any socket buffer; a client that has filled it with unread bytes is not a client.
  if (bytes.empty()) return;
  const IoResult put = transport_.write(bytes);
  if (put.status != IoStatus::ok || put.bytes != bytes.size()) end("client does not read");
}

WelcomePtr Arrival::known_welcome() const {
  return account_->shared.known_welcome(shard_.table().writer);
}

bool Arrival::await_welcome(Account& account) {
  account_ = &account;
  if (known_welcome()) return true;
  // Nobody has logged in to this database as this user yet: the server says whether it exists, and what it reports.
  account.greetings.push_back(this);
  const router::RoutingTable& table = shard_.table();
  const bool may_write = table.sides[router::index(table.writer)].may_write;
  account.pool(table.writer, may_write ? router::Access::write : router::Access::read).open_one_if_allowed();
  return false;
}

void Arrival::leave() {
  transport_.close();
  if (account_ != nullptr) std::erase(account_->greetings, this);
  shard_.deployment.clients.fetch_sub(1, std::memory_order_relaxed);
  shard_.remove_greeting(*this);
}

}  // namespace turnout::proxy
