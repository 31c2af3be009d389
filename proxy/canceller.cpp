#include "proxy/canceller.h"

#include <memory>
#include <string>

#include "proxy/worker.h"

namespace turnout::proxy {

namespace {

// Owns itself: lives until the server closes the socket.
class Canceller final : public Handler {
 public:
  Canceller(Shard& shard, const ServerConnection& connection)
      : shard_(shard), pool_(&connection.pool()), connection_id_(connection.id()), side_(connection.pool().side()) {
    protocol::pg::put_cancel_request(request_, connection.backend_pid(), connection.cancel_key());
  }
  Canceller(Shard& shard, router::Side side, std::uint32_t backend_pid, const std::string& key)
      : shard_(shard), side_(side) {
    protocol::pg::put_cancel_request(request_, backend_pid, key);
  }

  bool open(std::unique_ptr<Canceller>& self) {
    const int fd = Transport::connect_to(shard_.settings->address[router::index(side_)]);
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
    if (pool_ != nullptr) pool_->cancel_finished(connection_id_);
    shard_.worker.loop.bury(std::move(self_));
  }

 private:
  Shard& shard_;
  Pool* const pool_ = nullptr;
  const std::uint64_t connection_id_ = 0;
  const router::Side side_;
  std::string request_;
  Transport transport_;
  bool sent_ = false;
  std::unique_ptr<Canceller> self_;
};

}  // namespace

void send_cancel(Shard& shard, ServerConnection& connection) {
  auto canceller = std::make_unique<Canceller>(shard, connection);
  Canceller& opened = *canceller;
  if (opened.open(canceller)) ++connection.cancels_in_flight;
}

void send_cancel(Shard& shard, router::Side side, std::uint32_t backend_pid, const std::string& key) {
  auto canceller = std::make_unique<Canceller>(shard, side, backend_pid, key);
  Canceller& opened = *canceller;
  static_cast<void>(opened.open(canceller));
}

}  // namespace turnout::proxy
