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

void Subscriptions::forget_order(SessionNumber session, Channels& unused) {
  const auto found = orders_.find(session);
  if (found == orders_.end()) return;
  const Order order = std::move(found->second);
  orders_.erase(found);
  for (const std::string& channel : order.channels) {
    --channels_.find(channel)->second.wanted_by;
    forget_if_unused(channel, unused);
  }
}

Subscriptions::Wanted Subscriptions::want(SessionNumber session, std::uint32_t ticket, const Channels& channels) {
  Wanted wanted;
  Order order{ticket, {}, false};
  for (const std::string& channel : channels) {
    if (std::find(order.channels.begin(), order.channels.end(), channel) != order.channels.end()) continue;
    const auto [at, is_new] = channels_.try_emplace(channel);
    if (is_new) wanted.listen.push_back(channel);
    ++at->second.wanted_by;
    order.channels.push_back(channel);
  }
  forget_order(session, wanted.unlisten);
  orders_.emplace(session, std::move(order));
  return wanted;
}

bool Subscriptions::hear(SessionNumber session, std::uint32_t ticket) {
  const auto found = orders_.find(session);
  if (found == orders_.end() || found->second.ticket != ticket) return false;
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
  const auto order = orders_.find(session);
  const auto heard = heard_.find(session);
  for (const std::string& name : channels) {
    const auto found = channels_.find(name);
    if (found == channels_.end()) continue;
    if (order != orders_.end())
      found->second.wanted_by -= static_cast<std::uint32_t>(std::erase(order->second.channels, name));
    std::erase(found->second.heard_by, session);
    if (heard != heard_.end()) std::erase(heard->second, name);
    forget_if_unused(name, unused);
  }
  if (heard != heard_.end() && heard->second.empty()) heard_.erase(heard);
  return unused;
}

Channels Subscriptions::drop_all(SessionNumber session) {
  Channels unused;
  forget_order(session, unused);
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
  for (const auto& [session, order] : orders_)
    if (order.is_told && !heard_.contains(session)) lost.push_back(session);
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
