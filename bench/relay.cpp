// The floor that every proxy is measured against: bytes in, the same bytes out, nothing understood.
//
// bench_relay LISTEN_PORT SERVER_PORT, both on 127.0.0.1. One thread, one level-triggered epoll set, one 64 KiB buffer.
// A query and its answer cost 2 epoll_wait, 2 recv and 2 send: nobody who uses epoll and looks at bytes does with less.
// Each client gets a server connection of its own. An End owns bytes only while its socket does not take them.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace {

struct End {
  int fd = -1;
  End* other = nullptr;
  std::string pending;  // not empty = nothing is read from `other`
  bool closed = false;
};

int poller = -1;
std::array<char, 64 * 1024> buffer;
// Closed ends are freed after the batch of events that may still name them.
std::vector<End*> graveyard;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

void watch(End* end, std::uint32_t events, int operation) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = end;
  if (epoll_ctl(poller, operation, end->fd, &event) < 0) give_up("epoll_ctl");
}

// An end is read only while its other one has nothing left to send, and is waited on for writing only while it has.
void rearm(End* end) {
  std::uint32_t events = 0;
  if (end->other->pending.empty()) events |= EPOLLIN;
  if (!end->pending.empty()) events |= EPOLLOUT;
  watch(end, events, EPOLL_CTL_MOD);
}

void close_both(End* end) {
  if (end->closed) return;
  for (End* each : {end, end->other}) {
    each->closed = true;
    close(each->fd);
    graveyard.push_back(each);
  }
}

void accept_client(int listener, std::uint16_t server_port) {
  const int client = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (client < 0) return;
  // Connecting blocks, which on loopback is short; it is no part of what is measured.
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server < 0) give_up("socket");
  const sockaddr_in address = loopback(server_port);
  if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    close(client);
    close(server);
    return;
  }
  const int on = 1;
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  End* left = std::make_unique<End>(End{client, nullptr, {}, false}).release();
  End* right = std::make_unique<End>(End{server, left, {}, false}).release();
  left->other = right;
  watch(left, EPOLLIN, EPOLL_CTL_ADD);
  watch(right, EPOLLIN, EPOLL_CTL_ADD);
}

void pump(End* from) {
  const ssize_t got = recv(from->fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close_both(from);
  End* to = from->other;
  ssize_t sent = send(to->fd, buffer.data(), static_cast<std::size_t>(got), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return close_both(from);
  if (sent < 0) sent = 0;
  if (sent == got) return;
  to->pending.assign(buffer.data() + sent, static_cast<std::size_t>(got - sent));
  rearm(from);
  rearm(to);
}

void flush(End* to) {
  const ssize_t sent = send(to->fd, to->pending.data(), to->pending.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return close_both(to);
  if (sent > 0) to->pending.erase(0, static_cast<std::size_t>(sent));
  if (!to->pending.empty()) return;
  to->pending.shrink_to_fit();
  rearm(to);
  rearm(to->other);
}

int listen_on(std::uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = loopback(port);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) give_up("bind");
  if (listen(listener, 4096) < 0) give_up("listen");
  return listener;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: bench_relay LISTEN_PORT SERVER_PORT   (both on 127.0.0.1)\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  const int listener = listen_on(static_cast<std::uint16_t>(std::atoi(argv[1])));
  const auto server_port = static_cast<std::uint16_t>(std::atoi(argv[2]));
  poller = epoll_create1(EPOLL_CLOEXEC);
  End door{listener, nullptr, {}, false};
  watch(&door, EPOLLIN, EPOLL_CTL_ADD);

  std::array<epoll_event, 128> events;
  for (;;) {
    const int count = epoll_wait(poller, events.data(), static_cast<int>(events.size()), -1);
    for (std::size_t i = 0; count > 0 && i < static_cast<std::size_t>(count); ++i) {
      End* end = static_cast<End*>(events[i].data.ptr);
      if (end == &door) {
        accept_client(listener, server_port);
        continue;
      }
      if (!end->closed && (events[i].events & EPOLLOUT) != 0 && !end->pending.empty()) flush(end);
      if (!end->closed && (events[i].events & EPOLLIN) != 0) pump(end);
      // A hang-up without anything to read: level-triggered, it would be reported for ever.
      if (!end->closed && events[i].events == EPOLLHUP) close_both(end);
      if (!end->closed && (events[i].events & EPOLLERR) != 0) close_both(end);
    }
    for (End* end : graveyard) std::unique_ptr<End>{end}.reset();
    graveyard.clear();
  }
}
