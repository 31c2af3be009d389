// Who hears which channel: the register behind one listening connection a side. Pure: values in, values out; the hub in
// proxy/ sends what is answered here, and asks for nothing twice.
//
// A session that ran LISTEN hears its channels on its own server connection first. Its subscription passes three
// states:
//   wanted   the channels shall be listened to by us; the session keeps its connection
//   ready    all of them are: the session sends its mark, a NOTIFY, and lets its own connection go
//   heard    the mark came by: what follows it is ours to deliver, what came before it was delivered on the connection
// PostgreSQL has one queue of notifications a database, in the order of commits, and every listener reads all of it in
// that order. So the mark cuts it at the same place for both connections: nothing is lost, nothing comes twice.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace turnout::router {

using SessionNumber = std::uint32_t;
using Channels = std::vector<std::string>;

class Subscriptions {
 public:
  // A new ticket replaces the session's older orders but for those up to `marked`: their marks are on the way, and
  // the session's own connection may have let those channels go (0: none; tickets only grow).
  struct Wanted {
    Channels listen;    // nobody had them before
    Channels unlisten;  // nobody has them any more
  };
  [[nodiscard]] Wanted want(SessionNumber session, std::uint32_t ticket, const Channels& channels,
                            std::uint32_t marked = 0);
  // The mark of that order came by. False: it was given up meanwhile.
  bool hear(SessionNumber session, std::uint32_t ticket);
  // Channels that nobody has any more.
  [[nodiscard]] Channels drop(SessionNumber session, const Channels& channels);
  [[nodiscard]] Channels drop_all(SessionNumber session);

  // The listening connection is gone: who heard through it, or may have let its own go, has perhaps missed something
  // and must be told. The other orders stay.
  [[nodiscard]] std::vector<SessionNumber> lose_heard();

  [[nodiscard]] const std::vector<SessionNumber>& listeners(std::string_view channel) const;
  [[nodiscard]] bool has(std::string_view channel) const { return channels_.find(channel) != channels_.end(); }
  [[nodiscard]] bool hears(SessionNumber session) const { return heard_.contains(session); }
  [[nodiscard]] bool is_empty() const { return channels_.empty(); }
  [[nodiscard]] std::size_t size() const { return channels_.size(); }
  [[nodiscard]] Channels all() const;

  using OrderKey = std::pair<SessionNumber, std::uint32_t>;  // with its ticket
  struct Order {
    Channels channels;
    bool is_told = false;  // that it is ready
  };
  [[nodiscard]] std::map<OrderKey, Order>& orders() { return orders_; }

 private:
  struct Channel {
    std::vector<SessionNumber> heard_by;
    std::uint32_t wanted_by = 0;
  };
  void forget_orders(SessionNumber session, std::uint32_t after, Channels& unused);
  void forget_if_unused(const std::string& channel, Channels& unused);

  std::map<std::string, Channel, std::less<>> channels_;
  std::map<OrderKey, Order> orders_;
  std::unordered_map<SessionNumber, Channels> heard_;
};

}  // namespace turnout::router
