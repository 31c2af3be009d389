#include "proxy/canceller.h"

#include <utility>

#include "proxy/replication.h"
#include "proxy/session.h"
#include "proxy/worker.h"

namespace turnout::proxy {

Canceller::Canceller(Shard& shard, const Connection& connection, CancelTicket ticket)
    : shard_(shard),
      pool_(&connection.pool()),
      connection_id_(connection.id()),
      address_(connection.address()),
      until_ms_(shard.worker.loop.now_ms() + shard.settings->conf.pool.connect_ms_max) {
  tickets_.push_back(std::move(ticket));
  shard_.deployment.cancels_in_flight.fetch_add(1, std::memory_order_relaxed);
}

Canceller::Canceller(Shard& shard, const conf::Address& address, CancelTicket ticket)
    : shard_(shard),
      address_(address),
      until_ms_(shard.worker.loop.now_ms() + shard.settings->conf.pool.connect_ms_max) {
  tickets_.push_back(std::move(ticket));
  shard_.deployment.cancels_in_flight.fetch_add(1, std::memory_order_relaxed);
}

Canceller::~Canceller() {
  shard_.deployment.cancels_in_flight.fetch_sub(1, std::memory_order_relaxed);
}

bool Canceller::open() {
  const int fd = Transport::connect_to(address_);
  if (fd < 0) return false;
  transport_ = Transport(fd);
  shard_.worker.loop.add(fd, EPOLLOUT, *this);
  return true;
}

void Canceller::finish(bool is_certain) {
  transport_.close();
  shard_.remove_canceller(*this);  // first: whoever gets the connection now may ask for a cancel of his own
  if (pool_ != nullptr) pool_->cancel_finished(connection_id_, is_certain);
}

bool begin_cancel(Shard& shard, Connection& connection, CancelTicket ticket,
                  const std::function<std::unique_ptr<Canceller>(CancelTicket)>& make) {
  if (Canceller* const running = shard.find_canceller(connection.id())) {
    running->join(std::move(ticket));
    return true;
  }
  const bool is_asked_for = ticket != nullptr;
  const std::uint32_t in_flight = shard.deployment.cancels_in_flight.load(std::memory_order_relaxed);
  if (is_asked_for && in_flight >= shard.settings->conf.limits.cancels_max) return false;
  std::unique_ptr<Canceller> canceller = make(std::move(ticket));
  if (!canceller->open()) return true;
  ++connection.cancels_in_flight;
  shard.add_canceller(std::move(canceller));
  return true;
}

// ---- PostgreSQL's --------------------------------------------------------------------------------------------------

CancelRequest::CancelRequest(Shard& shard, const ServerConnection& connection, CancelTicket ticket)
    : Canceller(shard, connection, std::move(ticket)) {
  protocol::pg::put_cancel_request(request_, connection.backend_pid(), connection.cancel_key());
}

CancelRequest::CancelRequest(Shard& shard, const conf::Address& address, std::uint32_t backend_pid,
                             std::string_view key, CancelTicket ticket)
    : Canceller(shard, address, std::move(ticket)) {
  protocol::pg::put_cancel_request(request_, backend_pid, key);
}

void CancelRequest::on_events(std::uint32_t) {
  if (sent_) {
    finish(true);  // the server has closed it: the signal has been given
    return;
  }
  if (Transport::socket_error(transport_.fd()) != 0) {
    finish(true);  // nothing was sent
    return;
  }
  sent_ = true;
  if (transport_.write(request_).bytes == request_.size())
    shard_.worker.loop.change(transport_.fd(), EPOLLIN, *this);
  else
    finish(false);
}

void CancelRequest::time_out() {
  finish(!sent_);
}

bool send_cancel(Shard& shard, ServerConnection& connection, CancelTicket ticket) {
  return begin_cancel(shard, connection, std::move(ticket), [&](CancelTicket its) {
    return std::make_unique<CancelRequest>(shard, connection, std::move(its));
  });
}

void relay_cancel(Shard& shard, const std::string& client_address, std::uint32_t session_number, std::string key,
                  Transport client) {
  const std::uint32_t per_second = shard.settings->conf.limits.cancels_per_second_max;
  const std::string host = client_address.substr(0, client_address.rfind(':'));
  if (!shard.deployment.may_cancel(host, shard.worker.loop.now_us(), per_second)) {
    shard.numbers.cancels_limited.add();
    return;
  }
  const std::size_t worker = Worker::worker_of(session_number);
  if (worker >= shard.worker.peers()) {
    shard.numbers.cancels_unknown.add();
    return;
  }
  Worker& peer = shard.worker.peer(worker);
  const DeploymentIndex deployment = shard.deployment.index;
  auto ticket = std::make_shared<Transport>(std::move(client));
  peer.loop.post([&peer, deployment, session_number, key = std::move(key), ticket = std::move(ticket)] {
    Shard& its_shard = peer.shard(deployment);
    Session* const session = its_shard.find_session(session_number);
    Replication* const replication = its_shard.find_replication(session_number);
    if (session != nullptr && session->secret_matches(key))
      session->cancel(ticket);
    else if (replication != nullptr && replication->secret_matches(key))
      replication->cancel(ticket);
    else
      its_shard.numbers.cancels_unknown.add();
  });
}

bool send_cancel(Shard& shard, const conf::Address& address, std::uint32_t backend_pid, std::string_view key,
                 CancelTicket ticket) {
  const std::uint32_t in_flight = shard.deployment.cancels_in_flight.load(std::memory_order_relaxed);
  if (in_flight >= shard.settings->conf.limits.cancels_max) return false;
  auto canceller = std::make_unique<CancelRequest>(shard, address, backend_pid, key, std::move(ticket));
  if (canceller->open()) shard.add_canceller(std::move(canceller));
  return true;
}

}  // namespace turnout::proxy
