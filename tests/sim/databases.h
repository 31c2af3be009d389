// A model of two Postgres servers with logical replication between them, small enough to be walked exhaustively.
//
// It behaves as measured on real servers: a reload reaches each backend later; the read-only default is soft (an open
// transaction, a SET, a startup option and COMMIT PREPARED pass it); what was applied is not durable before a flush; a
// slot advanced without that flush sends rows back; DISABLE takes effect later. It judges nobody's intentions: it only
// knows which rows exist where, and says `violation` when a row is lost, doubled, sent back or written on both sides.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "router/routing_table.h"

namespace turnout::sim {

using router::Side;

struct Backend {
  bool is_open = false;
  bool sees_read_only = false;  // the server's default, as far as this backend has reloaded it
  bool keeps_off = false;       // SET or startup option: outranks the default
  bool in_transaction = false;  // a transaction that may write
  bool is_proven = false;       // said `off` under the table in force

  [[nodiscard]] bool may_begin_writing() const { return is_open && (!sees_read_only || keeps_off); }
};

struct Entry {
  std::uint16_t row = 0;  // unique per acknowledged unit of work; markers have the high bit
  bool is_replicated = false;
};
inline constexpr std::uint16_t marker_bit = 0x8000;

struct Server {
  bool is_up = true;
  bool read_only = false;        // the configuration, not yet what every backend sees
  bool opens_read_only = false;  // what a fresh backend sees: the postmaster reloads asynchronously too
  bool connect_revoked = false;  // for ordinary roles
  std::uint8_t prepared = 0;     // prepared transactions of strays
  std::uint16_t sequence = 0;
  std::vector<Entry> log;     // commits in order
  std::uint16_t flushed = 0;  // of the log: survives a crash
  std::uint16_t reverse_slot = 0;

  [[nodiscard]] bool has(std::uint16_t row) const;
};

// What carries rows into one side from the other.
struct Subscription {
  bool exists = false;
  bool is_enabled = false;
  bool worker_lives = false;  // DISABLE does not end it at once
  std::uint16_t sent = 0;     // of the source's log
  std::uint16_t sent_durable = 0;
};

class Databases {
 public:
  Databases();

  std::array<Server, 2> server;
  std::array<Subscription, 2> into;  // into[green] carries blue → green
  std::string violation;             // the first thing that must never happen

  [[nodiscard]] Server& at(Side side) { return server[index(side)]; }
  [[nodiscard]] const Server& at(Side side) const { return server[index(side)]; }
  [[nodiscard]] Subscription& carrier_to(Side side) { return into[index(side)]; }
  [[nodiscard]] const Subscription& carrier_to(Side side) const { return into[index(side)]; }

  void connect(Backend& backend, Side side) const;
  void commit(Side side, std::uint16_t row);  // of a client: durable at once
  void flush(Side side);
  [[nodiscard]] bool can_replicate(Side into_side) const;
  void replicate(Side into_side);
  void advance_reverse_slot(Side side);
  void start_subscription(Side into_side);  // from the other side's reverse slot
  void crash(Side side);                    // and restart: is_up is the world's to set
  void fail(const std::string& what) {
    if (violation.empty()) violation = what;
  }
};

}  // namespace turnout::sim
