// KILL on its way to a server: a connection of its own, logged in as the user whose statement it is, which needs
// no privilege. What is always true of cancels (proxy/canceller.h) is true of it: the connection that it is for goes to
// nobody before the server has answered.
//
// For a client that asks, it is said once. For a client that is gone it is said again until the statement is over,
// because a KILL that comes before the server has begun the statement does nothing; then the connection is cleaned and
// used again. After pool.connect_timeout the connection is given up, and the statement with it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "proxy/canceller.h"
#include "proxy/mysql/server_dial.h"

namespace turnout::proxy::mysql {

class Killer final : public Canceller {
 public:
  enum class Kills { query, connection };

  Killer(Shard& shard, const ServerConnection& victim, CancelTicket ticket, Kills kills);

  [[nodiscard]] bool open() override;
  void on_events(std::uint32_t events) override;
  void tick(std::uint64_t now_ms) override;
  void time_out() override;

 private:
  enum class State {
    dialling,
    killing,  // sent, not answered
    resting,  // answered; the statement is not over
    away,     // the server did not let it in; tries again
  };

  void dialled();
  void on_readable();
  void on_packet(protocol::mysql::Bytes payload);
  void kill();
  void take_leave();
  void retry_or_finish();  // nothing is under way
  [[nodiscard]] bool has_abandoned_victim() const;

  State state_ = State::dialling;
  const std::uint32_t victim_;  // the server's number of it
  const Kills kills_;
  std::unique_ptr<ServerDial> dial_;
  protocol::mysql::Capabilities capabilities_ = 0;
  std::string input_;
  std::uint64_t again_ms_ = 0;
};

// For a client that asks. False: limits.cancels are on their way already.
bool send_kill(Shard& shard, ServerConnection& victim, CancelTicket ticket, Killer::Kills kills = Killer::Kills::query);
// For a client that is gone. False: nothing can be sent, and the connection is of no more use.
[[nodiscard]] bool abandon(Shard& shard, ServerConnection& victim);

}  // namespace turnout::proxy::mysql
