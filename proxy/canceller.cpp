#include "proxy/canceller.h"

#include <memory>
#include <string>

#include "proxy/worker.h"

namespace turnout::proxy {

namespace {

// Owns itself: lives until the server closes the socket.
class Canceller final : public Handler {
 public:
  Canceller(Shard& shard, Pool& pool, const ServerConnection& connection)
      : shard_(shard), pool_(pool), connection_id_(connection.id()), address_(connection.address()) {
    protocol::pg::put_cancel_request(request_, connection.backend_pid(), connection.cancel_key());
  }

  bool open(std::unique_ptr<Canceller>& self) {
    const int fd = Transport::connect_to(address_);
    if (fd < 0) return false;
    transport_ = Transport(fd);
    shard_.worker.loop.add(fd, EPOLLOUT, *this);
    self_ = std::move(self);
    return true;
  }

  void on_events(std::uint32_t) override {
    if (!sent_) {
      sent_ = true;
      const bool went =
          Transport::socket_error(transport_.fd()) == 0 && transport_.write(request_).bytes == request_.size();
      if (went) {
        shard_.worker.loop.change(transport_.fd(), EPOLLIN, *this);
        return;
      }
    }
    transport_.close();
    pool_.cancel_finished(connection_id_);
    shard_.worker.loop.bury(std::move(self_));
  }

 private:
  Shard& shard_;
  Pool& pool_;
  const std::uint64_t connection_id_;
  const conf::Address address_;  // of this very server, whatever the name says by now
  std::string request_;
  Transport transport_;
  bool sent_ = false;
  std::unique_ptr<Canceller> self_;
};

}  // namespace

void send_cancel(Shard& shard, ServerConnection& connection) {
  auto canceller = std::make_unique<Canceller>(shard, connection.pool(), connection);
  Canceller& opened = *canceller;
  if (opened.open(canceller)) ++connection.cancels_in_flight;
}

}  // namespace turnout::proxy
