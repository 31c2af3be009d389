#include "proxy/listener.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "proxy/arrival.h"
#include "proxy/protocols.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace {

[[noreturn]] void refuse(const conf::Address& address) {
  throw std::runtime_error("cannot listen on " + address.text() + ": " + std::strerror(errno));
}

int listen_unix(const conf::Address& address) {
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  if (address.unix_path.size() >= sizeof where.sun_path) {
    errno = ENAMETOOLONG;
    refuse(address);
  }
  std::memcpy(where.sun_path, address.unix_path.c_str(), address.unix_path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) refuse(address);
  // A socket file that nobody answers on was left by a process that was killed.
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0) {
    ::close(fd);
    errno = EADDRINUSE;
    refuse(address);
  }
  ::unlink(where.sun_path);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0 || ::listen(fd, 4096) != 0) {
    ::close(fd);
    refuse(address);
  }
  ::chmod(where.sun_path, 0777);  // as Postgres: authentication decides, not the file mode
  return fd;
}

int listen_tcp(const conf::Address& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const char* const host = address.host.empty() || address.host == "*" ? nullptr : address.host.c_str();
  if (const int failure = ::getaddrinfo(host, std::to_string(address.port).c_str(), &hints, &found); failure != 0)
    throw std::runtime_error("cannot listen on " + address.text() + ": " + ::gai_strerror(failure));
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool listens = fd >= 0 && ::bind(fd, found->ai_addr, found->ai_addrlen) == 0 && ::listen(fd, 4096) == 0;
  const int reason = errno;
  ::freeaddrinfo(found);
  if (listens) return fd;
  if (fd >= 0) ::close(fd);
  errno = reason;
  refuse(address);
}

std::string describe(const sockaddr_storage& peer, socklen_t length) {
  if (peer.ss_family == AF_UNIX) return "unix";
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&peer), length, host.data(), host.size(), port.data(),
                    port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "?";
  return std::string(host.data()) + ":" + port.data();
}

}  // namespace

Listener::Listener(const conf::Address& address, Deployment& deployment,
                   const std::vector<std::unique_ptr<Worker>>& workers)
    : address_(address),
      deployment_(deployment),
      workers_(workers),
      fd_(address.is_unix() ? listen_unix(address) : listen_tcp(address)) {}

Listener::~Listener() {
  close();
}

void Listener::begin() {
  workers_.front()->loop.add(fd_, EPOLLIN, *this);
}

void Listener::close() {
  if (fd_ < 0) return;
  ::close(fd_);
  fd_ = -1;
  if (address_.is_unix()) ::unlink(address_.unix_path.c_str());
}

void Listener::on_events(std::uint32_t) {
  constexpr int accepts_a_turn = 64;
  for (int i = 0; i < accepts_a_turn && fd_ >= 0; ++i) {
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    const int fd = ::accept4(fd_, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;  // EAGAIN, or EMFILE: the next turn tries again
    if (peer.ss_family != AF_UNIX) {
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    welcome_or_refuse(fd, describe(peer, length));
  }
}

void Listener::welcome_or_refuse(int fd, std::string address) {
  const SettingsPtr settings = deployment_.settings();
  const std::uint32_t limit = settings->conf.limits.clients_max;
  if (deployment_.clients.fetch_add(1, std::memory_order_relaxed) >= limit) {
    deployment_.clients.fetch_sub(1, std::memory_order_relaxed);
    const std::string fatal = too_many_clients(settings->conf.protocol);
    [[maybe_unused]] const auto best_effort = ::send(fd, fatal.data(), fatal.size(), MSG_NOSIGNAL);
    ::close(fd);
    return;
  }
  handed_.resize(workers_.size());
  std::size_t chosen = 0;
  for (std::size_t i = 1; i < workers_.size(); ++i)
    if (handed_[i] < handed_[chosen]) chosen = i;
  // What matters is who is there now; ties go round.
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    const auto here = deployment_.numbers[i].clients.get();
    const auto best = deployment_.numbers[chosen].clients.get();
    if (here + 1 < best) chosen = i;
  }
  ++handed_[chosen];
  Worker& worker = *workers_[chosen];
  const DeploymentIndex deployment = deployment_.index;
  const auto hand_over = [&worker, deployment, fd, address = std::move(address)] {
    Shard& shard = worker.shard(deployment);
    shard.add_greeting(make_arrival(shard, fd, address));
  };
  if (chosen == 0)
    hand_over();
  else
    worker.loop.post(hand_over);
}

}  // namespace turnout::proxy
