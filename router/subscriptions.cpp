#include "router/subscriptions.h"

#include <algorithm>
#include <utility>

namespace turnout::router {

void Subscriptions::forget_if_unused(const std::string& channel, Channels& unused) {
  const auto found = channels_.find(channel);
  if (found == channels_.end() || found->second.wanted_by != 0 || !found->second.heard_by.empty()) return;
  unused.push_back(channel);
  channels_.erase(found);
}

// Those with a ticket behind `after`.
void Subscriptions::forget_orders(SessionNumber session, std::uint32_t after, Channels& unused) {
  auto at = orders_.upper_bound({session, after});
  while (at != orders_.end() && at->first.first == session) {
    const Order order = std::move(at->second);
    at = orders_.erase(at);
    for (const std::string& channel : order.channels) {
      --channels_.find(channel)->second.wanted_by;
      forget_if_unused(channel, unused);
    }
  }
}

Subscriptions::Wanted Subscriptions::want(SessionNumber session, std::uint32_t ticket, const Channels& channels,
                                          std::uint32_t marked) {
  Wanted wanted;
  Order order;
  for (const std::string& channel : channels) {
    if (std::find(order.channels.begin(), order.channels.end(), channel) != order.channels.end()) continue;
    const auto [at, is_new] = channels_.try_emplace(channel);
    if (is_new) wanted.listen.push_back(channel);
    ++at->second.wanted_by;
    order.channels.push_back(channel);
  }
  forget_orders(session, marked, wanted.unlisten);
  orders_.insert_or_assign({session, ticket}, std::move(order));
  return wanted;
}

bool Subscriptions::hear(SessionNumber session, std::uint32_t ticket) {
  const auto found = orders_.find({session, ticket});
  if (found == orders_.end()) return false;
  const Order order = std::move(found->second);
  orders_.erase(found);
  if (order.channels.empty()) return true;
  Channels& heard = heard_[session];
  for (const std::string& name : order.channels) {
    Channel& channel = channels_.find(name)->second;
    --channel.wanted_by;
    if (std::find(channel.heard_by.begin(), channel.heard_by.end(), session) != channel.heard_by.end()) continue;
    channel.heard_by.push_back(session);
    heard.push_back(name);
  }
  return true;
}

Channels Subscriptions::drop(SessionNumber session, const Channels& channels) {
  Channels unused;
  const auto heard = heard_.find(session);
  for (const std::string& name : channels) {
    const auto found = channels_.find(name);
    if (found == channels_.end()) continue;
    for (auto at = orders_.lower_bound({session, 0}); at != orders_.end() && at->first.first == session; ++at)
      found->second.wanted_by -= static_cast<std::uint32_t>(std::erase(at->second.channels, name));
    std::erase(found->second.heard_by, session);
    if (heard != heard_.end()) std::erase(heard->second, name);
    forget_if_unused(name, unused);
  }
  if (heard != heard_.end() && heard->second.empty()) heard_.erase(heard);
  return unused;
}

Channels Subscriptions::drop_all(SessionNumber session) {
  Channels unused;
  forget_orders(session, 0, unused);
  const auto heard = heard_.find(session);
  if (heard == heard_.end()) return unused;
  const Channels names = std::move(heard->second);
  heard_.erase(heard);
  for (const std::string& name : names) {
    std::erase(channels_.find(name)->second.heard_by, session);
    forget_if_unused(name, unused);
  }
  return unused;
}

std::vector<SessionNumber> Subscriptions::lose_heard() {
  std::vector<SessionNumber> lost;
  for (const auto& [session, names] : heard_) lost.push_back(session);
  for (const auto& [key, order] : orders_) {
    const bool is_listed = heard_.contains(key.first) || (!lost.empty() && lost.back() == key.first);
    if (order.is_told && !is_listed) lost.push_back(key.first);
  }
  for (const SessionNumber session : lost) static_cast<void>(drop_all(session));
  return lost;
}

const std::vector<SessionNumber>& Subscriptions::listeners(std::string_view channel) const {
  static const std::vector<SessionNumber> nobody;
  const auto found = channels_.find(channel);
  return found == channels_.end() ? nobody : found->second.heard_by;
}

Channels Subscriptions::all() const {
  Channels names;
  for (const auto& [name, channel] : channels_) names.push_back(name);
  return names;
}

}  // namespace turnout::router
