#include "control/own_sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>

namespace turnout::control {

namespace {

using End = std::pair<std::string, int>;

End end_of(const in_addr& address, in_port_t port) {
  char text[INET_ADDRSTRLEN] = {};
  inet_ntop(AF_INET, &address, text, sizeof text);
  return {text, ntohs(port)};
}

End end_of(const in6_addr& address, in_port_t port) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(AF_INET6, &address, text, sizeof text);
  return {text, ntohs(port)};
}

std::optional<End> end_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &address, sizeof four);
    return end_of(four.sin_addr, four.sin_port);
  }
  if (address.ss_family != AF_INET6) return std::nullopt;
  sockaddr_in6 six{};
  std::memcpy(&six, &address, sizeof six);
  return end_of(six.sin6_addr, six.sin6_port);
}

// As the system writes it, whatever way the configuration does.
std::optional<End> end_of(const conf::Address& place) {
  in_addr four{};
  if (inet_pton(AF_INET, place.host.c_str(), &four) == 1) return end_of(four, htons(place.port));
  in6_addr six{};
  const auto without_scope = place.host.substr(0, place.host.find('%'));
  if (inet_pton(AF_INET6, without_scope.c_str(), &six) == 1) return end_of(six, htons(place.port));
  return std::nullopt;
}

template <typename Ask>
std::optional<End> ask(Ask name, int handle) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (name(handle, reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::nullopt;
  return end_of(address);
}

}  // namespace

OwnSockets OwnSockets::look(const std::vector<conf::Address>& places) {
  std::set<End> peers;
  for (const auto& place : places)
    if (const auto peer = end_of(place)) peers.insert(*peer);
  OwnSockets found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    const auto name = entry.path().filename().string();
    int handle = -1;
    std::from_chars(name.data(), name.data() + name.size(), handle);
    if (handle < 0) continue;
    const auto peer = ask(::getpeername, handle);
    if (!peer || !peers.contains(*peer)) continue;
    if (auto local = ask(::getsockname, handle)) found.ends_.insert(std::move(*local));
  }
  return found;
}

}  // namespace turnout::control
