// One client that speaks the replication protocol, on a connection to the writer that is its own: everything is passed
// on, in both directions at once.
//
// Always true: it is in no pool, counts in limits.replication_clients, and cannot move. A stream only reads, so a hold
// and a drain go past it; between streams a logical one may run SQL, and that is held, counted and drained like anybody
// else's. When the writer has moved it is ended (57P01): a slot's position means nothing on the other server.
// A slow end stops the reading of the other one; what its socket would not take is all the memory this needs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "protocol/pg/frame_walk.h"
#include "protocol/pg/replication.h"
#include "proxy/canceller.h"
#include "proxy/event_loop.h"
#include "proxy/proxy.h"
#include "proxy/server_dial.h"
#include "proxy/transport.h"

namespace turnout::proxy {

class Shard;

// What a login hands over.
struct ReplicationStart {
  Transport transport;
  std::string address;
  std::string user, database;  // as the client said them; a physical one may name no database
  std::string value;           // of the start-up parameter
  std::vector<std::pair<std::string, std::string>> parameters;  // the other ones
  std::string said;                                             // AuthenticationOk: goes out with what the server says
  protocol::pg::ReplicationKind kind = protocol::pg::ReplicationKind::physical;
  bool has_long_key = false;
};

class Replication final : public Handler {
 public:
  Replication(Shard& shard, ReplicationStart start);
  ~Replication() override;

  void begin();
  void on_events(std::uint32_t events) override;  // of the client's socket

  [[nodiscard]] std::uint32_t number() const { return number_; }
  [[nodiscard]] bool secret_matches(std::string_view key) const;
  [[nodiscard]] ClientInfo info() const;

  // ---- from the shard
  void table_changed();
  void tick();
  void cancel(CancelTicket ticket);
  void end(const char* reason, std::string_view sqlstate = {}, std::string_view message = {});

 private:
  // The server's socket; the loop tells handlers apart, not descriptors.
  class ServerEnd final : public Handler {
   public:
    explicit ServerEnd(Replication& owner) : owner_(owner) {}
    void on_events(std::uint32_t events) override { owner_.on_server_events(events); }

   private:
    Replication& owner_;
  };
  // One direction: what is read here goes there.
  struct Flow {
    protocol::pg::FrameWalk walk;
    std::string waiting;  // the other socket would not take it
  };

  void dial();
  void on_server_events(std::uint32_t events);
  void dialled();
  void welcome();
  bool relay(Transport& from, Transport& to, Flow& flow, bool from_client);  // false: it has ended
  bool flush(Transport& to, Flow& flow);
  void listen();  // to what each socket shall be asked for now
  [[nodiscard]] bool is_connected() const { return server_.is_open(); }
  void note_writing();                   // keeps the level of the writes in flight true
  [[nodiscard]] bool must_wait() const;  // a hold is on, and the next command might write

  Shard& shard_;
  Transport client_, server_;
  ReplicationStart start_;
  const std::uint32_t number_;
  std::uint32_t secret_ = 0;
  router::Side side_;
  ServerEnd server_end_;
  std::unique_ptr<ServerDial> dial_;
  protocol::pg::WalsenderWatch watch_;
  Flow to_server_, to_client_;
  std::uint32_t client_events_ = 0, server_events_ = 0;
  conf::Address server_address_;
  std::uint32_t backend_pid_ = 0;
  std::string server_key_;
  std::uint64_t began_us_ = 0, dialled_us_ = 0;
  bool is_writing_ = false;  // counted
  bool has_ended_ = false;
};

}  // namespace turnout::proxy
