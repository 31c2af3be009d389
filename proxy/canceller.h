// Cancel requests: one of a client, on its way to the session it names, and from there to the server connection that
// runs the session's statement.
//
// Always true:
//  - the server connection is not handed to another session until the cancel has been answered by the server's closing
//    of its socket, and is closed when that answer does not come: a late cancel never hits somebody else's statement;
//  - what Turnout itself has sent on the connection (SET, DISCARD ALL) is not cancelled: the request waits for the
//    client's own statement;
//  - the client's socket is closed when its request has had all the effect it will have, as the server does it, so a
//    client that waits for that can send its next statement without fear.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "conf/config.h"
#include "proxy/event_loop.h"
#include "proxy/transport.h"

namespace turnout::proxy {

class Connection;
class Pool;
class ServerConnection;
class Shard;

// Whoever asked hears of it when nobody holds this any more: of PostgreSQL it is the socket of the request, which is
// closed then; of MySQL the session that waits for its answer (mysql/killer.h).
using CancelTicket = std::shared_ptr<void>;

// Carries one request to the server, on a connection of its own. Owned by the shard.
class Canceller : public Handler {
 public:
  Canceller(Shard& shard, const Connection& connection, CancelTicket ticket);
  // For a connection that nobody else ever gets: nothing has to be kept away from it.
  Canceller(Shard& shard, const conf::Address& address, CancelTicket ticket);
  ~Canceller() override;

  [[nodiscard]] virtual bool open();                                         // false: it cannot even begin
  void join(CancelTicket ticket) { tickets_.push_back(std::move(ticket)); }  // the same statement, asked for again
  virtual void tick(std::uint64_t) {}
  virtual void time_out() = 0;
  [[nodiscard]] std::uint64_t until_ms() const { return until_ms_; }
  [[nodiscard]] std::uint64_t connection_id() const { return connection_id_; }

 protected:
  void finish(bool is_certain);

  Shard& shard_;
  Pool* const pool_ = nullptr;  // null: of a connection outside the pools
  const std::uint64_t connection_id_ = 0;
  const conf::Address address_;  // of this very server, whatever its name leads to by now
  const std::uint64_t until_ms_;
  Transport transport_;

 private:
  std::vector<CancelTicket> tickets_;
};

// PostgreSQL's: one packet, which the server answers by closing.
class CancelRequest final : public Canceller {
 public:
  CancelRequest(Shard& shard, const ServerConnection& connection, CancelTicket ticket);
  CancelRequest(Shard& shard, const conf::Address& address, std::uint32_t backend_pid, std::string_view key,
                CancelTicket ticket);
  void on_events(std::uint32_t events) override;
  void time_out() override;

 private:
  std::string request_;
  bool sent_ = false;
};

// Begins what `make` makes, or joins what is on its way to this connection. False: limits.cancels are on their way
// already. Without a ticket it is ours, for a client that is gone, and always goes.
bool begin_cancel(Shard& shard, Connection& connection, CancelTicket ticket,
                  const std::function<std::unique_ptr<Canceller>(CancelTicket)>& make);

bool send_cancel(Shard& shard, ServerConnection& connection, CancelTicket ticket = {});
bool send_cancel(Shard& shard, const conf::Address& address, std::uint32_t backend_pid, std::string_view key,
                 CancelTicket ticket);

// From a start-up packet on any worker to the worker that has the session.
void relay_cancel(Shard& shard, const std::string& client_address, std::uint32_t session_number, std::string key,
                  Transport client);

}  // namespace turnout::proxy
