// What a session has that listens to channels: how far its channels are taken over from its server connection, what it
// has not committed yet, and the notifications that wait for its transaction to end. Sessions that never LISTEN have
// none of it.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "protocol/pg/notification.h"
#include "proxy/channel_hub.h"

namespace turnout::proxy {

// Queries of our own that a session sends on its lease, by the number that Exchange::Entry carries.
enum class OwnQuery : std::uint32_t {
  none = 0,        // parameters, DISCARD ALL, BEGIN, ROLLBACK: they must not fail
  ask_channels,    // which channels does the backend listen to?
  mark,            // the NOTIFY that cuts the queue
  unlisten,        // the backend's work is the hub's from here on
  announce_owner,  // whose notifications the backend's are
  echo,            // the NOTIFY behind the session's own notifications
  ask_pins,        // does what pins the session still stand?
  ask_locks,       // which advisory locks does the backend hold?
};

struct Subscription {
  // How far the channels of the present server connection are taken over.
  enum class TakeOver : std::uint8_t {
    none,
    asking,       // ask_channels is on its way
    ordering,     // the hub makes its lines listen
    ready,        // they do: the mark goes out at the next safe point
    marking,      // the mark is on its way
    marked,       // the hub's from here on: UNLISTEN goes out at the next safe point
    unlistening,  // UNLISTEN is on its way
    refused,      // limits.session_channels, limits.channels, or another encoding: the session keeps its connection
  };
  TakeOver take_over = TakeOver::none;
  bool is_stale = false;  // LISTEN again since the question was asked
  bool mark_seen = false, mark_answered = false;
  bool is_lost = false;  // the hub's line was lost: ends at the next safe point
  std::uint32_t ticket = 0;
  std::uint32_t marked_ticket = 0;              // the newest whose mark was sent: the hub hears it, sooner or later
  std::vector<std::string> asked;               // of the connection, being taken over
  std::set<std::string, std::less<>> channels;  // the hub's: what the connection says of them is swallowed
  bool has_notified = false;                    // in the open transaction
  bool holds_ready = false;                     // its end is told when what it notified has come round
  bool echo_sent = false;
  std::uint32_t echo = 0;                // number of the latest
  protocol::pg::UnlistenLog unlistened;  // of the open transaction
  std::deque<NotificationPtr> queue;     // until its transaction is over
  std::size_t queued_bytes = 0;

  [[nodiscard]] bool is_asked(std::string_view channel) const;
};

}  // namespace turnout::proxy
